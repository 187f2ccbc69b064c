"""What `fsck` knows of jobs that wait: for others, for a place of their type, for their last chance to start."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from jobqueue import record
from jobqueue.fsck_picture import Picture
from jobqueue.states import TERMINAL


def _dependencies(p: Picture) -> Iterator[str]:
    for job_id, f in p.jobs.items():
        if f["status"] != "deferred" or "x_digest" not in f:
            continue
        parents = record.read_dependencies(f)
        waiting = [parent for parent in parents if _is_open(p, parent)]
        if not waiting and not p.releases & set(parents):
            yield f"job {job_id} is deferred, but all of {', '.join(parents)} have ended"
        # One is enough: when it ends the job is judged by all of them. A restarted parent may have forgotten it.
        if waiting and not any(job_id in p.dependents.get(parent, ()) for parent in waiting):
            yield f"job {job_id} waits for {', '.join(waiting)}, none of which knows of it"


def _is_open(p: Picture, job_id: str) -> bool:
    return job_id in p.jobs and record.state_of(p.jobs[job_id]) not in TERMINAL


def _types(p: Picture) -> Iterator[str]:
    live = {token.rpartition(":")[0] for token in p.leases | p.stopping}
    for name, ids in p.places.items():
        for job_id in ids:
            f = p.jobs.get(job_id)
            if job_id in p.damaged:
                continue
            if f is None or (f["status"] not in ("queued", "started") and job_id not in live):
                yield f"type {name} keeps a place for {job_id}, which is {f['status'] if f else 'gone'}"
    for job_id, f in p.jobs.items():
        job_type = record.read_core(f).job_type
        if job_type in p.types and f["status"] == "started" and job_id not in p.places[job_type]:
            yield f"job {job_id} runs without a place of its type {job_type}"
    for key, ids in p.lines.items():
        for job_id in ids - p.known:
            yield f"{key} holds {job_id}, which has no record"


def _deadlines(p: Picture) -> Iterator[str]:
    for job_id in p.deadlines:
        f = p.jobs.get(job_id)
        if job_id in p.damaged:
            continue
        if f is None or f["status"] == "started" or record.state_of(f) in TERMINAL:
            yield f"job {job_id} has a deadline for its start, but is {f['status'] if f else 'gone'}"


def _unique(p: Picture) -> Iterator[str]:
    for job_id, f in p.jobs.items():
        token = f.get("x_unique")
        if token and record.state_of(f) not in TERMINAL and p.unique.get(token) != job_id:
            yield f"job {job_id} is live, but its unique key belongs to {p.unique.get(token)}"


CHECKS: Final[tuple[Callable[[Picture], Iterator[str]], ...]] = (_dependencies, _types, _deadlines, _unique)
