"""Which Redis type each key holds, from its name."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from jobqueue.keys import STATES, Keys

_REGISTRIES: Final = ("wip", "finished", "failed", "scheduled", "deferred", "canceled")
# RQ's tools note beside a queue since when an id has been on its way to a worker.
_FIRST_SEEN: Final = ":intermediate:first_seen:"


def single(keys: Keys) -> dict[str, str]:
    """Every key of which there is one, but `meta`: without that nothing works at all."""
    kinds = {
        "set": [keys.queues, keys.workers, keys.limiters, keys.damaged, keys.parked_users],
        "hash": [keys.limits, keys.paused, keys.types, keys.unique, keys.times, keys.unsorted],
        "zset": [
            keys.leases, keys.stopping, keys.deadlines, keys.releases, keys.missing, keys.servers, keys.schedules,
            keys.ticks, *(keys.state(state) for state in STATES),
        ],
    }  # fmt: skip
    return {key: kind for kind, names in kinds.items() for key in names}


def type_of(keys: Keys, key: str) -> str | None:
    """The type that `key` must have, in the words of TYPE; None of a key that we do not know, or that may be anything.

    A job's record is not among them: what stands in its place is the job's affair alone.
    """
    if key.startswith(keys.queue("")) and _FIRST_SEEN in key:
        return None
    for start, end, kind in _many(keys):
        if key.startswith(start) and key.endswith(end) and len(key) > len(start) + len(end):
            return kind
    return single(keys).get(key)


@lru_cache(maxsize=8)
def _many(keys: Keys) -> tuple[tuple[str, str, str], ...]:
    return tuple(_named(keys))


def _named(keys: Keys) -> Iterator[tuple[str, str, str]]:
    """(start, end, type); the longer name comes first."""
    yield keys.job(""), ":dependents", "set"
    yield keys.job(":"), ":dependencies", "set"
    yield keys.limiter(""), ":allowed", "zset"
    yield keys.limiter(""), ":rate_limited", "zset"
    yield keys.limiter(""), "", "hash"
    yield keys.worker(""), ":executions", "set"
    yield keys.worker(""), "", "hash"
    yield keys.queue(""), "", "list"
    for registry in _REGISTRIES:
        yield getattr(keys, registry)(""), "", "zset"
    for of_user, kind in ((keys.live, "set"), (keys.lines, "set"), (keys.parked, "zset"), (keys.user_jobs, "zset")):
        yield of_user(""), "", kind
    yield keys.lines_of_types, "", "zset"
    yield keys.state(""), "", "zset"
    yield keys.places(""), "", "set"
    yield keys.waiters(""), "", "zset"
    yield keys.results(""), "", "stream"
    yield keys.executions(""), "", "zset"
    yield keys.worker_data(""), "", "hash"
    yield keys.server(""), "", "hash"
    yield keys.kept(""), "", "set"
