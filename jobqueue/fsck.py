"""Reads a whole namespace and names every broken invariant. For tests, and for an operator in doubt.

It looks at everything, so it is not for a busy production server. Jobs of stock producers that have not joined our
index yet (no `x_v`) are left out; so are index entries of ended jobs whose record has expired: the cleanup's work.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import redis

from jobqueue import record
from jobqueue.keys import STATES, Keys, is_job_id
from jobqueue.states import TERMINAL

_REGISTRY = {
    "finished": "finished",
    "failed": "failed",
    "canceled": "canceled",
    "stopped": "failed",
    "scheduled": "scheduled",
}


@dataclass
class _Picture:
    """Everything that the checks look at, read once."""

    keys: Keys
    jobs: dict[str, dict[str, str]] = field(default_factory=dict)
    ttls: dict[str, int] = field(default_factory=dict)
    states: dict[str, set[str]] = field(default_factory=dict)
    lists: Counter[tuple[str, str]] = field(default_factory=Counter)
    queues: list[str] = field(default_factory=list)
    leases: set[str] = field(default_factory=set)
    stopping: set[str] = field(default_factory=set)
    parked: dict[str, set[str]] = field(default_factory=dict)
    live: dict[str, set[str]] = field(default_factory=dict)
    wip: dict[str, set[str]] = field(default_factory=dict)
    limiters: set[str] = field(default_factory=set)
    allowed: dict[str, set[str]] = field(default_factory=dict)
    waiting: dict[str, set[str]] = field(default_factory=dict)
    counter: int = 0


def fsck(client: redis.Redis, prefix: str = "rq") -> list[str]:
    """All violations found, one sentence each; empty when all is well."""
    picture = _read(client, Keys(prefix))
    checks = (_index, _places, _executions, _limiters, _records)
    found = [problem for check in checks for problem in check(picture)]
    return found + list(_registries(client, picture))


def _texts(values: Any) -> list[str]:
    return [value.decode("utf-8", "replace") for value in values]


def _text(values: Any) -> set[str]:
    return set(_texts(values))


def _scan(client: redis.Redis, start: str) -> Iterator[str]:
    for key in client.scan_iter(match=f"{start}*", count=1000):
        yield key.decode("utf-8", "replace")


def _read(client: redis.Redis, keys: Keys) -> _Picture:
    p = _Picture(keys)
    for key in _scan(client, keys.job("")):
        job_id = key.removeprefix(keys.job(""))
        if not is_job_id(job_id) or client.type(key) != b"hash":
            continue
        raw: dict[bytes, bytes] = client.hgetall(key)  # type: ignore[assignment]
        f = {k.decode(): v.decode("utf-8", "replace") for k, v in raw.items()}
        if "x_v" in f:
            p.jobs[job_id] = f
            p.ttls[job_id] = client.ttl(key)
    for state in STATES:
        p.states[state] = _text(client.zrange(keys.state(state), 0, -1))
    p.queues = sorted(name.removeprefix(keys.queue("")) for name in _text(client.smembers(keys.queues)))
    for queue in p.queues:
        p.lists.update((queue, job_id) for job_id in _texts(client.lrange(keys.queue(queue), 0, -1)))
        p.wip[queue] = _text(client.zrange(keys.wip(queue), 0, -1))
    p.leases = _text(client.zrange(keys.leases, 0, -1))
    p.stopping = _text(client.zrange(keys.stopping, 0, -1))
    for key in _scan(client, keys.parked("")):
        p.parked[key.removeprefix(keys.parked(""))] = _text(client.zrange(key, 0, -1))
    for key in _scan(client, keys.live("")):
        p.live[key.removeprefix(keys.live(""))] = _text(client.smembers(key))
    p.limiters = _text(client.smembers(keys.limiters))
    for key in _scan(client, keys.limiter("")):
        name = key.removeprefix(keys.limiter(""))
        if name.endswith(":allowed"):
            p.allowed[name.removesuffix(":allowed")] = _text(client.zrange(key, 0, -1))
        elif name.endswith(":rate_limited"):
            p.waiting[name.removesuffix(":rate_limited")] = _text(client.zrange(key, 0, -1))
    p.counter = int(client.hget(keys.meta, "n") or 0)
    return p


def _index(p: _Picture) -> Iterator[str]:
    for job_id, f in p.jobs.items():
        found = [state for state in STATES if job_id in p.states[state]]
        if found != [record.state_of(f)]:
            yield f"job {job_id} is {f['status']} but in the index as {found}"
    for state in STATES:
        if state not in TERMINAL:
            for job_id in p.states[state] - p.jobs.keys():
                yield f"index {state} holds {job_id}, which has no record"


def _place_of(p: _Picture, job_id: str, f: dict[str, str]) -> list[str]:
    places = ["list"] * p.lists[(f["origin"], job_id)]
    places += ["parked" for ids in p.parked.values() if job_id in ids]
    places += ["waiting" for ids in p.waiting.values() if job_id in ids]
    places += ["lease" for token in p.leases if token.rpartition(":")[0] == job_id]
    return places


_PLACES = {"queued": (["list"], ["parked"]), "rate_limited": (["waiting"],), "started": (["lease"],)}


def _places(p: _Picture) -> Iterator[str]:
    for job_id, f in p.jobs.items():
        places = _place_of(p, job_id, f)
        if places not in _PLACES.get(f["status"], ([],)):
            yield f"job {job_id} is {f['status']} and found at {places}"
        execution = record.read_run(f).execution_id
        if f["status"] == "started" and f"{job_id}:{execution}" not in p.leases:
            yield f"job {job_id} runs under another execution than {execution}"
    for user, ids in p.parked.items():
        for job_id in ids - p.jobs.keys():
            yield f"parked of {user} holds {job_id}, which has no record"


def _executions(p: _Picture) -> Iterator[str]:
    tokens = p.leases | p.stopping
    if p.leases & p.stopping:
        yield f"leases and stopping share {p.leases & p.stopping}"
    live = Counter(token for members in p.live.values() for token in members)
    wip = Counter(token for members in p.wip.values() for token in members)
    for token in tokens:
        job_id, _, execution = token.rpartition(":")
        f = p.jobs.get(job_id)
        if f is None:
            yield f"execution {token} has no record"
            continue
        user = record.read_core(f).user
        if live[token] != 1 or token not in p.live.get(user, ()):
            yield f"execution {token} holds {live[token]} slots, not one of {user}"
        if wip[token] != 1:
            yield f"execution {token} is {wip[token]} times in RQ's registry"
        stopping = record.read_run(f).stopping
        if token in p.stopping and stopping != execution:
            yield f"execution {token} stops, but its record says {stopping}"
    for token in (live.keys() | wip.keys()) - tokens:
        if token.rpartition(":")[0] in p.jobs:
            yield f"execution {token} holds a slot without a lease"


def _limiters(p: _Picture) -> Iterator[str]:
    for name in p.allowed.keys() | p.waiting.keys():
        if name not in p.limiters:
            yield f"limiter {name} is not in the set of limiters"
    live = {token.rpartition(":")[0] for token in p.leases | p.stopping}
    for name, ids in p.allowed.items():
        for job_id in ids & p.jobs.keys():
            if p.jobs[job_id]["status"] not in ("queued", "started") and job_id not in live:
                yield f"limiter {name} keeps a place for {job_id}, which is {p.jobs[job_id]['status']}"
        for job_id in ids - p.jobs.keys():
            yield f"limiter {name} keeps a place for {job_id}, which has no record"
    for job_id, f in p.jobs.items():
        limiter = record.read_core(f).limiter
        if limiter and f["status"] in ("queued", "started") and job_id not in p.allowed.get(limiter, ()):
            yield f"job {job_id} is {f['status']} without a place in limiter {limiter}"


def _records(p: _Picture) -> Iterator[str]:
    for job_id, f in p.jobs.items():
        mark = record.read_mark(f)
        if not mark.status_seq <= mark.seq <= p.counter:
            yield f"job {job_id}: seq {mark.seq}, status_seq {mark.status_seq}, counter {p.counter}"
        if record.state_of(f) not in TERMINAL and p.ttls[job_id] >= 0 and "ttl" not in f:
            yield f"job {job_id} is {f['status']} and would expire in {p.ttls[job_id]} s"
        if record.state_of(f) in TERMINAL and p.ttls[job_id] < 0 and "x_digest" in f:
            yield f"job {job_id} is {f['status']} and would stay for ever"
        if f["status"] != mark.status and {f["status"], mark.status} != {"queued", "rate_limited"}:
            yield f"job {job_id} is {f['status']}, we last wrote {mark.status}"


def _registries(client: redis.Redis, p: _Picture) -> Iterator[str]:
    for job_id, f in p.jobs.items():
        user = record.read_core(f).user
        if client.zscore(p.keys.user_jobs(user), job_id) is None:
            yield f"job {job_id} is not among the jobs of {user}"
        expected = _REGISTRY.get(f["status"])
        for registry in set(_REGISTRY.values()):
            there = client.zscore(getattr(p.keys, registry)(f["origin"]), job_id) is not None
            if there != (registry == expected):
                yield f"job {job_id} is {f['status']}; in RQ's registry {registry}: {there}"
