"""Files sent over HTTP: streamed, limited, seen whole or not at all, kept as long as a job needs them; R4 and R5."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
import tracemalloc
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from chain_parameters import CHAIN_TYPES
from conftest import eventually
from fake_queue import AWAY, FakeQueue

from jobqueue import Settings, load_settings
from jobqueue.states import TERMINAL
from server import upload_reader
from server.app_keys import UPLOADS
from server.upload_expiry import UploadExpiry
from server.upload_writer import clean_name
from server.uploads import LEAST_COUNTED_BYTES, Uploads, hidden, uses_of

FILES = "/api/v1/jobs/files"
SUBMIT = "/api/v1/jobs/submit"
ANN = hashlib.sha256(b"ann").hexdigest()[:32]
NOBODY = hashlib.sha256(b"default_user").hexdigest()[:32]
DAY = 86400
JOB = str(uuid.UUID(int=1))
BOUNDARY = "multipart/form-data; boundary=X"


@pytest.fixture
def api_settings(tmp_path: Path) -> Settings:
    (tmp_path / "config.toml").write_text(CHAIN_TYPES)
    limits = {"MAX_BYTES": "300000", "MAX_FILES": "3", "USER_BYTES": "1000000"}
    environment = {f"JOBQUEUE_STORAGE_UPLOAD_{name}": value for name, value in limits.items()}
    return load_settings(tmp_path / "config.toml", {**environment, "JOBQUEUE_SERVER_TICK_SECONDS": "0.05"})


@pytest.fixture
def root(api_settings: Settings) -> Path:
    return api_settings.storage.uploads_dir


def form(*files: tuple[str, bytes], **fields: str) -> aiohttp.FormData:
    data = aiohttp.FormData(quote_fields=False)
    for name, value in fields.items():
        data.add_field(name, value)
    for name, content in files:
        data.add_field("file", content, filename=name)
    return data


async def upload(api: Any, *files: tuple[str, bytes], query: str = "", **fields: str) -> tuple[int, Any]:
    status, body, _ = await api.call("POST", FILES + query, data=form(*files, **fields))
    return status, body


async def uploaded(api: Any, **fields: str) -> str:
    status, body = await upload(api, ("a.txt", b"text"), **fields)
    assert status == 201
    return str(body["files"][0]["file_id"])


def users_in(root: Path) -> list[str]:
    return [folder.name for folder in root.iterdir()]


def stored_bytes(root: Path) -> int:
    return sum(file.stat().st_size for file in root.rglob("*") if file.is_file())


def names_in(root: Path) -> list[str]:
    return [path.name for path in root.rglob("*")]


def everything_in(root: Path) -> list[str]:
    """All files and folders but those of users, which may stay empty."""
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.parent != root)


async def test_api_R4_what_is_sent_lies_there_whole(api: Any, root: Path) -> None:
    contents = [("report.pdf", b"%PDF" + os.urandom(250_000)), ("empty.md", b"")]
    status, body = await upload(api, *contents, user_id="ann")
    assert (status, set(body)) == (201, {"files"})
    for (name, content), file in zip(contents, body["files"], strict=True):
        assert set(file) == {"file_id", "name", "bytes", "sha256", "expires_at"}
        assert (file["name"], file["bytes"]) == (name, len(content))
        assert file["sha256"] == hashlib.sha256(content).hexdigest()
        assert (root / ANN / file["file_id"] / name).read_bytes() == content
        assert len(file["file_id"]) == 32
        left = time.mktime(time.strptime(file["expires_at"], "%Y-%m-%dT%H:%M:%SZ")) - time.mktime(time.gmtime())
        assert DAY - 60 < left <= DAY + 1
    assert len(everything_in(root)) == 4


@pytest.mark.parametrize(
    ("query", "fields"), [("?user_id=ann", {}), ("", {"user_id": "ann"}), ("?user_id=ann", {"user_id": "ann"})]
)
async def test_api_R4_whose_they_are(api: Any, root: Path, query: str, fields: dict[str, str]) -> None:
    assert (await upload(api, ("a", b"a"), query=query, **fields))[0] == 201
    assert users_in(root) == [ANN]


async def test_api_R4_nobody_said_is_the_default_user(api: Any, root: Path) -> None:
    await uploaded(api)
    assert users_in(root) == [NOBODY]


async def test_api_R4_list_and_delete_ones_own(api: Any, root: Path) -> None:
    mine, other = await uploaded(api, user_id="ann"), await uploaded(api, user_id="bob")
    status, body = await api.get(f"{FILES}?user_id=ann")
    assert status == 200
    assert [(file["file_id"], file["name"], file["bytes"]) for file in body["files"]] == [(mine, "a.txt", 4)]
    assert (await api.get(FILES))[1] == {"files": []}
    status, body, _ = await api.call("DELETE", f"{FILES}/{other}?user_id=ann")
    assert (status, body["error"], body["file_id"]) == (404, "UploadNotFoundError", other)
    status, body, _ = await api.call("DELETE", f"{FILES}/{mine}?user_id=ann")
    assert (status, body) == (200, {"file_id": mine, "message": "File deleted"})
    assert (await api.call("DELETE", f"{FILES}/{mine}?user_id=ann"))[0] == 404
    assert not (root / ANN / mine).exists() and (await api.get(f"{FILES}?user_id=bob"))[1]["files"]


@pytest.mark.parametrize("file_id", ["x", "%2e%2e", "..%2f..", "a" * 32, "A" * 32, "%00", ".uses", "x" * 5000])
async def test_api_R4_an_unknown_file(api: Any, file_id: str) -> None:
    status, body, _ = await api.call("DELETE", f"{FILES}/{file_id}")
    assert (status, body["error"]) == (404, "UploadNotFoundError")
    assert body["file_id"].isprintable() and len(body["file_id"]) <= 64


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("report.pdf", "report.pdf"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\ann\\plan.docx", "plan.docx"),
        ("/", None),
        ("..", None),
        ("....", None),
        (" . . ", None),
        ("", None),
        ("\x00\x1f\x7f", None),
        (".hidden.md", "hidden.md"),
        ("..\u202etxt.exe", "txt.exe"),
        ("a\r\nb\tc.md", "abc.md"),
        ("a\udcffb", "ab"),
        ("Bericht \u00fcber \u4e16\u754c.md", "Bericht \u00fcber \u4e16\u754c.md"),
        ("u\u0308ber.md", "\u00fcber.md"),
        ("x" * 500 + ".html", "x" * 195 + ".html"),
        ("\u4e16" * 200 + ".md", "\u4e16" * 65 + ".md"),
        ("x" * 300, "x" * 200),
    ],
)
def test_api_R4_names_are_cleaned(raw: str, clean: str | None) -> None:
    assert clean_name(raw) == clean


async def test_api_R4_a_name_that_leads_out_leads_nowhere(api: Any, root: Path) -> None:
    status, body = await upload(api, ("../../../evil.txt", b"x"))
    assert (status, body["files"][0]["name"]) == (201, "evil.txt")
    assert [path.parts[0] for path in (Path(name) for name in everything_in(root.parent))] == ["uploads"] * 3


def part(head: str, content: str = "x") -> str:
    return f"--X\r\n{head}\r\n\r\n{content}\r\n"


FILE_HEAD = 'Content-Disposition: form-data; name="file"; filename="a.txt"'
FILE_PART = part(FILE_HEAD)
USER_PART = part('Content-Disposition: form-data; name="user_id"', "ann")
END = "--X--\r\n"
BAD_BODIES = {
    "empty": ("", 400, "body"),
    "not multipart": ("hello", 400, "body"),
    "no file": (USER_PART + END, 400, "file"),
    "nothing in it": (END, 400, "file"),
    "no end": (FILE_PART, 400, "body"),
    "cut off in a file": (FILE_PART + f"--X\r\n{FILE_HEAD}\r\n\r\nabc", 400, "body"),
    "cut off in a head": (FILE_PART + "--X\r\nContent-Dispo", 400, "body"),
    "another boundary": (FILE_PART + "--Y--\r\n", 400, "body"),
    "only dots": (part(FILE_HEAD.replace("a.txt", "...")) + END, 400, "file"),
    "no name": (part(FILE_HEAD.replace("a.txt", "")) + END, 400, "file"),
    "no name after a good one": (FILE_PART + part(FILE_HEAD.replace("a.txt", "")) + END, 400, "file"),
    "unknown field": (FILE_PART + part('Content-Disposition: form-data; name="colour"') + END, 400, "colour"),
    "no disposition": (FILE_PART + part("X-Nothing: here") + END, 400, ""),
    "user after the files": (FILE_PART + USER_PART + END, 400, "user_id"),
    "another user": (USER_PART + USER_PART.replace("ann", "bob") + FILE_PART + END, 400, "user_id"),
    "bad user": (USER_PART.replace("ann", "a b") + FILE_PART + END, 400, "user_id"),
    "endless user": (USER_PART.replace("ann", "a" * 100_000) + FILE_PART + END, 400, "user_id"),
    "base64": (part(FILE_HEAD + "\r\nContent-Transfer-Encoding: base64") + END, 400, "file"),
    "parts in a part": (part("Content-Type: multipart/mixed; boundary=Y", "--Y\r\n\r\nx\r\n--Y--") + END, 400, "body"),
    "a bad head": (FILE_PART + part("nonsense without colon") + END, 400, "body"),
    "too many": (FILE_PART * 4 + END, 400, "file"),
    "too large": (FILE_PART + part(FILE_HEAD, "x" * 300_001) + END, 413, "filename"),
    "too much for the user": (part(FILE_HEAD, "x" * 299_999) * 3 + END, 201, ""),
}


@pytest.mark.parametrize(("text", "status", "field"), BAD_BODIES.values(), ids=BAD_BODIES.keys())
async def test_api_R4_Q12_bad_bodies_name_the_field_and_leave_nothing(
    api: Any, root: Path, text: str, status: int, field: str
) -> None:
    got, body, _ = await api.call("POST", FILES, data=text.encode(), headers={"Content-Type": BOUNDARY})
    assert got == status, body
    if status != 201:
        assert body["details"][0]["loc"][0] == field and "Traceback" not in str(body)
        assert body["error"] == {400: "InvalidParameterError", 413: "PayloadTooLargeError"}[status]
        assert everything_in(root) == []


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Type": "application/json"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content-Type": "multipart/mixed; boundary=X"}, 415),
        ({"Content-Type": BOUNDARY, "Content-Encoding": "gzip"}, 415),
        ({"Content-Type": "multipart/form-data"}, 400),
        ({"Content-Type": "multipart/form-data; boundary=" + "X" * 200}, 400),
        ({"Content-Type": BOUNDARY, "Idempotency-Key": "k"}, 400),
    ],
)
async def test_api_R4_A4_other_heads(api: Any, root: Path, headers: dict[str, str], status: int) -> None:
    got, body, _ = await api.call("POST", FILES, data=(FILE_PART + END).encode(), headers=headers)
    assert got == status, body
    assert everything_in(root) == []


@pytest.mark.parametrize("query", ["?user_id=a%20b", "?user_id=", "?user_id=ann&user_id=bob"])
async def test_api_R4_bad_users_are_refused_everywhere(api: Any, root: Path, query: str) -> None:
    for method, path in (("GET", FILES), ("DELETE", f"{FILES}/{'a' * 32}")):
        status, body, _ = await api.call(method, path + query)
        assert (status, body["details"][0]["loc"]) == (400, ["user_id"])
    assert (await upload(api, ("a", b"a"), query=query))[1]["details"][0]["loc"] == ["user_id"]
    assert (await upload(api, ("a", b"a"), query="?user_id=ann", user_id="bob"))[0] == 400
    assert everything_in(root) == []


async def test_api_R4_the_quota_of_a_user(api: Any, root: Path) -> None:
    for _ in range(3):
        assert (await upload(api, ("a", b"x" * 290_000), user_id="ann"))[0] == 201
    before = everything_in(root)
    status, body = await upload(api, ("small", b"x"), ("b", b"x" * 290_000), user_id="ann")
    assert (status, body["error"], body["quota_bytes"]) == (413, "UploadQuotaError", 1_000_000)
    assert everything_in(root) == before
    assert (await upload(api, ("b", b"x" * 290_000), user_id="bob"))[0] == 201
    file_id = (await api.get(f"{FILES}?user_id=ann"))[1]["files"][0]["file_id"]
    await api.call("DELETE", f"{FILES}/{file_id}?user_id=ann")
    assert (await upload(api, ("b", b"x" * 290_000), user_id="ann"))[0] == 201


async def test_api_R4_a_quota_bounds_the_number_of_files_too(api: Any, api_settings: Settings) -> None:
    room = api_settings.storage.upload_user_bytes // LEAST_COUNTED_BYTES
    codes = [(await upload(api, ("a", b"")))[0] for _ in range(room + 1)]
    assert codes == [201] * room + [413]


async def test_api_R4_at_the_same_time_nobody_gets_more_than_the_quota(api: Any, root: Path) -> None:
    answers = await asyncio.gather(*(upload(api, ("a", b"x" * 200_000), user_id="ann") for _ in range(12)))
    assert {status for status, _ in answers} <= {201, 413}
    assert stored_bytes(root) == 200_000 * sum(status == 201 for status, _ in answers) <= 1_000_000


async def pieces(count: int) -> AsyncIterator[bytes]:
    yield f"--X\r\n{FILE_HEAD}\r\n\r\n".encode()
    for _ in range(count):
        yield b"y" * 65536


async def test_api_R4_never_a_whole_file_in_memory(start: Any, api_settings: Settings, fake: FakeQueue) -> None:
    storage = api_settings.storage.model_copy(update={"upload_max_bytes": 10**9, "upload_user_bytes": 10**9})
    api = await start(api_settings.model_copy(update={"storage": storage}), fake)

    async def body() -> AsyncIterator[bytes]:
        async for piece in pieces(800):
            yield piece
        yield b"\r\n--X--\r\n"

    tracemalloc.start()
    status, answer, _ = await api.call("POST", FILES, data=body(), headers={"Content-Type": BOUNDARY})
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (status, answer["files"][0]["bytes"]) == (201, 800 * 65536)
    assert answer["files"][0]["sha256"] == hashlib.sha256(b"y" * 800 * 65536).hexdigest()
    assert peak < 12_000_000, "of 52 MB, in client and server together"


async def test_api_R4_who_hangs_up_leaves_nothing_and_is_never_seen(api: Any, root: Path) -> None:
    head = f"POST {FILES} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {BOUNDARY}\r\nContent-Length: 200000\r\n\r\n"
    _, writer = await api.raw((head + FILE_PART + f"--X\r\n{FILE_HEAD}\r\n\r\nabc").encode())

    async def has_begun() -> bool:
        writer.write(b"y" * 100)
        return len(everything_in(root)) == 4

    await eventually(has_begun, "the second file is on its way")
    assert (await api.get(FILES))[1] == {"files": []}, "nothing of a request is seen before all of it is there"
    assert all(name.partition("/")[2].startswith(".") for name in everything_in(root))
    writer.transport.abort()

    async def is_gone() -> bool:
        return everything_in(root) == []

    await eventually(is_gone, "what was received is removed")


async def test_api_R4_A4_a_slow_body_is_given_up(
    start: Any, api_settings: Settings, fake: FakeQueue, root: Path
) -> None:
    server = api_settings.server.model_copy(update={"body_timeout_seconds": 0.2})
    api = await start(api_settings.model_copy(update={"server": server}), fake)
    head = f"POST {FILES} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {BOUNDARY}\r\nContent-Length: 200000\r\n\r\n"
    reader, writer = await api.raw((head + f"--X\r\n{FILE_HEAD}\r\n\r\nabc").encode())
    answer = await asyncio.wait_for(reader.readuntil(b"}"), 10)
    writer.close()
    assert answer.startswith(b"HTTP/1.1 408 ") and b"RequestTimeoutError" in answer
    assert everything_in(root) == []


async def test_api_R4_a_large_file_has_time(
    start: Any, api_settings: Settings, fake: FakeQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time for a body grows with what has arrived."""
    monkeypatch.setattr(upload_reader, "BLOCK", 65536)
    patience = 0.5
    server = api_settings.server.model_copy(update={"body_timeout_seconds": patience})
    api = await start(api_settings.model_copy(update={"server": server}), fake)
    began = time.monotonic()

    async def is_late() -> bool:
        return time.monotonic() > began + 2 * patience

    async def body() -> AsyncIterator[bytes]:
        async for piece in pieces(3):
            yield piece
        await eventually(is_late, "the time for a small body is over")
        yield b"\r\n--X--\r\n"

    assert (await api.call("POST", FILES, data=body(), headers={"Content-Type": BOUNDARY}))[0] == 201


async def test_api_R4_A4_more_than_a_user_may_have_is_refused_before_it_comes(api: Any) -> None:
    head = f"POST {FILES} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {BOUNDARY}\r\n"
    reader, writer = await api.raw(f"{head}Content-Length: 99000000\r\n\r\n".encode())
    answer = await asyncio.wait_for(reader.readuntil(b"}"), 10)
    writer.close()
    assert answer.startswith(b"HTTP/1.1 413 ")


async def test_api_R4_no_room_on_the_disk(api: Any, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(self: Any, block: bytes) -> None:
        raise OSError(28, "No space left on device", "/secret/place")

    monkeypatch.setattr("server.upload_writer.IncomingFile.write", no_room)
    status, body = await upload(api, ("a", b"abc"))
    assert (status, body["error"]) == (503, "StorageUnavailableError")
    assert "No space left" in body["message"] and "secret" not in str(body)
    assert everything_in(root) == []


def naming(*file_ids: str, **options: Any) -> dict[str, Any]:
    documents = [{"file_id": file_id} for file_id in file_ids]
    return {"job_type": "document_processing", "parameters": {"documents": documents}, **options}


def age(folder: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(folder, (then, then))


def age_of(folder: Path) -> float:
    return time.time() - folder.stat().st_mtime


async def test_api_R5_a_job_names_files_of_its_user_only(api: Any, fake: FakeQueue) -> None:
    mine, other = await uploaded(api, user_id="ann"), await uploaded(api, user_id="bob")
    assert (await api.post(SUBMIT, naming(mine, user_id="ann")))[0] == 202
    for wrong in (other, "0" * 32, "../../x", ".uses"):
        status, body = await api.post(SUBMIT, naming(mine, wrong, user_id="ann"))
        assert (status, body["error"]) == (400, "InvalidParameterError")
        assert body["details"][0]["loc"] == ["parameters", "documents", 1, "file_id"]
        assert body["details"][0]["msg"] == f"file_not_found: there is no file {wrong}"
    assert len(fake.new) == 1
    bulk = await api.post(f"{SUBMIT}/bulk", {"jobs": [naming(mine, user_id="ann"), naming(other, user_id="ann")]})
    assert (bulk[1]["accepted"], bulk[1]["rejected"]) == (1, 1)


async def test_api_R5_R2_files_in_a_pipeline(api: Any) -> None:
    file_id = await uploaded(api)
    assert (await api.post("/api/v1/jobs/pipeline", {"documents": [{"file_id": file_id}]}))[0] == 202
    status, body = await api.post("/api/v1/jobs/pipeline", {"documents": [{"file_id": "0" * 32}]})
    assert (status, body["details"][0]["loc"]) == (400, ["documents", 0, "file_id"])
    keyed = {"headers": {"Idempotency-Key": "k"}}
    first = await api.post("/api/v1/jobs/pipeline", {"documents": [{"file_id": file_id}]}, **keyed)
    await api.call("DELETE", f"{FILES}/{file_id}")
    assert await api.post("/api/v1/jobs/pipeline", {"documents": [{"file_id": file_id}]}, **keyed) == first


async def test_api_R5_a_recurring_job_names_no_uploads(api: Any, fake: FakeQueue) -> None:
    body = naming(await uploaded(api), interval_seconds=60)
    status, answer = await api.post("/api/v1/jobs/schedules", body)
    assert (status, answer["details"][0]["loc"][-1]) == (400, "file_id")
    assert not fake.schedules.known


async def test_api_R5_a_submission_counts_as_use(api: Any, root: Path) -> None:
    file_id = await uploaded(api)
    folder = root / NOBODY / file_id
    age(folder, 1000)
    await api.post(SUBMIT, naming(file_id))
    assert abs(age_of(folder)) < 60
    await api.post(SUBMIT, naming(file_id, delay_seconds=5000))
    assert -5001 < age_of(folder) < -4900, "it is used when the job starts"
    await api.post(SUBMIT, naming(file_id, scheduled_time="2199-01-01T00:00:00Z"))
    later = age_of(folder)
    assert later < -1_000_000
    await api.post(SUBMIT, naming(file_id))
    assert age_of(folder) < later + 60, "never earlier than it was"


@pytest.fixture
def uploads(api: Any) -> Uploads:
    return api.app[UPLOADS]  # type: ignore[no-any-return]


async def test_api_R5_unused_files_go_after_their_time(api: Any, fake: FakeQueue, root: Path, uploads: Uploads) -> None:
    old, new = await uploaded(api), await uploaded(api)
    age(root / NOBODY / old, DAY + 1)
    age(root / NOBODY / new, DAY - 60)
    assert await UploadExpiry(uploads, fake).run() == 1  # type: ignore[arg-type]
    assert [file["file_id"] for file in (await api.get(FILES))[1]["files"]] == [new]
    assert old not in names_in(root)


@pytest.mark.parametrize("state", ["pending", "scheduled", "running", "failed", "cancelled", "completed"])
async def test_api_R5_a_file_stays_as_long_as_a_job_needs_it(
    api: Any, fake: FakeQueue, root: Path, uploads: Uploads, state: Any
) -> None:
    """However long it waits; also one that could be restarted."""
    file_id = await uploaded(api)
    _, body = await api.post(SUBMIT, naming(file_id))
    folder = root / NOBODY / file_id
    assert [mark.name for mark in uses_of(folder).iterdir()] == [body["job_id"]]
    fake.change(body["job_id"], state)
    age(folder, 100 * DAY)
    expiry = UploadExpiry(uploads, fake)  # type: ignore[arg-type]
    if state == "completed":
        assert await expiry.run() == 1
        assert names_in(root) == []
    else:
        assert await expiry.run() == 0
        assert abs(age_of(folder)) < 60, "looked at again after the same time"
        if state in TERMINAL:
            fake.expire(body["job_id"])
            age(folder, 2 * DAY)
            assert await expiry.run() == 1


async def test_api_R5_nothing_goes_while_nobody_knows(api: Any, fake: FakeQueue, root: Path, uploads: Uploads) -> None:
    file_id = await uploaded(api)
    await api.post(SUBMIT, naming(file_id))
    age(root / NOBODY / file_id, 100 * DAY)
    fake.down = AWAY
    with pytest.raises(type(AWAY)):
        await UploadExpiry(uploads, fake).run()  # type: ignore[arg-type]
    assert (root / NOBODY / file_id / "a.txt").exists()


async def test_api_R5_a_file_named_in_the_last_moment_stays(
    api: Any, fake: FakeQueue, root: Path, uploads: Uploads
) -> None:
    file_id = await uploaded(api)
    folder = root / NOBODY / file_id
    await api.post(SUBMIT, naming(file_id, job_id=JOB))
    fake.change(JOB, "completed")
    age(folder, 2 * DAY)

    async def name_it_now() -> None:
        fake.before_read = None
        assert (await api.post(SUBMIT, naming(file_id)))[0] == 202

    fake.before_read = name_it_now
    assert await UploadExpiry(uploads, fake).run() == 0  # type: ignore[arg-type]
    assert (folder / "a.txt").exists()


async def test_api_R5_what_a_dead_server_left_goes_too(api: Any, fake: FakeQueue, root: Path, uploads: Uploads) -> None:
    file_id = await uploaded(api)
    broken, going_on = root / ANN / f".{'b' * 32}", root / ANN / f".{'c' * 32}"
    marks = root / ANN / ".uses" / ("d" * 32)
    for folder in (broken, going_on, marks):
        folder.mkdir(parents=True)
        (folder / ".part").write_bytes(b"half")
        age(folder, 2 * DAY)
    for folder in (broken, marks):
        age(folder / ".part", 2 * DAY)
    await UploadExpiry(uploads, fake).run()  # type: ignore[arg-type]
    assert not broken.exists() and not marks.exists()
    assert going_on.exists(), "it still brings something"
    assert (root / NOBODY / file_id).exists() and not hidden(root / NOBODY / file_id).exists()


async def test_api_R5_the_server_does_it_by_itself(
    start: Any, api_settings: Settings, fake: FakeQueue, root: Path
) -> None:
    storage = api_settings.storage.model_copy(update={"upload_retention_seconds": 1})
    api = await start(api_settings.model_copy(update={"storage": storage}), fake)
    await uploaded(api)

    async def is_gone() -> bool:
        return names_in(root) == []

    await eventually(is_gone, "the file has expired")


async def test_api_R5_R1_what_was_accepted_is_answered_again(api: Any, root: Path) -> None:
    file_id = await uploaded(api)
    first = await api.post(SUBMIT, naming(file_id, job_id=JOB))
    await api.call("DELETE", f"{FILES}/{file_id}")
    assert await api.post(SUBMIT, naming(file_id, job_id=JOB)) == first
    assert (await api.post(SUBMIT, naming(file_id)))[0] == 400
