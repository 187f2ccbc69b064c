"""What handlers take from a request's path and headers."""

from __future__ import annotations

import re
from typing import Final

from aiohttp import web

from jobqueue.keys import is_job_id
from server.errors import InvalidParameterError, JobNotFoundError

IDEMPOTENCY_KEY: Final = "Idempotency-Key"

_VISIBLE: Final = re.compile(r"[!-~]{1,255}")


def job_id_of(request: web.Request) -> str:
    job_id = request.match_info["job_id"]
    if not is_job_id(job_id):
        raise JobNotFoundError(job_id)
    return job_id


def idempotency_key_of(request: web.Request) -> str | None:
    keys = request.headers.getall(IDEMPOTENCY_KEY, [])
    if not keys:
        return None
    if len(keys) > 1 or not _VISIBLE.fullmatch(keys[0]):
        raise InvalidParameterError([((IDEMPOTENCY_KEY,), "must be 1 to 255 visible ASCII characters, given once")])
    return keys[0]


def refuse_idempotency_key(request: web.Request, *, advice: str = "give each job a job_id of its own") -> None:
    if IDEMPOTENCY_KEY in request.headers:
        message = f"is for single submissions; here {advice}, then repeating is safe"
        raise InvalidParameterError([((IDEMPOTENCY_KEY,), message)])
