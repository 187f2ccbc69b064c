"""Uploaded files: named by their ids, found in the folder of their user and in no other."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from samples import document_support as support

from worker.context import PermanentError
from worker.jobs.document_processing.parameters import Parameters
from worker.jobs.document_processing.run import run
from worker.jobs.shared.errors import InputError
from worker.jobs.shared.source import ChunksSource
from worker.jobs.shared.uploads import find_upload, user_folder

ID = "0123456789abcdef" * 2
OTHER_ID = "f" * 32
USER = support.FakeContext.user_id


def send(root: Path, user_id: str, file_id: str, name: str, data: bytes) -> None:
    folder = root / "uploads" / user_folder(user_id) / file_id
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def test_folder_of_a_user() -> None:
    assert user_folder("user-1") == hashlib.sha256(b"user-1").hexdigest()[:32]
    assert user_folder("../../etc") != user_folder("user-1")
    assert len(user_folder("\ud800")) == 32


def test_find(tmp_path: Path) -> None:
    send(tmp_path, "u", ID, "Report 1.pdf", b"x")
    send(tmp_path, "u", ID, ".partial", b"x")
    assert find_upload(tmp_path, "u", ID) == f"uploads/{user_folder('u')}/{ID}/Report 1.pdf"


@pytest.mark.parametrize("case", ["other user", "other id", "two files", "none left", "no id", "climbing id"])
def test_not_found_gets_one_answer(tmp_path: Path, case: str) -> None:
    send(tmp_path, "u", ID, "a.txt", b"x")
    user_id, file_id = "u", ID
    match case:
        case "other user":
            user_id = "v"
        case "other id":
            file_id = OTHER_ID
        case "two files":
            send(tmp_path, "u", ID, "b.txt", b"x")
        case "none left":
            (tmp_path / "uploads" / user_folder("u") / ID / "a.txt").unlink()
        case "no id":
            file_id = ""
        case "climbing id":
            file_id = f"../{user_folder('u')}/{ID}"
    with pytest.raises(InputError) as caught:
        find_upload(tmp_path, user_id, file_id)
    assert caught.value.code == "file_not_found" and str(tmp_path) not in str(caught.value)


def test_job_reads_uploads_of_its_user(tmp_path: Path) -> None:
    send(tmp_path, USER, ID, "guide.md", (support.SAMPLES / "guide.md").read_bytes())
    send(tmp_path, "somebody-else", OTHER_ID, "theirs.txt", b"their words")
    parameters = Parameters.model_validate({"documents": [{"file_id": ID}, {"file_id": OTHER_ID}]})
    result: Any = run(support.FakeContext(tmp_path / "job", tmp_path), parameters)
    first, second = support.read_lines(tmp_path / "job" / "documents.jsonl")
    assert (first["name"], first["source"], first["type"]) == ("guide.md", {"file_id": ID}, "markdown")
    assert (second["name"], second["error"]["code"]) == (OTHER_ID, "file_not_found")
    assert result["by_type"] == {"markdown": 1}
    assert user_folder(USER) not in (tmp_path / "job" / "documents.jsonl").read_text()


def test_only_upload_that_is_gone_fails_the_job(tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match="file_not_found"):
        run(
            support.FakeContext(tmp_path / "job", tmp_path), Parameters.model_validate({"documents": [{"file_id": ID}]})
        )


def test_file_ids_for_the_server() -> None:
    documents = [{"path": "a.txt"}, {"file_id": ID}, {"file_id": OTHER_ID}]
    parameters = Parameters.model_validate({"documents": documents})
    assert parameters.file_ids == ((("documents", 1, "file_id"), ID), (("documents", 2, "file_id"), OTHER_ID))
    assert parameters.names_files
    assert not Parameters.model_validate({"documents": documents[1:]}).names_files


@pytest.mark.parametrize(
    ("document", "place"),
    [
        ({"file_id": ID[:-1]}, "file_id"),
        ({"file_id": ID.upper()}, "file_id"),
        ({"file_id": ID + "\n"}, "file_id"),
        ({"file_id": "../" + ID[3:]}, "file_id"),
        ({"path": f"uploads/x/{ID}/a.txt"}, "path"),
        ({"path": "./uploads//x"}, "path"),
        ({"path": "a/../uploads/x"}, "path"),
        ({"path": "uploads"}, "path"),
    ],
)
def test_refused(document: dict[str, str], place: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Parameters.model_validate({"documents": [document]})
    assert {error["loc"] for error in caught.value.errors()} == {("documents", 0, place)}


@pytest.mark.parametrize(
    "documents",
    [
        [{"file_id": ID, "path": "a.txt"}],
        [{"file_id": ID, "name": "a.txt"}],
        [{"file_id": ID, "text": "x", "name": "y"}],
        [{"file_id": ID}, {"file_id": ID}],
    ],
)
def test_one_kind_each_and_once(documents: list[dict[str, str]]) -> None:
    with pytest.raises(ValidationError):
        Parameters.model_validate({"documents": documents})


def test_path_that_only_looks_like_an_upload() -> None:
    assert Parameters.model_validate({"documents": [{"path": "uploads.txt"}, {"path": "my/uploads/a.txt"}]}).names_files


def test_no_other_source_leads_into_uploads() -> None:
    with pytest.raises(ValidationError, match="uploads"):
        ChunksSource(path="uploads/x/chunks.jsonl")
