"""Cancel and restart many jobs in one request: named one by one, or all that a filter finds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web
from multidict import MultiDict

from jobqueue import Cancelled
from jobqueue.errors import DependencyEnded, JobNotFound, QueueFull, QueueUnavailable
from jobqueue.keys import is_job_id
from jobqueue.producer import Refusal
from jobqueue.states import RESTARTABLE, State
from server import answers, errors, schemas
from server.app_keys import MUTATIONS, QUEUE
from server.bodies import read_object
from server.errors import ApiError, InvalidParameterError
from server.handlers.listing import Selection, parse_selection
from server.responses import json_response

MOST_CHANGED: Final = 10_000
# A request ends after this many looks of at most 500 jobs, also when few of them match.
MOST_PAGES: Final = 200
AT_ONCE: Final = 100
UNFINISHED: Final[frozenset[State]] = frozenset({"pending", "scheduled", "running"})
CHANGED_IN_PART: Final = (
    "The queue went away meanwhile: some of the jobs may have been changed. "
    "Send the same again: each is answered as it is then"
)


@dataclass(frozen=True, slots=True)
class Verb:
    """`states`: of jobs that it can change. `change`: the library's call for many; `refused`: its refusals in words."""

    name: str
    states: frozenset[State]
    change: Callable[[web.Application, Sequence[str]], Any]
    refused: Callable[[str, Refusal], ApiError]


CANCEL: Final = Verb("cancel", UNFINISHED, lambda app, ids: app[QUEUE].producer.cancel_many(ids), errors.cancel_refused)
RESTART: Final = Verb(
    "restart", RESTARTABLE, lambda app, ids: app[QUEUE].producer.restart_many(ids), errors.restart_refused
)


async def cancel_bulk(request: web.Request) -> web.Response:
    return await _change(request, CANCEL)


async def restart_bulk(request: web.Request) -> web.Response:
    return await _change(request, RESTART)


async def _change(request: web.Request, verb: Verb) -> web.Response:
    body = schemas.parse(schemas.BulkChangeBody, await read_object(request))
    if (body.job_ids is None) == (body.filter is None):
        raise InvalidParameterError([(("job_ids",), "give either job_ids or filter")])
    if body.filter is not None:
        return json_response(await _Matching(request.app, verb, _selection(verb, body)).run(dry_run=body.dry_run))
    for name in ("dry_run", "cursor"):
        if getattr(body, name):
            raise InvalidParameterError([((name,), "is for a filter")])
    return json_response(await _change_named(request.app, verb, body.job_ids or []))


async def _change_named(app: web.Application, verb: Verb, job_ids: Sequence[str]) -> dict[str, Any]:
    possible = [job_id for job_id in job_ids if is_job_id(job_id)]
    try:
        changed = iter(await app[MUTATIONS].run(verb.change(app, possible), name=f"{verb.name}-bulk"))
    except (QueueUnavailable, QueueFull):
        raise errors.QueueUnavailableError(CHANGED_IN_PART) from None
    outcomes = [next(changed) if is_job_id(job_id) else JobNotFound(job_id) for job_id in job_ids]
    results = [_entry(verb, job_id, outcome) for job_id, outcome in zip(job_ids, outcomes, strict=True)]
    unchanged = sum(isinstance(outcome, Cancelled) and not outcome.changed for outcome in outcomes)
    rejected = sum("error" in entry for entry in results)
    return {"results": results, "changed": len(results) - rejected - unchanged, "rejected": rejected}


def _entry(verb: Verb, job_id: str, outcome: Cancelled | Refusal | None) -> dict[str, Any]:
    if outcome is None:
        return answers.restarted_json(job_id)
    return answers.cancelled_json(outcome) if isinstance(outcome, Cancelled) else verb.refused(job_id, outcome).body


def _selection(verb: Verb, body: schemas.BulkChangeBody) -> Selection:
    """The filter in the words of the list, and of the states only those that the verb can change."""
    given = {} if body.filter is None else body.filter.model_dump(exclude_none=True)
    if not any(given.values()):
        raise InvalidParameterError([(("filter",), "must have at least one of status, type and user")])
    query = MultiDict({**given, "limit": "500", "cursor": body.cursor or ""})
    wish = parse_selection(query)
    if wrong := wish.states - verb.states:
        text = f"a {min(wrong)} job cannot be changed so; possible are {', '.join(sorted(verb.states))}"
        raise InvalidParameterError([(("filter", "status"), text)])
    return Selection(wish.states or verb.states, wish.job_type, wish.user_id, wish.limit, wish.cursor)


class _Matching:
    """One way through the jobs that a filter finds, newest first, so that what comes in meanwhile is left alone.

    `late`: ids that wait for jobs still to come, which are older than those that depend on them.
    """

    def __init__(self, app: web.Application, verb: Verb, wish: Selection) -> None:
        self._app = app
        self._verb = verb
        self._wish = wish
        self._late: list[str] = []
        self._cursor = wish.cursor
        self.counts = {"matched": 0, "changed": 0, "rejected": 0}

    async def run(self, *, dry_run: bool) -> dict[str, Any]:
        try:
            await self._change_pages(dry_run)
            # Oldest first now: each finds the jobs that it depends on restarted, if they were among those matched.
            late, self._late = self._late[::-1], []
            self.counts["rejected"] -= len(late)
            await self._change(late)
        except (QueueUnavailable, QueueFull):
            raise errors.QueueUnavailableError(CHANGED_IN_PART, context=self.counts) from None
        following = None if self._cursor is None else f"{self._cursor:x}"
        return {**self.counts, "dry_run": dry_run, "next_cursor": following}

    async def _change_pages(self, dry_run: bool) -> None:
        for _ in range(MOST_PAGES):
            ids = await self._next_page()
            self.counts["matched"] += len(ids)
            if not dry_run:
                await self._change(ids)
            if self._cursor is None or self.counts["matched"] >= MOST_CHANGED:
                break

    async def _next_page(self) -> list[str]:
        wish = self._wish
        page = await self._app[QUEUE].inspector.page(
            states=wish.states, job_type=wish.job_type, user_id=wish.user_id, limit=wish.limit, cursor=self._cursor
        )
        self._cursor = page.next_cursor
        return [job.job_id for job in page.jobs]

    async def _change(self, ids: Sequence[str]) -> None:
        for first in range(0, len(ids), AT_ONCE):
            part = ids[first : first + AT_ONCE]
            name = f"{self._verb.name}-matching"
            outcomes = await self._app[MUTATIONS].run(self._verb.change(self._app, part), name=name)
            for job_id, outcome in zip(part, outcomes, strict=True):
                self._count(job_id, outcome)

    def _count(self, job_id: str, outcome: Cancelled | Refusal | None) -> None:
        if isinstance(outcome, Refusal):
            self.counts["rejected"] += 1
            if isinstance(outcome, DependencyEnded):
                self._late.append(job_id)
        elif outcome is None or outcome.changed:
            self.counts["changed"] += 1
