"""The files that completed jobs have left."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any
from urllib.parse import quote

from aiohttp import web

from server.app_keys import READER, SETTINGS
from server.artefacts import Artefact, artefacts_of, open_artefact
from server.downloads import send_file
from server.errors import JobNotFinishedError, ResultFileNotFoundError
from server.handlers.arguments import job_id_of
from server.responses import json_response


async def list_result_files(request: web.Request) -> web.Response:
    job_id, folder = await _completed(request)
    found = await asyncio.to_thread(artefacts_of, folder)
    return json_response({"job_id": job_id, "files": [artefact_json(artefact) for artefact in found.values()]})


async def send_result_file(request: web.Request) -> web.StreamResponse:
    job_id, folder = await _completed(request)
    name = request.match_info["name"]
    artefact = (await asyncio.to_thread(artefacts_of, folder)).get(name)
    file = None if artefact is None else await asyncio.to_thread(open_artefact, folder, artefact)
    if artefact is None or file is None:
        raise ResultFileNotFoundError(job_id, name)
    with file:
        headers = {"Content-Type": artefact.media_type, "Content-Disposition": _disposition(artefact.name)}
        return await send_file(request, file, size=artefact.bytes, etag=artefact.sha256, headers=headers)


async def _completed(request: web.Request) -> tuple[str, Path]:
    """The id and the folder of the job. Raises JobNotFound, JobNotFinishedError, QueueUnavailable."""
    job = await request.app[READER].get(job_id_of(request))
    if job.state != "completed":
        raise JobNotFinishedError(job.job_id, job.state, f"Job has no files: it is {job.state}")
    return job.job_id, request.app[SETTINGS].storage.jobs_dir / job.job_id


def artefact_json(artefact: Artefact) -> dict[str, Any]:
    return {
        "name": artefact.name,
        "bytes": artefact.bytes,
        "sha256": artefact.sha256,
        "records": artefact.records,
        "media_type": artefact.media_type.partition(";")[0],
    }


def _disposition(name: str) -> str:
    last = name.rpartition("/")[2]
    plain = "".join(c if c.isascii() and c.isprintable() and c not in '"\\' else "_" for c in last)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(last, safe='')}"
