"""Files that users send for their jobs to read."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web

from jobqueue.job import DEFAULT_USER
from server import times
from server.app_keys import MUTATIONS, SETTINGS, UPLOADS
from server.errors import UploadNotFoundError
from server.handlers.arguments import refuse_idempotency_key
from server.responses import json_response
from server.upload_reader import UploadReader, user_of
from server.uploads import StoredFile


async def upload(request: web.Request) -> web.Response:
    refuse_idempotency_key(request, advice="send the files again: each upload makes files of its own")
    app = request.app
    reader = UploadReader(request, app[SETTINGS], app[UPLOADS])
    is_complete = False
    try:
        batch = await reader.read()
        is_complete = True
    finally:
        if not is_complete and reader.batch is not None:
            await reader.batch.discard()
    stored = await app[MUTATIONS].run(batch.publish(), name="publish-uploads")
    return json_response({"files": [{**file_json(file), "sha256": file.sha256} for file in stored]}, status=201)


async def list_files(request: web.Request) -> web.Response:
    user = user_of(request) or DEFAULT_USER
    stored = await asyncio.to_thread(request.app[UPLOADS].all_of, user)
    return json_response({"files": [file_json(file) for file in stored]})


async def remove_file(request: web.Request) -> web.Response:
    user, file_id = user_of(request) or DEFAULT_USER, request.match_info["file_id"]
    if not await asyncio.to_thread(request.app[UPLOADS].remove, user, file_id):
        raise UploadNotFoundError(file_id)
    return json_response({"file_id": file_id, "message": "File deleted"})


def file_json(file: StoredFile) -> dict[str, Any]:
    return {
        "file_id": file.file_id,
        "name": file.name,
        "bytes": file.bytes,
        "expires_at": times.to_text(int(file.expires * 1_000_000)),
    }
