"""What `fsck` looks at: a whole namespace, read once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import redis

from jobqueue import damage, key_types
from jobqueue.keys import STATES, Keys, is_job_id


@dataclass
class Picture:
    """Everything that the checks look at, read once."""

    keys: Keys
    jobs: dict[str, dict[str, str]] = field(default_factory=dict)
    # What nobody can read, or was set aside: why.
    damaged: dict[str, str] = field(default_factory=dict)
    # Ids under which there is something, whatever it is.
    known: set[str] = field(default_factory=set)
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
    deferred: dict[str, set[str]] = field(default_factory=dict)
    dependents: dict[str, set[str]] = field(default_factory=dict)
    releases: set[str] = field(default_factory=set)
    types: set[str] = field(default_factory=set)
    lines: dict[str, set[str]] = field(default_factory=dict)
    places: dict[str, set[str]] = field(default_factory=dict)
    deadlines: set[str] = field(default_factory=set)
    unique: dict[str, str] = field(default_factory=dict)
    counter: int = 0


def _texts(values: Any) -> list[str]:
    return [value.decode("utf-8", "replace") for value in values]


def _text(values: Any) -> set[str]:
    return set(_texts(values))


def _scan(client: redis.Redis, start: str) -> Iterator[str]:
    for key in client.scan_iter(match=f"{start}*", count=1000):
        yield key.decode("utf-8", "replace")


def wrong_types(client: redis.Redis, keys: Keys) -> Iterator[str]:
    """A sentence for each key of ours that is of another type than its name promises: nothing can be read around it."""
    for key in _scan(client, f"{keys.prefix}:"):
        wanted = key_types.type_of(keys, key)
        found = _word(client.type(key)) if wanted else None
        if found not in (wanted, "none"):
            yield f"{key} is a {found}, it must be a {wanted}"


def put_aside(client: redis.Redis, keys: Keys) -> Iterator[str]:
    """A sentence for each such key that a cleanup has found."""
    for key in _scan(client, keys.aside("")):
        name = key.removeprefix(keys.aside(""))
        yield f"{name} was a {_word(client.type(key))}; it was put aside as {key}"


def read(client: redis.Redis, keys: Keys) -> Picture:
    p = Picture(keys)
    for key in _scan(client, keys.job("")):
        job_id = key.removeprefix(keys.job(""))
        if is_job_id(job_id):
            _read_record(client, p, job_id)
    _read_damaged(client, p)
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
    _read_waiting(client, p)
    p.counter = int(client.hget(keys.meta, "n") or 0)
    return p


def _read_record(client: redis.Redis, p: Picture, job_id: str) -> None:
    key = p.keys.job(job_id)
    kind = client.type(key)
    if kind == b"none":
        return
    p.known.add(job_id)
    if kind != b"hash":
        p.damaged[job_id] = f"under its name is a {_word(kind)}"
        return
    raw: dict[bytes, bytes] = client.hgetall(key)  # type: ignore[assignment]
    f = {_word(k): _word(v) for k, v in raw.items()}
    fields = damage.damaged_fields(f if "x_v" in f else {"status": f.get("status", "")})
    if "x_damaged" in f and client.sismember(p.keys.damaged, job_id):
        p.damaged[job_id] = "it was set aside, " + f.get("x_reason", "the record was damaged")
    elif fields:
        p.damaged[job_id] = damage.reason(fields)
    if "x_v" in f and not fields:
        p.jobs[job_id] = f
        p.ttls[job_id] = client.ttl(key)


def _word(raw: Any) -> str:
    return str(raw.decode("utf-8", "replace"))


def _read_damaged(client: redis.Redis, p: Picture) -> None:
    """Ids that are none, which somebody has put into a list."""
    members: set[bytes] = client.smembers(p.keys.damaged)  # type: ignore[assignment]
    for job_id in members:
        name = _word(job_id)
        if not is_job_id(name) and client.exists(p.keys.job("").encode() + job_id):
            p.damaged[name] = "no job may have this id"


def _read_waiting(client: redis.Redis, p: Picture) -> None:
    keys = p.keys
    for queue in p.queues:
        p.deferred[queue] = _text(client.zrange(keys.deferred(queue), 0, -1))
    for job_id in p.jobs:
        if members := client.smembers(keys.dependents(job_id)):
            p.dependents[job_id] = _text(members)
    p.releases = _text(client.zrange(keys.releases, 0, -1))
    p.types = _text(client.hkeys(keys.types))
    for key in _scan(client, keys.line("", "").removesuffix(":")):
        p.lines[key] = _text(client.zrange(key, 0, -1))
    for name in p.types:
        p.places[name] = _text(client.smembers(keys.places(name)))
    p.deadlines = _text(client.zrange(keys.deadlines, 0, -1))
    raw: dict[bytes, bytes] = client.hgetall(keys.unique)  # type: ignore[assignment]
    p.unique = {_word(token): _word(job_id) for token, job_id in raw.items()}
