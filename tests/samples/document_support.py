"""What the tests of document_processing share: a job context, small PDFs, and reading artefacts."""

from __future__ import annotations

import hashlib
import json
import logging
import zlib
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from samples.make_samples import Writer, quoted

from worker.context import UrlRules

SAMPLES = Path(__file__).parent


class FakeContext:
    """A job context that notes progress; `stop_when` is asked at each check and ends the job by raising."""

    job_id, user_id, attempt = "job-1", "user-1", 1
    cancelled = False
    seconds_left = None
    llm_base_urls: tuple[str, ...] = ()
    url_rules = UrlRules()
    processes = 1
    memory_limit_mb = 2048
    log = logging.getLogger("test.documents")

    def __init__(
        self, folder: Path, input_root: Path, stop_when: Callable[[], None] = lambda: None, *, fence: int = 1
    ) -> None:
        folder.mkdir(exist_ok=True)
        self.fence = fence
        self.folder, self.input_root = folder, input_root
        self.check = stop_when
        self.notes: list[tuple[float, str, int, int]] = []

    def progress(
        self,
        fraction: float | None = None,
        *,
        step: str | None = None,
        done: int | None = None,
        total: int | None = None,
    ) -> None:
        assert fraction is not None and step is not None and done is not None and total is not None
        self.notes.append((fraction, step, done, total))


class ContextThatDoes(FakeContext):
    """Does something when the job is at a step."""

    def __init__(self, folder: Path, input_root: Path, step: str, does: Callable[[], object]) -> None:
        super().__init__(folder, input_root)
        self._step, self._does = step, does

    def progress(
        self,
        fraction: float | None = None,
        *,
        step: str | None = None,
        done: int | None = None,
        total: int | None = None,
    ) -> None:
        super().progress(fraction, step=step, done=done, total=total)
        if step == self._step:
            self._does()


def make_pdf(*pages: list[str], outline: Sequence[tuple[str, int]] = (), trailer: bytes = b"") -> bytes:
    """A PDF with one text line per string; `outline` is (title, page from 0), all on the first level."""
    streams = []
    for lines in pages:
        drawn = [b"BT /F1 10 Tf 50 %d Td %s Tj ET" % (800 - 14 * row, quoted(line)) for row, line in enumerate(lines)]
        streams.append((b"\n".join(drawn), b""))
    return pdf_of_streams(streams, outline, trailer)


def pdf_of_streams(
    streams: Sequence[tuple[bytes, bytes]], outline: Sequence[tuple[str, int]] = (), trailer: bytes = b""
) -> bytes:
    """A PDF whose pages are (content stream, further keys of the stream)."""
    writer = Writer()
    root, tree, titles = writer.add(), writer.add(), writer.add(b"<< /Type /Outlines >>")
    font = writer.add(b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>")
    numbers = []
    for data, keys in streams:
        body = writer.add(b"<< /Length %d %s >>\nstream\n%s\nendstream" % (len(data), keys, data))
        look = b"/MediaBox [0 0 595 842] /Resources << /Font << /F1 %d 0 R >> >>" % font
        numbers.append(writer.add(b"<< /Type /Page /Parent %d 0 R %s /Contents %d 0 R >>" % (tree, look, body)))
    kids = b" ".join(b"%d 0 R" % number for number in numbers)
    writer.put(tree, b"<< /Type /Pages /Kids [%s] /Count %d >>" % (kids, len(numbers)))
    entries = [writer.add() for _ in outline]
    for place, (number, (title, page)) in enumerate(zip(entries, outline, strict=True)):
        following = b" /Next %d 0 R" % entries[place + 1] if place + 1 < len(entries) else b""
        target = b"/Parent %d 0 R /Dest [%d 0 R /Fit]" % (titles, numbers[page])
        writer.put(number, b"<< /Title %s %s%s >>" % (quoted(title), target, following))
    if entries:
        ends = (entries[0], entries[-1], len(entries))
        writer.put(titles, b"<< /Type /Outlines /First %d 0 R /Last %d 0 R /Count %d >>" % ends)
    writer.put(root, b"<< /Type /Catalog /Pages %d 0 R /Outlines %d 0 R >>" % (tree, titles))
    return writer.finish(root).replace(b"trailer\n<<", b"trailer\n<< " + trailer, 1)


def pdf_bomb() -> bytes:
    """Six kilobytes that unpack to 750 megabytes."""
    block = (b"BT /F1 1 Tf (a) Tj ET\n" * 50_000)[: 1024 * 1024]
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(block) for _ in range(750)) + packer.flush()
    return pdf_of_streams([(zlib.compress(packed, 9), b"/Filter [/FlateDecode /FlateDecode]")])


_PAD = bytes.fromhex("28bf4e5e4e758a4164004e56fffa01082e2e00b6d0683e802f0ca9fe6453697a")


def encrypted_pdf(text: str, user: str) -> bytes:
    """A PDF of one page that wants the password `user` (RC4 with 40 bits, the oldest of the standard ways)."""
    owner = _rc4(hashlib.md5(_padded("the owner's")).digest()[:5], _padded(user))
    key = hashlib.md5(_padded(user) + owner + (-4).to_bytes(4, "little", signed=True) + b"\0").digest()[:5]
    # The fifth object is the content of the first page.
    stream_key = hashlib.md5(key + (5).to_bytes(3, "little") + b"\0\0").digest()[:10]
    drawing = _rc4(stream_key, b"BT /F1 10 Tf 50 700 Td %s Tj ET" % quoted(text))
    keys = b"/Filter /Standard /V 1 /R 2 /O <%s> /U <%s> /P -4" % (owner.hex().encode(), _rc4(key, _PAD).hex().encode())
    return pdf_of_streams([(drawing, b"")], trailer=b"/Encrypt << %s >> /ID [<00> <00>]" % keys)


def _padded(password: str) -> bytes:
    return (password.encode("cp1252") + _PAD)[:32]


def _rc4(key: bytes, data: bytes) -> bytes:
    state, j = list(range(256)), 0
    for i in range(256):
        j = (j + state[i] + key[i % len(key)]) % 256
        state[i], state[j] = state[j], state[i]
    out, i, j = bytearray(), 0, 0
    for byte in data:
        i = (i + 1) % 256
        j = (j + state[i]) % 256
        state[i], state[j] = state[j], state[i]
        out.append(byte ^ state[(state[i] + state[j]) % 256])
    return bytes(out)


def read_lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_bytes().decode("utf-8").split("\n")[:-1]]


def texts_of(folder: Path) -> dict[str, str]:
    """The normal forms by document id."""
    return {file.stem: file.read_bytes().decode("utf-8") for file in (folder / "text").iterdir()}


def check_chunks(text: str, chunks: list[dict[str, Any]]) -> None:
    """What holds for the chunks of every document."""
    covered = bytearray(len(text))
    for index, piece in enumerate(chunks):
        assert piece["index"] == index
        assert piece["chunk_id"] == f"{piece['document_id']}:{index}"
        assert text[piece["start"] : piece["end"]] == piece["text"]
        assert piece["text"].strip()
        covered[piece["start"] : piece["end"]] = b"\1" * len(piece["text"])
    assert all(covered[place] or character.isspace() for place, character in enumerate(text))
    for first, second in pairwise(chunks):
        assert first["start"] < second["start"]
        assert first["end"] < second["end"]
