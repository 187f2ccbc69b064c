"""document_processing: documents by their address, from places that the operator allows, within all limits."""

from __future__ import annotations

import errno
import gzip
import io
import json
import socket
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from samples import document_support as support
from samples.web_stub import CERTIFICATE, Page, Web, web_stub

from worker.context import JobCancelled, PermanentError, RetryableError, UrlRules
from worker.jobs.document_processing import by_url
from worker.jobs.document_processing.parameters import Parameters
from worker.jobs.document_processing.run import run
from worker.jobs.document_processing.unpack import NotUnpackedError, Unpacker
from worker.jobs.shared import addresses
from worker.jobs.shared.errors import StorageError

HTML = b"<!doctype html><title>t</title><h1>Tides</h1><p>The harbour is open at high water only.</p>"
TEXT = {"Content-Type": "text/plain"}


@pytest.fixture
def web() -> Iterator[Web]:
    with web_stub() as site:
        yield site


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "job"


def listed(*sites: Web, **more: Any) -> UrlRules:
    return UrlRules("listed", [site.origin for site in sites], **more)


def records(folder: Path, rules: UrlRules, *urls: str, stop: Callable[[], None] = lambda: None, **values: Any) -> Any:
    """The lines of `documents.jsonl`."""
    ctx = support.FakeContext(folder, folder, stop)
    ctx.url_rules = rules
    with suppress(PermanentError, RetryableError):
        run(ctx, Parameters.model_validate({"documents": [{"url": url} for url in urls], **values}))
    return support.read_lines(folder / "documents.jsonl")


def errors(*given: Any, **values: Any) -> list[tuple[str, bool]]:
    found = [record["error"] for record in records(*given, **values)]
    assert {error["stage"] for error in found} == {"fetch"}
    assert not any("127.0.0.1" in error["message"] for error in found)
    return [(error["code"], error["retryable"]) for error in found]


def resolving(monkeypatch: pytest.MonkeyPatch, *answers: str) -> list[str]:
    """What names ending in `.test` stand for, and which have been asked for."""
    real, asked = socket.getaddrinfo, []

    def answer(host: str, port: Any, *rest: Any, **more: Any) -> Any:
        if not host.endswith(".test"):
            return real(host, port, *rest, **more)
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in answers]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    return asked


def test_documents_are_fetched_and_told_by_their_address(web: Web, folder: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    web.pages = {
        "/tides": Page(HTML, headers={"Content-Type": "text/html", "Set-Cookie": "a=1"}),
        "/files/hand%20book.pdf": Page(support.make_pdf(["Of the harbour and its tides."])),
        "/files/hand book.pdf": Page(support.make_pdf(["Of the harbour and its tides."])),
        "/": Page(b"Words of the first page. " * 5, headers=TEXT, sized=False),
    }
    urls = [f"{web.origin}/tides?of=may&to=june#top", f"{web.origin}/files/hand%20book.pdf", web.origin]
    ctx = support.FakeContext(folder, folder)
    ctx.url_rules = listed(web)
    result = run(ctx, Parameters.model_validate({"documents": [{"url": url} for url in urls]}))
    assert (result["processed_documents"], result["by_type"]) == (3, {"html": 1, "pdf": 1, "text": 1})
    found = support.read_lines(folder / "documents.jsonl")
    assert [record["name"] for record in found] == ["tides", "hand book.pdf", "127.0.0.1"]
    assert found[0]["source"] == {"url": f"{web.origin}/tides?of=may&to=june"}
    assert (folder / found[0]["text_file"]).read_text() == "# Tides\n\nThe harbour is open at high water only.\n"
    inputs = json.loads((folder / "manifest.json").read_text())["inputs"]
    assert [entry["source"] for entry in inputs] == [record["source"] for record in found]
    assert any(step == "Fetching 2/3 hand book.pdf" for _, step, _, _ in ctx.notes)
    assert web.paths == ["/tides?of=may&to=june", "/files/hand%20book.pdf", "/"]
    for _, headers in web.asked:
        assert headers["User-Agent"].startswith("jobqueue") and headers["Accept-Encoding"] == "identity"
        assert "Cookie" not in headers
    assert sorted(file.name for file in folder.iterdir()) == [
        "chunks.jsonl", "documents.jsonl", "manifest.json", "text",
    ]  # fmt: skip


def test_the_encoding_that_the_server_names_is_a_hint(web: Web, folder: Path) -> None:
    words = "Žluťoučký kůň úpěl ďábelské ódy. " * 3
    wrong = f"<!doctype html><meta charset=koi8-r><p>{words}</p>".encode("iso8859-2")
    other = f"<!doctype html><meta charset=cp1252><p>{words}</p>".encode("iso8859-2")
    web.pages = {
        "/wrong": Page(wrong, headers={"Content-Type": "text/html; charset=ISO-8859-2"}),
        "/other": Page(other, headers={"Content-Type": "text/html; charset=nonsense"}),
        "/text": Page(words.encode("iso8859-2"), headers={"Content-Type": 'text/plain; charset="iso-8859-2"'}),
        "/same/text": Page(words.encode("iso8859-2"), headers={"Content-Type": "text/plain; charset=ISO-8859-1"}),
        "/unknown": Page(words.encode(), headers={"Content-Type": "text/plain; charset=nonsense"}),
    }
    found = records(folder, listed(web), *(f"{web.origin}{path}" for path in web.pages))
    texts = [(folder / record["text_file"]).read_text() for record in found]
    assert [text.strip() == words.strip() for text in texts] == [True, False, True, False, True]
    assert [record["encoding"] for record in found] == ["iso8859-2", "cp1252", "iso8859-2", "cp1252", "utf-8"]
    # The caller's word counts more.
    (asked,) = records(folder, listed(web), f"{web.origin}/same/text", encoding="iso8859-2")
    assert (folder / asked["text_file"]).read_text().strip() == words.strip()


def test_a_body_that_is_compressed_although_nobody_asked(web: Web, folder: Path) -> None:
    packed = {"/gzip": ("gzip", gzip.compress(HTML)), "/deflate": ("deflate", zlib.compress(HTML))}
    for path, (encoding, body) in packed.items():
        web.pages[path] = Page(body, headers={"Content-Encoding": encoding}, sized=path == "/gzip")
    assert [record["bytes"] for record in records(folder, listed(web), *(web.origin + path for path in packed))] == [
        len(HTML)
    ] * 2


@pytest.mark.parametrize(
    ("page", "code", "retryable"),
    [
        (Page(status=404), "url_not_found", False),
        (Page(status=410), "url_not_found", False),
        (Page(status=403), "url_failed", False),
        (Page(status=204), "url_failed", False),
        (Page(status=206, body=HTML), "url_failed", False),
        (Page(status=429), "url_failed", True),
        (Page(status=500), "url_failed", True),
        (Page(status=302), "url_failed", False),
        (Page(HTML, then="break"), "url_failed", True),
        (Page(gzip.compress(HTML)[:-9], headers={"Content-Encoding": "gzip"}), "url_failed", False),
        (Page(HTML, headers={"Content-Encoding": "gzip"}), "url_failed", False),
        (Page(HTML, headers={"Content-Encoding": "br"}), "url_failed", False),
    ],
    ids=lambda value: f"{value.status}-{value.then}" if isinstance(value, Page) else None,
)
def test_what_the_server_does_not_send(web: Web, folder: Path, page: Page, code: str, retryable: bool) -> None:
    web.pages["/"] = page
    assert errors(folder, listed(web), web.origin) == [(code, retryable)]


def test_one_bad_address_does_not_stop_the_others(web: Web, folder: Path) -> None:
    web.pages["/good"] = Page(HTML)
    found = records(folder, listed(web), f"{web.origin}/bad", f"{web.origin}/good")
    assert [record["status"] for record in found] == ["failed", "completed"]
    assert found[0]["error"]["message"] == "The server says that there is no such document (HTTP 404)."


def test_documents_come_while_others_are_parsed(web: Web, tmp_path: Path) -> None:
    for number in range(5):
        web.pages[f"/{number}"] = Page(HTML.replace(b"Tides", b"Tides %d" % number))
    del web.pages["/2"]
    found = {}
    for processes in (1, 3):
        ctx = support.FakeContext(tmp_path / f"job-{processes}", tmp_path)
        ctx.url_rules, ctx.processes = listed(web), processes
        urls = [f"{web.origin}/{number}" for number in range(5)]
        run(ctx, Parameters.model_validate({"documents": [{"url": url} for url in urls]}))
        found[processes] = (ctx.folder / "documents.jsonl").read_bytes()
    assert found[1] == found[3]
    statuses = [record["status"] for record in support.read_lines(tmp_path / "job-3" / "documents.jsonl")]
    assert statuses == ["completed", "completed", "failed", "completed", "completed"]


def test_a_server_that_is_not_there(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        origin = f"http://127.0.0.1:{taken.getsockname()[1]}"
    assert errors(folder, UrlRules("listed", [origin]), origin) == [("url_failed", True)]


@pytest.mark.parametrize("then", ["hang", "repeat"])
def test_a_server_that_does_not_end(web: Web, folder: Path, then: Any) -> None:
    web.pages["/"] = Page(b"x", then=then, sized=False)
    rules = listed(web, timeout_seconds=0.3)
    assert errors(folder, rules, web.origin, max_document_bytes=200_000_000) == [("url_timeout", True)]
    web.pages["/"] = Page(b"x", then="hang", headers={"Content-Length": "2"}, sized=False)
    assert errors(folder, listed(web), web.origin, document_timeout=1) == [("url_timeout", True)]


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_server_that_never_speaks(folder: Path, scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        origin = f"{scheme}://127.0.0.1:{silent.getsockname()[1]}"
        rules = UrlRules("listed", [origin], timeout_seconds=0.3)
        assert errors(folder, rules, origin) == [("url_timeout", True)]


def test_cancelling_while_a_server_hangs(web: Web, folder: Path) -> None:
    web.pages["/"] = Page(b"x", then="hang", sized=False)

    def stop() -> None:
        if web.asked:
            raise JobCancelled

    with pytest.raises(JobCancelled):
        records(folder, listed(web), web.origin, stop=stop)
    assert web.left.wait(5), "the connection is closed"
    assert list(folder.iterdir()) == []


def test_cancelling_while_a_name_server_hangs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, answer, waited = threading.Event(), threading.Event(), threading.Event()

    def silent(*rest: Any, **more: Any) -> Any:
        asked.set()
        answer.wait(5)
        waited.set()
        raise socket.gaierror(socket.EAI_AGAIN, "later")

    def stop() -> None:
        if asked.is_set():
            raise JobCancelled

    monkeypatch.setattr(socket, "getaddrinfo", silent)
    with pytest.raises(JobCancelled):
        records(folder, UrlRules("public"), "http://documents.test/", stop=stop)
    assert not waited.is_set()
    answer.set()


@pytest.mark.parametrize(("of_job", "of_operator", "words"), [(50, 1000, "max_document_bytes"), (1000, 50, "operator")])
@pytest.mark.parametrize("kind", ["sized", "unsized", "endless", "bomb"])
def test_a_document_that_is_too_large(
    web: Web, folder: Path, kind: str, of_job: int, of_operator: int, words: str
) -> None:
    packed = {"Content-Encoding": "gzip"}
    web.pages["/"] = {
        "sized": Page(headers={"Content-Length": "51"}, sized=False, then="hang"),
        "unsized": Page(b"x" * 51, sized=False, then="hang"),
        "endless": Page(b"x" * 20, then="repeat"),
        "bomb": Page(gzip.compress(bytes(5_000_000)), headers=packed),
    }[kind]
    (record,) = records(folder, listed(web, max_bytes=of_operator), web.origin, max_document_bytes=of_job)
    assert (record["error"]["code"], record["error"]["retryable"]) == ("document_too_large", False)
    assert words in record["error"]["message"]


def test_a_document_as_large_as_it_may_be(web: Web, folder: Path) -> None:
    web.pages["/"] = Page(b"word " * 10)
    (record,) = records(folder, listed(web, max_bytes=50), web.origin, max_document_bytes=50)
    assert (record["status"], record["bytes"]) == ("completed", 50)


@pytest.mark.parametrize("cut", [-1, 0, 1, 2, 5])
def test_a_body_of_two_parts_is_whole_wherever_the_network_cuts_it(cut: int) -> None:
    first, second = gzip.compress(b"first, "), gzip.compress(b"second")
    place, body, unpacker = len(first) + cut, first + second, Unpacker("gzip")
    assert b"".join([*unpacker.pieces(body[:place]), *unpacker.pieces(body[place:])]) == b"first, second"
    unpacker.finish()


def test_a_name_that_stands_for_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch)
    assert errors(folder, UrlRules("public"), "http://documents.test/") == [("url_not_found", False)]


def test_compressed_bodies_are_unpacked_in_small_pieces() -> None:
    unpacker, data = Unpacker("GZIP"), bytes(9_999_999)
    packed = gzip.compress(data[:5_000_000]) + gzip.compress(data[5_000_000:]) + b"\0\0"
    pieces = [len(piece) for start in range(0, len(packed), 999) for piece in unpacker.pieces(packed[start:][:999])]
    unpacker.finish()
    assert sum(pieces) == len(data) and max(pieces) <= 300_000
    with pytest.raises(NotUnpackedError):
        Unpacker("gzip, br")


def test_redirects_are_followed_three_times(web: Web, folder: Path) -> None:
    for number, status in enumerate((301, 303, 307, 308), 1):
        web.redirect(f"/{number}", f"/{number + 1}#part", status)
    web.pages["/5"] = Page(HTML)
    (record,) = records(folder, listed(web), f"{web.origin}/2")
    assert (record["status"], record["name"]) == ("completed", "2")
    assert errors(folder, listed(web), f"{web.origin}/1") == [("url_failed", False)]
    assert web.paths == ["/2", "/3", "/4", "/5", "/1", "/2", "/3", "/4"]


@pytest.mark.parametrize(
    "way", ["/found?ä=ö ü", "../found?%C3%A4=%C3%B6%20%C3%BC", "{origin}/found?ä=ö ü", "/found?ä=ö ü" + "x" * 3000]
)
def test_redirects_in_all_forms(web: Web, folder: Path, way: str) -> None:
    web.redirect("/a/b", way.format(origin=web.origin))
    web.pages["/found"] = Page(HTML)
    (record,) = records(folder, listed(web), f"{web.origin}/a/b")
    assert record["status"] == "completed"
    assert web.paths[1].rstrip("x") == "/found?%C3%A4=%C3%B6%20%C3%BC"


@pytest.mark.parametrize(
    "to",
    [
        "http://127.0.0.1:1/",
        "http://2130706433/",
        "http://localhost/",
        "http://[::ffff:127.0.0.1]/",
        "http://user:word@127.0.0.1/",
        "http://inside.test/",
        "http://1.1.1.1:22/",
        "//127.0.0.1/",
        "file:///etc/passwd",
        "ftp://1.1.1.1/",
        "http://[",
        "http://1.1.1.1\\@127.0.0.1/",
    ],
)
def test_redirects_lead_nowhere_inside(web: Web, folder: Path, monkeypatch: pytest.MonkeyPatch, to: str) -> None:
    resolving(monkeypatch, "127.0.0.1")
    with web_stub() as inside:
        inside.pages["/"] = Page(HTML)
        monkeypatch.setattr(addresses, "_PORTS", {80, 443, inside.port})
        web.redirect("/1", to.replace("test/", f"test:{inside.port}/"))
        web.redirect("/2", f"{inside.origin}/")
        rules = UrlRules("public", [web.origin])
        found = errors(folder, rules, f"{web.origin}/1", f"{web.origin}/2")
        assert found == [("url_forbidden", False)] * 2
        assert inside.asked == []


def over_tls(site: Web) -> str:
    return f"https://documents.test:{site.port}"


def test_tls_asks_for_the_name_and_never_goes_back_to_http(
    web: Web, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolving(monkeypatch, "127.0.0.1")
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    with web_stub(tls=True) as safe:
        safe.pages["/good"] = web.pages["/good"] = Page(HTML)
        safe.redirect("/down", f"{web.origin}/good")
        web.redirect("/up", f"{over_tls(safe)}/good")
        rules = UrlRules("listed", [over_tls(safe), safe.origin, web.origin])
        found = records(folder, rules, f"{over_tls(safe)}/good", f"{web.origin}/up", f"{over_tls(safe)}/down")
        assert [record["error"] and record["error"]["code"] for record in found] == [None, None, "url_forbidden"]
        assert "from https to http" in found[2]["error"]["message"]
        assert web.paths == ["/up"]
        # The certificate is for another name.
        assert errors(folder, rules, f"{safe.origin}/good") == [("url_failed", False)]
        assert errors(folder, UrlRules("listed", [f"http://127.0.0.1:{safe.port}"]), f"http://127.0.0.1:{safe.port}")


def test_a_certificate_that_nobody_vouches_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, "127.0.0.1")
    with web_stub(tls=True) as safe:
        (record,) = records(folder, UrlRules("listed", [over_tls(safe)]), over_tls(safe))
    assert record["error"]["code"] == "url_failed" and "certificate" in record["error"]["message"]


@pytest.mark.parametrize(
    "answers",
    [["127.0.0.1"], ["::ffff:127.0.0.1"], ["64:ff9b::7f00:1"], ["1.1.1.1", "10.0.0.1"], ["169.254.169.254"], ["::1"]],
)
def test_names_that_lead_inwards(
    web: Web, folder: Path, monkeypatch: pytest.MonkeyPatch, answers: Sequence[str]
) -> None:
    resolving(monkeypatch, *answers)
    monkeypatch.setattr(addresses, "_PORTS", {web.port})
    assert errors(folder, UrlRules("public"), f"http://inside.test:{web.port}/") == [("url_forbidden", False)]
    assert web.asked == []


def test_the_address_that_was_looked_at_is_the_one_connected_to(
    web: Web, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = resolving(monkeypatch, "127.0.0.1")
    monkeypatch.setattr(addresses, "_PORTS", {web.port})
    monkeypatch.setattr(addresses, "is_public", lambda address: True)
    web.pages["/"] = Page(HTML)
    (record,) = records(folder, UrlRules("public"), f"http://documents.test:{web.port}/")
    assert record["status"] == "completed"
    assert asked == ["documents.test"], "a second answer could be another"
    assert web.asked[0][1]["Host"] == f"documents.test:{web.port}"


@pytest.mark.parametrize(
    ("number", "code", "retryable"),
    [(socket.EAI_NONAME, "url_not_found", False), (socket.EAI_AGAIN, "url_failed", True)],
)
def test_names_without_an_address(
    folder: Path, monkeypatch: pytest.MonkeyPatch, number: int, code: str, retryable: bool
) -> None:
    def fail(*rest: Any, **more: Any) -> Any:
        raise socket.gaierror(number, "no")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    assert errors(folder, UrlRules("public"), "http://documents.test/") == [(code, retryable)]


def test_a_name_that_cannot_be_one(folder: Path) -> None:
    assert (
        errors(folder, UrlRules("public"), f"http://{'a' * 70}.example/", "http://a..b/")
        == [("url_not_found", False)] * 2
    )


@pytest.mark.parametrize(
    ("rules", "code"),
    [
        (UrlRules(), "url_sources_disabled"),
        (UrlRules("off", ["{origin}"]), "url_sources_disabled"),
        (UrlRules("listed"), "url_forbidden"),
        (UrlRules("listed", ["http://127.0.0.1:1"]), "url_forbidden"),
        (UrlRules("public"), "url_forbidden"),
    ],
)
def test_the_worker_has_its_own_rules(web: Web, folder: Path, rules: UrlRules, code: str) -> None:
    """The server may have others."""
    own = UrlRules(rules.access, [origin.format(origin=web.origin) for origin in rules.origins])
    (record,) = records(folder, own, web.origin)
    assert (record["error"]["code"], record["error"]["retryable"]) == (code, False)
    assert "operator" in record["error"]["message"]
    assert web.asked == []


class FullForAMoment(io.BytesIO):
    def write(self, data: Any) -> int:
        raise OSError(errno.ENOSPC, "no room")


@pytest.mark.parametrize("when", ["writing", "closing"])
def test_a_full_disk_is_not_the_documents_fault(
    web: Web, folder: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    web.pages["/"] = Page(HTML)
    real = Path.open

    def full(file: Path, *rest: Any) -> Any:
        if file.name != "0001.partial":
            return real(file, *rest)
        return FullForAMoment() if when == "writing" else real(Path("/dev/full"), *rest)

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(StorageError, match="no room"):
        records(folder, listed(web), web.origin)


def test_what_was_parsed_before_a_kill_is_not_fetched_again(web: Web, folder: Path) -> None:
    web.pages = {
        "/1": Page(HTML, headers={"Content-Type": "text/html; charset=iso-8859-1"}),
        "/2": Page(HTML + b"<p>More words.</p>"),
        "/3": Page(b"words of the third"),
    }
    urls = [f"{web.origin}{path}" for path in web.pages]

    def killed() -> None:
        # Nothing of the execution is cleaned up.
        if (folder / "work.1.partial").exists() and len(web.asked) == 3:
            (folder / "work.1.partial").rename(folder / "kept")
            raise JobCancelled

    with pytest.raises((JobCancelled, StorageError)):
        records(folder, listed(web), *urls, stop=killed)
    (folder / "kept").rename(folder / "work.1.partial")
    damaged = sorted((folder / "work.1.partial" / "parsed").glob("url-*.json"))
    assert len(damaged) == 2
    web.asked.clear()
    ctx = support.FakeContext(folder, folder, fence=2)
    ctx.url_rules = listed(web)
    run(ctx, Parameters.model_validate({"documents": [{"url": url} for url in urls]}))
    assert web.paths == ["/3"]
    again = support.FakeContext(folder.parent / "other", folder, fence=1)
    again.url_rules = listed(web)
    run(again, Parameters.model_validate({"documents": [{"url": url} for url in urls]}))
    for name in ("documents.jsonl", "chunks.jsonl"):
        assert (folder / name).read_bytes() == (folder.parent / "other" / name).read_bytes()


@pytest.mark.parametrize("note", [b"", b"[]", b"{}", b'{"sha256": 1, "bytes": 1, "charset": null}', b"\xff"])
def test_notes_that_are_damaged_count_for_nothing(tmp_path: Path, note: bytes) -> None:
    from worker.jobs.document_processing.task import Limits, Task

    given = dict.fromkeys(Task.__dataclass_fields__, "") | {"limits": Limits(1, 1, 1), "folder": str(tmp_path)}
    (tmp_path / "note").write_bytes(note)
    assert by_url._earlier(tmp_path / "note", Task(**given)) is None
    assert by_url._earlier(tmp_path / "none", Task(**given)) is None
