"""Reads a whole namespace and names every broken invariant. For tests, and for an operator in doubt.

It looks at everything, so it is not for a busy production server. Jobs of stock producers that have not joined our
index yet (no `x_v`) are left out; so are index entries of ended jobs whose record has expired: the cleanup's work.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import redis

from jobqueue import fsck_waiting, record
from jobqueue.fsck_picture import Picture, put_aside, read, wrong_types
from jobqueue.keys import STATES, Keys
from jobqueue.states import TERMINAL

_REGISTRY = {
    "finished": "finished",
    "failed": "failed",
    "canceled": "canceled",
    "stopped": "failed",
    "scheduled": "scheduled",
    "deferred": "deferred",
}


def fsck(client: redis.Redis, prefix: str = "rq") -> list[str]:
    """All violations found, one sentence each; empty when all is well."""
    keys = Keys(prefix)
    if strange := list(wrong_types(client, keys)):
        return strange
    picture = read(client, keys)
    checks = (_damaged, _index, _places, _executions, _limiters, _records, *fsck_waiting.CHECKS)
    found = [problem for check in checks for problem in check(picture)]
    return [*put_aside(client, keys), *found, *_registries(client, picture)]


def _damaged(p: Picture) -> Iterator[str]:
    for job_id, why in p.damaged.items():
        yield f"job {job_id} is damaged: {why}"
    for queue, job_id in p.lists:
        if job_id not in p.known:
            yield f"the list of {queue} holds {job_id}, which has no record"


def _index(p: Picture) -> Iterator[str]:
    for job_id, f in p.jobs.items():
        found = [state for state in STATES if job_id in p.states[state]]
        if found != [record.state_of(f)]:
            yield f"job {job_id} is {f['status']} but in the index as {found}"
    for state in STATES:
        if state not in TERMINAL:
            for job_id in p.states[state] - p.known:
                yield f"index {state} holds {job_id}, which has no record"


def _place_of(p: Picture, job_id: str, f: dict[str, str]) -> list[str]:
    places = ["list"] * p.lists[(f["origin"], job_id)]
    places += ["parked" for ids in p.parked.values() if job_id in ids]
    places += ["waiting" for ids in (*p.waiting.values(), *p.lines.values()) if job_id in ids]
    places += ["lease" for token in p.leases if token.rpartition(":")[0] == job_id]
    return places


_PLACES = {"queued": (["list"], ["parked"]), "rate_limited": (["waiting"],), "started": (["lease"],)}


def _places(p: Picture) -> Iterator[str]:
    for job_id, f in p.jobs.items():
        places = _place_of(p, job_id, f)
        if places not in _PLACES.get(f["status"], ([],)):
            yield f"job {job_id} is {f['status']} and found at {places}"
        execution = record.read_run(f).execution_id
        if f["status"] == "started" and f"{job_id}:{execution}" not in p.leases:
            yield f"job {job_id} runs under another execution than {execution}"
    for user, ids in p.parked.items():
        for job_id in ids - p.known:
            yield f"parked of {user} holds {job_id}, which has no record"


def _executions(p: Picture) -> Iterator[str]:
    tokens = p.leases | p.stopping
    if p.leases & p.stopping:
        yield f"leases and stopping share {p.leases & p.stopping}"
    live = Counter(token for members in p.live.values() for token in members)
    wip = Counter(token for members in p.wip.values() for token in members)
    for token in tokens:
        job_id, _, execution = token.rpartition(":")
        f = p.jobs.get(job_id)
        if f is None and job_id in p.known:
            continue
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


def _limiters(p: Picture) -> Iterator[str]:
    for name in p.allowed.keys() | p.waiting.keys():
        if name not in p.limiters:
            yield f"limiter {name} is not in the set of limiters"
    live = {token.rpartition(":")[0] for token in p.leases | p.stopping}
    for name, ids in p.allowed.items():
        for job_id in ids & p.jobs.keys():
            if p.jobs[job_id]["status"] not in ("queued", "started") and job_id not in live:
                yield f"limiter {name} keeps a place for {job_id}, which is {p.jobs[job_id]['status']}"
        for job_id in ids - p.known:
            yield f"limiter {name} keeps a place for {job_id}, which has no record"
    for job_id, f in p.jobs.items():
        limiter = record.read_core(f).limiter
        if limiter and f["status"] in ("queued", "started") and job_id not in p.allowed.get(limiter, ()):
            yield f"job {job_id} is {f['status']} without a place in limiter {limiter}"


def _records(p: Picture) -> Iterator[str]:
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


def _registries(client: redis.Redis, p: Picture) -> Iterator[str]:
    for job_id, f in p.jobs.items():
        user = record.read_core(f).user
        if client.zscore(p.keys.user_jobs(user), job_id) is None:
            yield f"job {job_id} is not among the jobs of {user}"
        expected = _REGISTRY.get(f["status"])
        for registry in set(_REGISTRY.values()):
            there = client.zscore(getattr(p.keys, registry)(f["origin"]), job_id) is not None
            if there != (registry == expected):
                yield f"job {job_id} is {f['status']}; in RQ's registry {registry}: {there}"
