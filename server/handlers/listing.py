"""The list of jobs, newest first, in pages."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from aiohttp import web
from multidict import MultiMapping

from jobqueue.states import State
from server.answers import job_json
from server.app_keys import QUEUE
from server.errors import InvalidParameterError
from server.responses import json_response
from server.schemas import USER_PATTERN
from server.stats import STATES

DEFAULT_LIMIT: Final = 50
MOST_LIMIT: Final = 500
MOST_TYPE_CHARACTERS: Final = 255
# What scripts compute exactly.
MOST_CURSOR: Final = 2**53
_CURSOR: Final = re.compile(r"[0-9a-f]{1,14}")


@dataclass(frozen=True, slots=True)
class Selection:
    states: frozenset[State]
    job_type: str | None
    user_id: str | None
    limit: int
    cursor: int | None


async def list_jobs(request: web.Request) -> web.Response:
    wish = parse_selection(request.query)
    page = await request.app[QUEUE].inspector.page(
        states=wish.states, job_type=wish.job_type, user_id=wish.user_id, limit=wish.limit, cursor=wish.cursor
    )
    await request.app[QUEUE].inspector.explain(page.jobs)
    following = None if page.next_cursor is None else f"{page.next_cursor:x}"
    return json_response({"jobs": [job_json(job) for job in page.jobs], "next_cursor": following})


def parse_selection(query: MultiMapping[str]) -> Selection:
    """A parameter that is there but empty selects nothing, as an empty field of a form."""
    return Selection(_states(query.getall("status", [])), _job_type(query), _user(query), _limit(query), _cursor(query))


def _states(texts: list[str]) -> frozenset[State]:
    words = {word.strip() for text in texts for word in text.split(",")} - {""}
    if unknown := words - set(STATES):
        raise _wrong("status", f"unknown status {min(unknown)[:20]!a}; known are {', '.join(STATES)}")
    return frozenset(state for state in STATES if state in words)


def _job_type(query: MultiMapping[str]) -> str | None:
    text = _single(query, "type")
    if text is not None and (len(text) > MOST_TYPE_CHARACTERS or not text.isprintable()):
        raise _wrong("type", f"must be at most {MOST_TYPE_CHARACTERS} printable characters")
    return text


def _user(query: MultiMapping[str]) -> str | None:
    text = _single(query, "user")
    if text is not None and not re.fullmatch(USER_PATTERN, text):
        raise _wrong("user", "must be 1 to 64 of the characters A-Z a-z 0-9 _ . @ -")
    return text


def _limit(query: MultiMapping[str]) -> int:
    text = _single(query, "limit")
    limit = DEFAULT_LIMIT if text is None else int(text) if re.fullmatch("[0-9]{1,4}", text) else 0
    if not 1 <= limit <= MOST_LIMIT:
        raise _wrong("limit", f"must be a whole number from 1 to {MOST_LIMIT}")
    return limit


def _cursor(query: MultiMapping[str]) -> int | None:
    text = _single(query, "cursor")
    if text is None:
        return None
    cursor = int(text, 16) if _CURSOR.fullmatch(text) else 0
    if not 0 < cursor < MOST_CURSOR:
        raise _wrong("cursor", "must be the next_cursor of an earlier page")
    return cursor


def _single(query: MultiMapping[str], name: str) -> str | None:
    texts = query.getall(name, [])
    if len(texts) > 1:
        raise _wrong(name, "must be given once")
    return texts[0] or None if texts else None


def _wrong(name: str, message: str) -> InvalidParameterError:
    return InvalidParameterError([((name,), message)])
