"""What handlers take from a request's path."""

from __future__ import annotations

import re
from typing import Final

from aiohttp import web

from server.errors import JobNotFoundError

# RQ's own rule; anything else never reaches a key.
_JOB_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,255}")


def job_id_of(request: web.Request) -> str:
    job_id = request.match_info["job_id"]
    if not _JOB_ID.fullmatch(job_id):
        raise JobNotFoundError(job_id)
    return job_id
