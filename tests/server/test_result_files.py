"""What a completed job has left, listed and sent: statement R6."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from conftest import eventually
from document_examples import JOB
from fake_queue import AWAY, FakeQueue

from jobqueue import Settings
from server import downloads

FILES = f"/api/v1/jobs/result/{JOB}/files"
CONTENTS = {
    "chunks.jsonl": b'{"text": "one"}\n{"text": "two"}\n',
    "text/0001.md": "# Über\n".encode(),
    "taxonomy.json": b"{}\n",
    "train.csv": b"a,b\n1,2\n",
    "train.parquet": b"PAR1",
    "empty.jsonl": b"",
    "other.bin": os.urandom(1_000_000),
}
TYPES = {
    "chunks.jsonl": "application/x-ndjson",
    "text/0001.md": "text/markdown; charset=utf-8",
    "taxonomy.json": "application/json",
    "train.csv": "text/csv; charset=utf-8",
    "train.parquet": "application/vnd.apache.parquet",
    "empty.jsonl": "application/x-ndjson",
    "other.bin": "application/octet-stream",
}


@pytest.fixture
def folder(api_settings: Settings) -> Path:
    return api_settings.storage.jobs_dir / JOB


@pytest.fixture
def job(fake: FakeQueue, folder: Path) -> Path:
    """A completed job with files, and some beside that its manifest does not tell of."""
    (folder / "text").mkdir(parents=True)
    for name, content in CONTENTS.items():
        (folder / name).write_bytes(content)
    (folder / "work.txt").write_bytes(b"secret")
    write_manifest(folder, [entry(name, content) for name, content in CONTENTS.items()])
    fake.add(JOB, "completed")
    return folder


def entry(name: str, content: bytes, **fields: Any) -> dict[str, Any]:
    return {
        "path": name,
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "records": content.count(b"\n"),
        **fields,
    }


def replace_by_link(folder: Path) -> None:
    real = folder.parent / "real"
    real.mkdir()
    folder.rename(real / JOB)
    folder.symlink_to(real / JOB)


def write_manifest(folder: Path, entries: list[dict[str, Any]]) -> None:
    (folder / "manifest.json").write_text(json.dumps({"job_type": "extraction", "files": entries}))


async def fetch(api: Any, name: str, method: str = "GET", **headers: str) -> tuple[int, bytes, Any]:
    given = {key.replace("_", "-"): value for key, value in headers.items()}
    async with api.session.request(method, api.url(f"{FILES}/{name}"), headers=given) as response:
        return response.status, await response.read(), response.headers


async def test_api_R6_the_list_is_that_of_the_manifest(api: Any, job: Path) -> None:
    status, body = await api.get(FILES)
    assert (status, body["job_id"]) == (200, JOB)
    assert [file["name"] for file in body["files"]] == list(CONTENTS)
    for file in body["files"]:
        content = CONTENTS[file["name"]]
        media_type = TYPES[file["name"]].partition(";")[0]
        assert file == {
            "name": file["name"], "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest(),
            "records": content.count(b"\n"), "media_type": media_type,
        }  # fmt: skip


@pytest.mark.parametrize("name", CONTENTS)
async def test_api_R6_each_file_with_its_type_and_hash(api: Any, job: Path, name: str) -> None:
    status, content, headers = await fetch(api, name)
    assert (status, content) == (200, CONTENTS[name])
    assert headers["Content-Type"] == TYPES[name]
    assert headers["ETag"] == f'"{hashlib.sha256(content).hexdigest()}"'
    assert headers["X-Content-Type-Options"] == "nosniff"
    last = name.rpartition("/")[2]
    assert headers["Content-Disposition"] == f"attachment; filename=\"{last}\"; filename*=UTF-8''{last}"
    status, content, headed = await fetch(api, name, "HEAD")
    assert (status, content, headed["Content-Length"]) == (200, b"", str(len(CONTENTS[name])))
    assert headed["ETag"] == headers["ETag"]


async def test_api_R6_names_in_headers_are_harmless(api: Any, job: Path) -> None:
    name = 'a"b\\c;é.txt'
    (job / name).write_bytes(b"x")
    write_manifest(job, [entry(name, b"x")])
    status, _, headers = await fetch(api, "a%22b%5Cc%3B%C3%A9.txt")
    assert status == 200
    assert (
        headers["Content-Disposition"]
        == "attachment; filename=\"a_b_c;_.txt\"; filename*=UTF-8''a%22b%5Cc%3B%C3%A9.txt"
    )


OTHER = CONTENTS["other.bin"]
SIZE = len(OTHER)


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=10-19", 10, 19),
        ("bytes=500000-", 500_000, SIZE - 1),
        ("bytes=0-", 0, SIZE - 1),
        ("bytes=-5", SIZE - 5, SIZE - 1),
        ("bytes=-99999999", 0, SIZE - 1),
        ("bytes=10-99999999", 10, SIZE - 1),
    ],
)
async def test_api_R6_a_part_of_a_file(api: Any, job: Path, asked: str, first: int, last: int) -> None:
    status, content, headers = await fetch(api, "other.bin", Range=asked)
    assert (status, content) == (206, OTHER[first : last + 1])
    assert headers["Content-Range"] == f"bytes {first}-{last}/{SIZE}"
    assert headers["Content-Length"] == str(last + 1 - first)


@pytest.mark.parametrize("asked", ["bytes=1-2,4-5", "lines=1-2", "bytes=a-b", "bytes=-", "bytes=5-1", "bytes", ""])
async def test_api_R6_what_is_no_single_range_is_not_looked_at(api: Any, job: Path, asked: str) -> None:
    status, content, headers = await fetch(api, "other.bin", Range=asked)
    assert (status, content) == (200, OTHER) and "Content-Range" not in headers


@pytest.mark.parametrize(
    ("name", "asked"), [("other.bin", f"bytes={SIZE}-"), ("other.bin", "bytes=-0"), ("empty.jsonl", "bytes=0-")]
)
async def test_api_R6_A4_a_part_that_there_is_not(api: Any, job: Path, name: str, asked: str) -> None:
    status, content, headers = await fetch(api, name, Range=asked)
    assert (status, json.loads(content)["error"]) == (416, "RangeNotSatisfiableError")
    assert headers["Content-Range"] == f"bytes */{len(CONTENTS[name])}"


async def test_api_R6_conditions(api: Any, job: Path) -> None:
    etag = (await fetch(api, "other.bin"))[2]["ETag"]
    status, content, headers = await fetch(api, "other.bin", If_None_Match=etag)
    assert (status, content, headers["ETag"]) == (304, b"", etag)
    assert (await fetch(api, "other.bin", If_None_Match='"x", ' + etag))[0] == 304
    assert (await fetch(api, "other.bin", If_None_Match="*"))[0] == 304
    assert (await fetch(api, "other.bin", If_None_Match='"x"'))[0] == 200
    assert (await fetch(api, "other.bin", If_None_Match=f"W/{etag}"))[0] == 304
    assert (await fetch(api, "other.bin", If_Match=etag))[0] == 200
    assert (await fetch(api, "other.bin", If_Match=f"W/{etag}"))[0] == 412
    status, content, _ = await fetch(api, "other.bin", If_Match='"x"')
    assert (status, json.loads(content)["error"]) == (412, "PreconditionFailedError")
    assert (await fetch(api, "other.bin", Range="bytes=0-0", If_Range=etag))[0] == 206
    assert (await fetch(api, "other.bin", Range="bytes=0-0", If_Range='"x"'))[0] == 200


@pytest.mark.parametrize(
    "name",
    [
        "work.txt", "manifest.json", "nothing", "text", "text/", "text/0002.md", "./chunks.jsonl",
        "text/../chunks.jsonl", "..%2f..%2fconfig.toml", "%2e%2e/x", "../../config.toml", "%2fetc%2fpasswd",
        "chunks.jsonl%00", "CHUNKS.JSONL",
        "chunks.jsonl/", "/chunks.jsonl", "x" * 5000,
    ],
)  # fmt: skip
async def test_api_R6_what_the_manifest_does_not_name_is_not_there(api: Any, job: Path, name: str) -> None:
    status, content, _ = await fetch(api, name)
    body = json.loads(content)
    assert (status, body["error"], body["job_id"]) == (404, "ResultFileNotFoundError", JOB)
    assert len(body["name"]) <= 64 and body["name"].isprintable()


@pytest.mark.parametrize("name", ["../outside", "text/../../outside", "/etc/passwd", "..", ".", "", "a//b", "a\0b"])
async def test_api_R6_a_manifest_that_leads_out_leads_nowhere(api: Any, job: Path, name: str) -> None:
    (job.parent / "outside").write_bytes(b"secret")
    write_manifest(job, [entry(name, b"secret")])
    quoted = name.replace("/", "%2f").replace(".", "%2e").replace("\0", "%00") or "x"
    assert (await fetch(api, quoted))[0] == 404


async def test_api_R6_links_are_not_followed_and_only_files_are_sent(api: Any, job: Path) -> None:
    outside = job.parent / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    (job / "link").symlink_to(outside / "secret")
    (job / "folder").symlink_to(outside)
    os.mkfifo(job / "pipe")
    names = ("link", "folder/secret", "pipe", "text")
    write_manifest(job, [entry(name, b"secret", bytes=0 if name == "pipe" else 6) for name in names])
    for name in names:
        assert (await fetch(api, name))[0] == 404
    replace_by_link(job)
    assert (await api.get(FILES))[1]["files"] == []


async def test_api_R6_a_file_that_is_not_what_the_manifest_tells_of(api: Any, job: Path) -> None:
    (job / "train.csv").write_bytes(b"a")
    (job / "taxonomy.json").unlink()
    assert [(await fetch(api, name))[0] for name in ("train.csv", "taxonomy.json", "chunks.jsonl")] == [404, 404, 200]


@pytest.mark.parametrize(
    "text", [None, b"", b"{", b"[]", b"{}", b'{"files": 7}', b'{"files": [{"path": "a"}]}', b"\xff"]
)
async def test_api_R6_a_job_without_a_manifest_has_no_files(
    api: Any, fake: FakeQueue, job: Path, text: bytes | None
) -> None:
    (job / "a").write_bytes(b"")
    (job / "manifest.json").unlink()
    if text is not None:
        (job / "manifest.json").write_bytes(text)
    assert await api.get(FILES) == (200, {"job_id": JOB, "files": []})
    assert (await fetch(api, "a"))[0] == 404


@pytest.mark.parametrize("state", ["pending", "scheduled", "running", "failed", "cancelled"])
async def test_api_R6_A4_only_completed_jobs_have_files(api: Any, job: Path, fake: FakeQueue, state: Any) -> None:
    fake.change(JOB, state)
    for path in (FILES, f"{FILES}/chunks.jsonl"):
        status, body = await api.get(path)
        assert (status, body["error"], body["current_status"]) == (409, "JobNotFinishedError", state)
    fake.expire(JOB)
    for path in (FILES, f"{FILES}/chunks.jsonl"):
        status, body = await api.get(path)
        assert (status, body["error"], body["job_id"]) == (404, "JobNotFoundError", JOB)
    fake.down = AWAY
    assert (await api.get(FILES))[0] == 503


async def test_api_R6_a_client_that_hangs_up_is_nobodys_defect(
    api: Any, job: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloads, "STALLED_SECONDS", 0.05)
    huge = b"x" * 30_000_000
    (job / "huge.bin").write_bytes(huge)
    write_manifest(job, [entry("huge.bin", huge)])
    request = f"GET {FILES}/huge.bin HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    reader, writer = await api.raw(request)
    await reader.readuntil(b"\r\n\r\n")
    writer.transport.abort()
    # This one stays, and reads nothing: it is given up.
    reader, writer = await api.raw(request)
    await reader.readuntil(b"\r\n\r\n")
    writer.transport.pause_reading()

    async def is_over() -> bool:
        return not api.runner.server.connections

    await eventually(is_over, "both connections are closed by the server")
    writer.transport.abort()
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
