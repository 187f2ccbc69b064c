"""Bodies that a server sends compressed although it was asked not to: unpacked in small pieces, so that one that
unpacks to a million times its size is noticed at the first piece too many.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Final

_PIECE: Final = 256 * 1024
# Either of the two forms, whichever the body begins with.
_GZIP_OR_ZLIB: Final = zlib.MAX_WBITS + 32
_GZIP: Final = b"\x1f\x8b"


class NotUnpackedError(Exception):
    """The body is damaged, or compressed in a way that is not known."""


class Unpacker:
    """`encoding`: what `Content-Encoding` says. Raises NotUnpackedError when it is not known."""

    def __init__(self, encoding: str) -> None:
        known = {"": False, "identity": False, "gzip": True, "x-gzip": True, "deflate": True}
        if encoding.strip().lower() not in known:
            raise NotUnpackedError
        self._packed = known[encoding.strip().lower()]
        self._zlib = zlib.decompressobj(_GZIP_OR_ZLIB)
        self._rest = b""

    def pieces(self, block: bytes) -> Iterator[bytes]:
        """Raises NotUnpackedError."""
        if not self._packed:
            yield block
            return
        block = self._rest + block
        self._rest = b""
        while block:
            if self._zlib.eof:
                # Whether another part begins here the next block shows.
                if block == _GZIP[:1]:
                    self._rest = block
                if not block.startswith(_GZIP):
                    return
                self._zlib = zlib.decompressobj(_GZIP_OR_ZLIB)
            piece, block = self._unpack(block)
            yield piece

    def finish(self) -> None:
        """Raises NotUnpackedError when the end is missing."""
        if self._packed and not self._zlib.eof:
            raise NotUnpackedError

    def _unpack(self, block: bytes) -> tuple[bytes, bytes]:
        """A piece, and what is left of the block."""
        try:
            piece = self._zlib.decompress(block, _PIECE)
        except zlib.error:
            raise NotUnpackedError from None
        return piece, self._zlib.unused_data if self._zlib.eof else self._zlib.unconsumed_tail
