"""Reads multipart/form-data with files of any size: a piece at a time, and never slower than a client that works."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from aiohttp import BodyPartReader, MultipartReader, web
from aiohttp.http_exceptions import HttpProcessingError

from jobqueue import Settings
from jobqueue.job import DEFAULT_USER
from server.bodies import refuse_encodings
from server.errors import (
    ApiError,
    InvalidParameterError,
    PayloadTooLargeError,
    RequestTimeoutError,
    UnsupportedMediaTypeError,
    shown,
)
from server.schemas import USER_PATTERN
from server.upload_writer import Batch
from server.uploads import Uploads

BLOCK: Final = 1024 * 1024
PIECE: Final = 64 * 1024
MOST_FIELD_BYTES: Final = 1024
# Room for what stands around the files.
FRAME_BYTES: Final = 1024 * 1024
# Slower than this on average is given up.
SLOWEST_BYTES_A_SECOND: Final = 32 * 1024
MEDIA: Final = "multipart/form-data"
USER: Final = "user_id"
PLAIN: Final = ("", "binary", "7bit", "8bit")


def user_of(request: web.Request) -> str | None:
    """Of the query. Raises InvalidParameterError."""
    given = request.query.getall(USER, [])
    if not given:
        return None
    if len(given) > 1:
        raise InvalidParameterError([((USER,), "must be given once")])
    return checked_user(given[0])


def checked_user(text: str) -> str:
    if not re.fullmatch(USER_PATTERN, text):
        raise InvalidParameterError([((USER,), "must be 1 to 64 of the characters A-Z a-z 0-9 _ . @ -")])
    return text


class UploadReader:
    """One request. After `read` the batch holds its files, complete but not published."""

    def __init__(self, request: web.Request, settings: Settings, uploads: Uploads) -> None:
        self._request = request
        self._storage = settings.storage
        self._patience = settings.server.body_timeout_seconds
        self._uploads = uploads
        self._user = user_of(request)
        self._deadline = asyncio.timeout(self._patience)
        self._began = 0.0
        self.batch: Batch | None = None

    async def read(self) -> Batch:
        """Raises ApiError of many kinds; the caller discards the batch then."""
        self._check_head()
        self._began = asyncio.get_running_loop().time()
        try:
            async with self._deadline:
                await self._read_parts()
        except TimeoutError:
            raise RequestTimeoutError("The files did not arrive in time") from None
        if self.batch is None:
            raise InvalidParameterError([(("file",), "there is no file in the body")])
        return self.batch

    def _check_head(self) -> None:
        refuse_encodings(self._request)
        if self._request.content_type != MEDIA:
            raise UnsupportedMediaTypeError(f"The body must be {MEDIA}")
        most = self._storage.upload_user_bytes + FRAME_BYTES
        if (self._request.content_length or 0) > most:
            raise PayloadTooLargeError(f"The body is larger than {most} bytes, which is all that a user may store")

    async def _read_parts(self) -> None:
        with _reading():
            parts = await self._request.multipart()
        while True:
            with _reading():
                part = await parts.next()
            if part is None:
                return
            await self._read_part(part)

    async def _read_part(self, part: MultipartReader | BodyPartReader) -> None:
        if isinstance(part, MultipartReader):
            raise _damaged("has a part with parts of its own")
        field = shown(part.name or "")
        if part.headers.get("Content-Transfer-Encoding", "").lower() not in PLAIN:
            raise InvalidParameterError([((field,), "must not have a Content-Transfer-Encoding")])
        if part.filename is not None:
            await self._read_file(part, field or "file")
        elif field == USER:
            await self._read_user(part)
        else:
            raise InvalidParameterError([((field,), f"is no field; there are {USER} and files, with their filename")])

    async def _read_user(self, part: BodyPartReader) -> None:
        text = bytearray()
        while piece := await _piece(part):
            text += piece
            if len(text) > MOST_FIELD_BYTES:
                break
        user = checked_user(text.decode("utf-8", "replace"))
        if self._user not in (None, user):
            raise InvalidParameterError([((USER,), "is given twice, and differs")])
        if self.batch is not None and self._user is None:
            raise InvalidParameterError([((USER,), "must stand before the files")])
        self._user = user

    async def _read_file(self, part: BodyPartReader, field: str) -> None:
        if self.batch is None:
            self.batch = Batch(self._uploads, self._storage, self._user or DEFAULT_USER)
        await self.batch.begin(field, part.filename or "")
        block = bytearray()
        while piece := await _piece(part):
            block += piece
            if len(block) >= BLOCK:
                await self._write(self.batch, block)
        await self._write(self.batch, block)
        await self.batch.finish()

    async def _write(self, batch: Batch, block: bytearray) -> None:
        if block:
            await batch.write(bytes(block))
            block.clear()
        self._deadline.reschedule(self._began + self._patience + batch.received / SLOWEST_BYTES_A_SECOND)


async def _piece(part: BodyPartReader) -> bytes:
    with _reading():
        return await part.read_chunk(PIECE)


@contextmanager
def _reading() -> Iterator[None]:
    """aiohttp tells what is wrong with a body in many ways."""
    try:
        yield
    except (ValueError, RuntimeError, AssertionError, HttpProcessingError, web.RequestPayloadError) as error:
        if isinstance(error, ApiError):
            raise
        raise _damaged("is no complete multipart/form-data, or its boundary is missing") from None


def _damaged(text: str) -> InvalidParameterError:
    return InvalidParameterError([(("body",), text)])
