"""document_processing: every kind of bad input has its code and a helpful sentence, and spoils nothing else.

All files are in one job, so each outcome also shows that the others did no harm.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from samples import document_support as support
from samples.make_docx import docx_of_body, paragraph, zip_of

from worker.jobs.document_processing.parameters import Parameters
from worker.jobs.document_processing.run import run
from worker.jobs.shared.errors import InputError
from worker.jobs.shared.input_files import read_file

GERMAN = "Größere Schiffe müssen später über den Fluß fahren, heißt es – für fünf €. "
JAPANESE = "水道の水は毎日検査されます。ポンプは月曜日に交代します。"
WORD_TYPES = "a wordprocessingml b"
SECRET = "what lies outside"


@dataclass(frozen=True)
class Row:
    """`data` makes the file; `place` makes something else at its path. `error` None = it must be read."""

    name: str
    data: Callable[[], bytes] | None = None
    place: Callable[[Path], object] | None = None
    error: str | None = None
    warnings: list[str] = field(default_factory=list)
    encoding: str | None = None
    text: str | None = None


def bomb_of_many_megabytes() -> bytes:
    """201 MB in entries whose ratio alone is nothing to worry about."""
    entry = os.urandom(10_000) + bytes(990_000)
    entries: dict[str, str | bytes] = {f"word/{n}.xml": entry for n in range(201)}
    return zip_of({"[Content_Types].xml": WORD_TYPES, **entries}, zipfile.ZIP_DEFLATED)


def bomb_of_one_entry() -> bytes:
    entries: dict[str, str | bytes] = {"[Content_Types].xml": WORD_TYPES, "word/document.xml": bytes(20_000_000)}
    return zip_of(entries, zipfile.ZIP_DEFLATED)


def billion_laughs() -> bytes:
    levels = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))
    head = f'<?xml version="1.0"?><!DOCTYPE w [<!ENTITY l0 "ha">{levels}]>'
    return docx_of_body("<w:p><w:r><w:t>&l11;</w:t></w:r></w:p>", head=head)


def external_entity() -> bytes:
    head = '<?xml version="1.0"?><!DOCTYPE w [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
    return docx_of_body("<w:p><w:r><w:t>before&x;after</w:t></w:r></w:p>", head=head)


def with_flag_of_encryption(data: bytes) -> bytes:
    place = data.index(b"PK\x01\x02") + 8
    return data[:place] + b"\1" + data[place + 1 :]


def bind(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            listener.bind(f"/proc/self/fd/{folder}/{path.name}")
        finally:
            os.close(folder)


def link_folder(path: Path) -> None:
    """The file's folder is a link to one outside."""
    path.parent.symlink_to(path.parent.parent.parent)


ROWS = {
    "encrypted_pdf": Row("a1.pdf", lambda: support.encrypted_pdf("hidden", user="other"), error="encrypted"),
    "empty_user_password": Row("a2.pdf", lambda: support.encrypted_pdf("open", user=""), text="open\n\n"),
    "truncated_pdf": Row("a3.pdf", lambda: (support.SAMPLES / "handbook.pdf").read_bytes()[:900], error="corrupt_file"),
    "junk_pdf": Row("a4.pdf", lambda: b"%PDF-1.7\n" + bytes(range(256)) * 9, error="corrupt_file"),
    "zero_byte_pdf": Row("a5.pdf", lambda: b"", error="empty_file"),
    "zero_byte_text": Row("a6.txt", lambda: b"", error="empty_file"),
    "pdf_without_text": Row("a7.pdf", lambda: support.pdf_of_streams([(b"0 0 9 9 re f", b"")]), error="no_text_layer"),
    "pdf_bomb": Row("a8.pdf", support.pdf_bomb, error="parser_crashed"),
    "truncated_docx": Row(
        "b1.docx", lambda: (support.SAMPLES / "inspection.docx").read_bytes()[:5000], error="corrupt_file"
    ),
    "pdf_named_docx": Row(
        "b2.docx", lambda: support.make_pdf(["pdf words"]), warnings=["extension_mismatch"], text="pdf words\n\n"
    ),
    "docx_named_txt": Row(
        "b3.txt", lambda: docx_of_body(paragraph("docx words")), warnings=["extension_mismatch"], text="docx words\n"
    ),
    "docx_bomb_by_ratio": Row("b4.docx", bomb_of_one_entry, error="archive_bomb"),
    "docx_bomb_by_size": Row("b5.docx", bomb_of_many_megabytes, error="archive_bomb"),
    "docx_bomb_by_entries": Row(
        "b6.docx",
        lambda: zip_of({"[Content_Types].xml": WORD_TYPES, **{str(n): "" for n in range(5000)}}),
        error="archive_bomb",
    ),
    "billion_laughs": Row("b7.docx", billion_laughs, error="corrupt_file"),
    "external_entity": Row("b8.docx", external_entity, text="beforeafter\n"),
    "docx_without_document": Row("b9.docx", lambda: zip_of({"[Content_Types].xml": WORD_TYPES}), error="corrupt_file"),
    "docx_without_text": Row("b10.docx", lambda: docx_of_body(paragraph(" ")), error="no_text"),
    "encrypted_archive": Row("b11.docx", lambda: with_flag_of_encryption(docx_of_body("")), error="encrypted"),
    "encrypted_office_document": Row(
        "b12.docx",
        lambda: b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + "EncryptedPackage".encode("utf-16-le"),
        error="encrypted",
    ),
    "nested_html": Row("c1.html", lambda: b"<html>" + b"<div>" * 200_000 + b"x", error="no_text"),
    "html_without_text": Row("c2.html", lambda: b"<html><script>var x = 1</script>", error="no_text"),
    "binary_named_txt": Row("d1.txt", lambda: bytes(range(256)) * 9, error="binary_content"),
    "control_characters": Row("d2.txt", lambda: b"\1\2\3 little text", error="binary_content"),
    "utf16_text": Row("d3.txt", lambda: GERMAN.encode("utf-16"), encoding="utf-16-le", text=GERMAN),
    "cp1252_text": Row("d4.txt", lambda: GERMAN.encode("cp1252"), encoding="cp1252", text=GERMAN),
    "shift_jis_text": Row("d5.txt", lambda: JAPANESE.encode("shift_jis"), encoding="cp932", text=JAPANESE),
    "undecodable_text": Row(
        "d6.txt",
        lambda: GERMAN.encode() + b"\xff",
        encoding="utf-8",
        warnings=["decode_errors"],
        text=GERMAN + "\ufffd",
    ),
    "blank_text": Row("d7.txt", lambda: b" \n\t", error="no_text"),
    "image": Row("e1.png", lambda: b"\x89PNG\r\n\x1a\n....", error="unsupported_format"),
    "workbook": Row("e2.xlsx", lambda: zip_of({"[Content_Types].xml": "spreadsheetml"}), error="corrupt_file"),
    "rich_text": Row("e3.rtf", lambda: rb"{\rtf1 words}", text="words\n"),
    "climbs_out": Row("../secret.txt", error="outside_input_root"),
    "climbs_out_to_nothing": Row("../missing.txt", error="outside_input_root"),
    "link_out": Row("f1.txt", place=lambda path: path.symlink_to("../secret.txt"), error="outside_input_root"),
    "folder_linked_out": Row("outer/secret.txt", place=link_folder, error="outside_input_root"),
    "link_in_a_circle": Row("f2.txt", place=lambda path: path.symlink_to("f2.txt"), error="invalid_path"),
    "long_name": Row("n" * 300, error="invalid_path"),
    "missing": Row("f3.txt", error="file_not_found"),
    "folder": Row("f4", place=Path.mkdir, error="invalid_path"),
    "pipe": Row("f5.txt", place=os.mkfifo, error="invalid_path"),
    "socket": Row("f6.txt", place=bind, error="invalid_path"),
    "too_many_bytes": Row("g1.txt", lambda: b"x" * 3_000_001, error="document_too_large"),
    "too_many_pages": Row("g2.pdf", lambda: support.make_pdf(*[["x"]] * 13), error="too_many_pages"),
    "too_many_characters": Row("g3.txt", lambda: b"word " * 50_000, error="too_many_characters"),
    "good_file": Row("h.txt", lambda: b"good words", encoding="utf-8", text="good words"),
}


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("bad")
    (folder / "secret.txt").write_text(SECRET)
    root = folder / "input"
    root.mkdir()
    for row in ROWS.values():
        if row.place is not None:
            row.place(root / row.name)
        elif row.data is not None:
            (root / row.name).write_bytes(row.data())
    parameters = Parameters.model_validate(
        {
            "documents": [{"path": row.name} for row in ROWS.values()],
            "max_document_bytes": 3_000_000,
            "max_pages": 12,
            "max_characters": 200_000,
        }
    )
    return folder, run(support.FakeContext(folder / "job", root), parameters)


@pytest.mark.parametrize("name", list(ROWS))
def test_bad_input(job: tuple[Path, dict[str, Any]], name: str) -> None:
    folder, row = job[0], ROWS[name]
    record = support.read_lines(folder / "job" / "documents.jsonl")[list(ROWS).index(name)]
    assert record["name"] == row.name
    assert (record["error"] and record["error"]["code"], record["status"]) == (
        row.error,
        "failed" if row.error else "completed",
    )
    assert [warning["code"] for warning in record["warnings"]] == row.warnings
    assert record["encoding"] == row.encoding
    if row.error:
        message = record["error"]["message"]
        assert 20 < len(message) < 250 and message[0].isupper() and message.endswith(".")
        assert str(folder) not in message and "Error" not in message
    else:
        assert (folder / "job" / record["text_file"]).read_text("utf-8") == row.text


def test_bad_input_is_in_the_result(job: tuple[Path, dict[str, Any]]) -> None:
    result = job[1]
    bad = {row.name: row.error for row in ROWS.values() if row.error}
    assert {error["name"][-100:]: error["code"] for error in result["errors"]} == {
        name[-100:]: code for name, code in bad.items()
    }
    assert (result["failed_documents"], result["processed_documents"]) == (len(bad), len(ROWS) - len(bad))
    rows = {row["name"]: row for row in result["documents"]}
    assert len(rows) == len(ROWS) <= 50
    assert (rows["b2.docx"]["warnings"], rows["b2.docx"]["error"]) == (["extension_mismatch"], None)
    assert next(error for error in result["errors"] if "nested more than" in error["message"])["name"] == "c1.html"
    assert result["by_type"] == {"docx": 2, "pdf": 2, "rtf": 1, "text": 5}


def test_bad_input_leaks_nothing(job: tuple[Path, dict[str, Any]]) -> None:
    files = [file for file in (job[0] / "job").rglob("*") if file.is_file()]
    told = b"".join(file.read_bytes() for file in files) + json.dumps(job[1]).encode()
    assert SECRET.encode() not in told and b"root:" not in told and str(job[0]).encode() not in told


@pytest.mark.parametrize("path", ["/etc/passwd", "a\0b", "n" * 5000, "", "a\nb"])
def test_bad_input_refused_at_submit(path: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Parameters.model_validate({"documents": [{"path": path}]})
    assert [error["loc"] for error in caught.value.errors()] == [("documents", 0, "path")]


def test_bad_input_changed_while_queued(tmp_path: Path) -> None:
    """The files are what they are when the job comes to them, not what they were at submit."""
    names = ["grows", "goes", "becomes_folder", "becomes_link", "changes"]
    root = tmp_path / "input"
    root.mkdir()
    for name in names:
        (root / name).write_bytes(b"as submitted")
    (tmp_path / "secret.txt").write_text(SECRET)
    parameters = Parameters.model_validate({"documents": [{"path": name} for name in names], "max_document_bytes": 50})
    assert parameters.check_inputs(root) == []
    for name in names[1:4]:
        (root / name).unlink()
    (root / "grows").write_bytes(b"x" * 51)
    (root / "becomes_folder").mkdir()
    (root / "becomes_link").symlink_to("../secret.txt")
    (root / "changes").write_bytes(b"as it is now")
    result: Any = run(support.FakeContext(tmp_path / "job", root), parameters)
    assert [row["error"] for row in result["documents"]] == [
        "document_too_large",
        "file_not_found",
        "invalid_path",
        "outside_input_root",
        None,
    ]
    (text,) = support.texts_of(tmp_path / "job").values()
    assert text == "as it is now"


@contextmanager
def unprivileged() -> Iterator[None]:
    """Root reads everything, so it puts on somebody else's hat."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


@pytest.mark.parametrize("locked", ["a.txt", "folder"])
def test_bad_input_unreadable(locked: str) -> None:
    root = Path(tempfile.mkdtemp())
    try:
        (root / "folder").mkdir()
        (root / "folder" / "a.txt").write_bytes(b"x")
        root.chmod(0o755)
        (root / "folder" / "a.txt" if locked == "a.txt" else root / locked).chmod(0)
        with unprivileged(), pytest.raises(InputError) as caught:
            read_file("folder/a.txt", root, 100)
        (root / "folder").chmod(0o700)
    finally:
        shutil.rmtree(root)
    assert (caught.value.code, caught.value.retryable) == ("unreadable_file", False)


def test_bad_input_password_is_told_nowhere(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = tmp_path / "input"
    root.mkdir()
    passwords = {"right.pdf": "tulip-4711", "wrong.pdf": "rose-0815"}
    for name, password in passwords.items():
        (root / name).write_bytes(support.encrypted_pdf("hidden words", user=password))
    parameters = Parameters.model_validate(
        {"documents": [{"path": name} for name in passwords], "password": passwords["right.pdf"]}
    )
    seen = []

    def look_around() -> None:
        """While the documents are read, it is neither in a file nor among the arguments of a process."""
        files = [file.read_bytes() for file in (tmp_path / "job").rglob("*") if file.is_file()]
        seen.append(b"".join(files))
        seen.extend(
            Path(f"/proc/{child}/{name}").read_bytes() for child in children() for name in ("cmdline", "environ")
        )

    with caplog.at_level("DEBUG"):
        result: Any = run(support.FakeContext(tmp_path / "job", root, look_around), parameters)
    assert [row["error"] for row in result["documents"]] == [None, "encrypted"]
    assert any(b"right.pdf" in data for data in seen) and any(b"document_processing.child" in data for data in seen)
    kept = [file.read_bytes() for file in (tmp_path / "job").rglob("*") if file.is_file()]
    told = b"".join([*seen, *kept]) + f"{result}{caplog.records}{caplog.text}{parameters!r}".encode()
    assert b"tulip" not in told
    manifest = json.loads((tmp_path / "job" / "manifest.json").read_text("utf-8"))
    assert manifest["parameters"]["password"] == "***"


def children() -> list[str]:
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
