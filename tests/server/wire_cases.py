"""Requests as bytes, each with the statuses that it must get; the connection must be closed after the last.

`VICTIM` follows many of them: a second request that must not be found inside or behind a broken first one.
"""

from __future__ import annotations

from typing import Final

VICTIM: Final = b"POST /api/v1/jobs/cancel/victim HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"
BODY: Final = b'{"job_type":"extraction"}'

_HOST = b"Host: localhost\r\n"
_LIVE = b"GET /health/live HTTP/1.1\r\n"
_GET = _LIVE + _HOST
_SUBMIT = b"POST /api/v1/jobs/submit HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
_CHUNKED = _SUBMIT + b"Transfer-Encoding: chunked\r\n\r\n"
_END = b"Connection: close\r\n\r\n"
_LAST = b"19\r\n" + BODY + b"\r\n0\r\n"

Case = tuple[str, bytes, list[int]]


def _target(line: bytes) -> bytes:
    return line + b" HTTP/1.1\r\n" + _HOST + b"\r\n"


LENGTHS: Final[list[Case]] = [
    ("CL then TE", _SUBMIT + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + VICTIM, [400]),
    ("TE then CL", _SUBMIT + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n" + VICTIM, [400]),
    ("two CL", _SUBMIT + b"Content-Length: 0\r\nContent-Length: 5\r\n\r\n" + VICTIM, [400]),
    ("two equal CL", _SUBMIT + b"Content-Length: 25\r\nContent-Length: 25\r\n\r\n" + BODY, [400]),
    ("list of CL", _SUBMIT + b"Content-Length: 25, 25\r\n\r\n" + BODY, [400]),
    ("CL with plus", _SUBMIT + b"Content-Length: +25\r\n\r\n" + BODY, [400]),
    ("negative CL", _SUBMIT + b"Content-Length: -1\r\n\r\n" + BODY, [400]),
    ("hexadecimal CL", _SUBMIT + b"Content-Length: 0x19\r\n\r\n" + BODY, [400]),
    ("CL beyond 64 bits", _SUBMIT + b"Content-Length: 99999999999999999999999\r\n\r\n" + BODY, [400]),
    ("CL too large", _SUBMIT + b"Content-Length: 9999999\r\n\r\n" + BODY, [413]),
    ("unknown TE", _SUBMIT + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + VICTIM, [400]),
    ("identity TE", _SUBMIT + b"Transfer-Encoding: identity\r\n\r\n" + VICTIM, [400]),
    ("TE not last", _SUBMIT + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + VICTIM, [400]),
    ("TE gzip", _SUBMIT + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + _LAST + b"\r\n" + VICTIM, [400]),
    ("two TE", _SUBMIT + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" + VICTIM, [400]),
    ("TE with a tab", _SUBMIT + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n" + VICTIM, [400]),
    ("space before colon", _SUBMIT + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + VICTIM, [400]),
]
CHUNKS: Final[list[Case]] = [
    ("chunk size no number", _CHUNKED + b"zz\r\n{}\r\n0\r\n\r\n" + VICTIM, [400]),
    ("negative chunk", _CHUNKED + b"-1\r\n{}\r\n0\r\n\r\n" + VICTIM, [400]),
    ("0x chunk", _CHUNKED + b"0x2\r\n{}\r\n0\r\n\r\n" + VICTIM, [400]),
    ("chunk beyond 64 bits", _CHUNKED + b"fffffffffffffffff\r\n{}\r\n0\r\n\r\n", [400]),
    ("chunk size ends in LF", _CHUNKED + b"2\n{}\r\n0\r\n\r\n" + VICTIM, [400]),
    ("chunk without end", _CHUNKED + b"2\r\n{}0\r\n\r\n" + VICTIM, [400]),
    ("chunk too long", _CHUNKED + b"2\r\n{}xx\r\n0\r\n\r\n" + VICTIM, [400]),
    ("extension with LF", _CHUNKED + b"2;a\nb\r\n{}\r\n0\r\n\r\n" + VICTIM, [400]),
    # Read over in pieces, never kept; the deadline of the body bounds how long.
    ("extension of 2 MB", _CHUNKED[:-2] + _END + b"19;" + b"a" * 2_000_000 + b"\r\n" + BODY + b"\r\n0\r\n\r\n", [202]),
    ("trailer of 20 kB", _CHUNKED + _LAST + b"A: " + b"b" * 20_000 + b"\r\n\r\n" + VICTIM, [400]),
    ("300 trailers", _CHUNKED + _LAST + b"A: b\r\n" * 300 + b"\r\n" + VICTIM, [400]),
    ("CL in a trailer", _CHUNKED + _LAST + b"Content-Length: 5\r\n\r\n" + VICTIM, [400]),
]
HEADERS: Final[list[Case]] = [
    ("bare LF", _GET.replace(b"\r\n", b"\n") + b"\n", [400]),
    ("one bare LF", _GET + b"A: b\nC: d\r\n\r\n", [400]),
    ("bare CR", _GET + b"A: b\rC: d\r\n\r\n", [400]),
    ("obs-fold", _GET + b"A: b\r\n c\r\n\r\n", [400]),
    ("fold before the first", _LIVE + b" A: b\r\n" + _HOST + b"\r\n", [400]),
    ("no colon", _GET + b"abc\r\n\r\n", [400]),
    ("no name", _GET + b": x\r\n\r\n", [400]),
    ("NUL in a value", _GET + b"A: b\0c\r\n\r\n", [400]),
    ("control in a value", _GET + b"A: b\x01c\r\n\r\n", [400]),
    ("header of 20 kB", _GET + b"A: " + b"b" * 20_000 + b"\r\n\r\n", [400]),
    ("name of 20 kB", _GET + b"A" * 20_000 + b": b\r\n\r\n", [400]),
    ("200 headers", _GET + b"".join(b"A%d: b\r\n" % i for i in range(200)) + b"\r\n", [400]),
    ("100 headers", _GET + b"".join(b"A%d: b\r\n" % i for i in range(100)) + _END, [200]),
    ("unknown expectation", _SUBMIT + b"Expect: wonders\r\nContent-Length: 25\r\n\r\n" + BODY, [400]),
    ("100-continue", _SUBMIT + b"Expect: 100-continue\r\nContent-Length: 25\r\n" + _END + BODY, [100, 202]),
]
HOSTS: Final[list[Case]] = [
    ("no Host", _LIVE + b"\r\n", [400]),
    ("empty Host", _LIVE + b"Host:\r\n" + _END, [421]),
    ("two Hosts", _GET + _HOST + b"\r\n", [400]),
    ("a second, foreign Host", _GET + b"Host: evil.example\r\n\r\n", [400]),
    ("foreign Host", _LIVE + b"Host: evil.example\r\n" + _END, [421]),
    ("user in Host", _LIVE + b"Host: evil@localhost\r\n" + _END, [421]),
    ("path in Host", _LIVE + b"Host: localhost/evil\r\n" + _END, [421]),
    ("list of Hosts", _LIVE + b"Host: localhost, evil.example\r\n" + _END, [421]),
]
TARGETS: Final[list[Case]] = [
    ("absolute form", _target(b"GET http://localhost/health/live"), [400]),
    ("absolute form, foreign", _target(b"GET http://evil.example/health/live"), [400]),
    ("foreign by slashes", _LIVE.replace(b"/health", b"//evil.example/health") + _HOST + _END, [404]),
    ("no slash", _target(b"GET health/live"), [400]),
    ("CONNECT", _target(b"CONNECT localhost:80") + VICTIM, [400]),
    ("CONNECT to a path", _target(b"CONNECT /health/live") + VICTIM, [400]),
    ("asterisk", _target(b"OPTIONS *"), [400]),
    ("NUL in the path", _target(b"GET /health\0live"), [400]),
    ("raw byte in the path", _target(b"GET /health/\xff"), [400]),
    ("space in the path", _target(b"GET /health/live evil"), [400]),
    ("unknown method", _target(b"EVIL /health/live"), [400]),
    ("method in small letters", _target(b"get /health/live"), [400]),
]
VERSIONS: Final[list[Case]] = [
    ("HTTP/0.9", b"GET /health/live\r\n\r\n", [400]),
    ("HTTP/0.9, said", b"GET /health/live HTTP/0.9\r\n" + _HOST + b"\r\n", [400]),
    ("HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", [400]),
    ("HTTP/2.0", b"GET /health/live HTTP/2.0\r\n" + _HOST + b"\r\n" + VICTIM, [400]),
    ("HTTP/1.2", b"GET /health/live HTTP/1.2\r\n" + _HOST + b"\r\n", [400]),
    ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", [400]),
    ("TE in HTTP/1.0", _CHUNKED.replace(b"1.1", b"1.0") + b"0\r\n\r\n" + VICTIM, [400]),
]
PIPELINES: Final[list[Case]] = [
    ("two requests", _GET + b"\r\n" + _GET + _END, [200, 200]),
    ("nonsense first", b"nonsense\r\n\r\n" + VICTIM, [400]),
    ("nonsense second", _GET + b"\r\nnonsense\r\n\r\n" + VICTIM, [400]),
    ("request in a body", _SUBMIT + b"Content-Length: %d\r\n" % len(VICTIM) + _END + VICTIM, [400]),
    ("request in the body of a GET", _GET + b"Content-Length: %d\r\n" % len(VICTIM) + _END + VICTIM, [200]),
    ("behind the last request", _GET + _END + VICTIM, [400]),
]
EVERY: Final = [*LENGTHS, *CHUNKS, *HEADERS, *HOSTS, *TARGETS, *VERSIONS, *PIPELINES]
