"""Every Redis key and channel, first RQ's, then ours. No other module spells a key.

Redis types stand behind each name; the source of RQ's part are RQ 3.0.0's own modules. Lua builds the same names from
the prefix, in `lua/include/`; a test compares the two.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_JOB_ID = re.compile(r"[A-Za-z0-9_-]{1,255}")


def is_job_id(text: str) -> bool:
    """RQ's own rule; anything else never becomes a part of a key."""
    return _JOB_ID.fullmatch(text) is not None


STATES = ("pending", "scheduled", "running", "completed", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class Keys:
    """`prefix` follows RQ's rule for RQ_KEY_PREFIX; put a hash tag into it (`{rq}`) for Redis Cluster."""

    prefix: str = "rq"

    def _rq(self, name: str) -> str:
        return f"{self.prefix}:{name}"

    def _own(self, name: str) -> str:
        return f"{self.prefix}:x:{name}"

    # RQ's keys

    @property
    def queues(self) -> str:
        return self._rq("queues")  # set of full queue keys

    def queue(self, name: str) -> str:
        return self._rq(f"queue:{name}")  # list of admitted ids, head = next

    def intermediate(self, name: str) -> str:
        return self._rq(f"queue:{name}:intermediate")  # list, stock workers only

    def job(self, job_id: str) -> str:
        return self._rq(f"job:{job_id}")  # hash

    def results(self, job_id: str) -> str:
        return self._rq(f"results:{job_id}")  # stream, one entry per final outcome

    def execution(self, job_id: str, execution_id: str) -> str:
        return self._rq(f"execution:{job_id}:{execution_id}")  # hash, expires

    def executions(self, job_id: str) -> str:
        return self._rq(f"executions:{job_id}")  # zset of execution ids, expires

    def wip(self, queue: str) -> str:
        return self._rq(f"wip:{queue}")  # zset of `ID:X`, score = unix second of RQ's own abandonment

    def finished(self, queue: str) -> str:
        return self._rq(f"finished:{queue}")  # zset, score = expiry

    def failed(self, queue: str) -> str:
        return self._rq(f"failed:{queue}")  # zset, score = expiry

    def scheduled(self, queue: str) -> str:
        return self._rq(f"scheduled:{queue}")  # zset, score = due time

    def deferred(self, queue: str) -> str:
        return self._rq(f"deferred:{queue}")  # zset, score = time it was added

    def canceled(self, queue: str) -> str:
        return self._rq(f"canceled:{queue}")  # zset, score = time of the cancel

    @property
    def suspended(self) -> str:
        return self._rq("suspended")  # string, present = workers take nothing new

    @property
    def workers(self) -> str:
        return self._rq("workers")  # set of full worker keys

    def workers_of(self, queue: str) -> str:
        return self._rq(f"workers:{queue}")  # set of full worker keys

    def worker(self, name: str) -> str:
        return self._rq(f"worker:{name}")  # hash, expires

    def worker_executions(self, name: str) -> str:
        return self._rq(f"worker:{name}:executions")  # set of `ID:X`, expires

    def worker_channel(self, name: str) -> str:
        return self._rq(f"pubsub:{name}")  # channel of JSON commands

    @property
    def limiters(self) -> str:
        return self._rq("rl-keys")  # set of limiter names in use

    def limiter(self, name: str) -> str:
        return self._rq(f"rl:{name}")  # hash: concurrency

    def limiter_allowed(self, name: str) -> str:
        return self._rq(f"rl:{name}:allowed")  # zset of ids queued or running

    def limiter_waiting(self, name: str) -> str:
        return self._rq(f"rl:{name}:rate_limited")  # zset, score = band and time: the user's own order

    # Our keys

    @property
    def meta(self) -> str:
        return self._own("meta")  # hash: n (event counter), clock, throttles, run_id, the cleanup's term

    @property
    def limits(self) -> str:
        return self._own("limits")  # hash: total, per_user, and the same with `_set` when set through the API

    @property
    def paused(self) -> str:
        return self._own("paused")  # hash: `user:USER`, `type:TYPE` -> since, in microseconds

    @property
    def types(self) -> str:
        return self._own("types")  # hash of controlled types: limit, '' = none (any more)

    def line(self, user: str, job_type: str) -> str:
        return self._own(f"line:{user}:{job_type}")  # zset of waiting ids of a controlled type, score as in RQ's line

    @property
    def lines_of_types(self) -> str:
        return self._own("line:")  # what all names of such lines begin with

    def lines(self, user: str) -> str:
        return self._own(f"lines:{user}")  # set of controlled types of which this user has waiting jobs

    def places(self, job_type: str) -> str:
        return self._own(f"places:{job_type}")  # set of ids of a controlled type that are admitted or run

    def waiters(self, job_type: str) -> str:
        return self._own(f"waiters:{job_type}")  # zset of users who wait for a place, score = last turn, microseconds

    @property
    def unsorted(self) -> str:
        return self._own("unsorted")  # hash: limiter whose line holds jobs of controlled types -> up to which score

    @property
    def deadlines(self) -> str:
        return self._own("deadlines")  # zset of ids of jobs that must have started, score = by when, in microseconds

    @property
    def unique(self) -> str:
        return self._own("unique")  # hash: token of a unique key -> id of the last job that had it

    @property
    def releases(self) -> str:
        return self._own("releases")  # zset of ended ids whose dependents are still to be looked at, score = since when

    def kept(self, job_id: str) -> str:
        return self._own(f"kept:{job_id}")  # set of dependents in `releases` that go on waiting for this job

    @property
    def times(self) -> str:
        return self._own("times")  # hash: job type -> `mean count` of its run times, in microseconds

    def dependents(self, job_id: str) -> str:
        return self._rq(f"job:{job_id}:dependents")  # set of ids that wait for this job

    def dependencies(self, job_id: str) -> str:
        return self._rq(f"job::{job_id}:dependencies")  # set of ids that this job depends on

    @property
    def leases(self) -> str:
        return self._own("leases")  # zset of `ID:X` of running jobs, score = deadline in microseconds

    @property
    def stopping(self) -> str:
        return self._own("stopping")  # zset of `ID:X` cancelled but not yet stopped, score as in leases

    def live(self, user: str) -> str:
        return self._own(f"live:{user}")  # set of `ID:X` that hold a slot of this user

    def parked(self, user: str) -> str:
        return self._own(f"parked:{user}")  # zset of admitted ids that may not run now, score as in the user's line

    @property
    def parked_users(self) -> str:
        return self._own("parked")  # set of users who have parked jobs

    def state(self, state: str) -> str:
        return self._own(f"state:{state}")  # zset of ids, score = created, in microseconds

    def user_jobs(self, user: str) -> str:
        return self._own(f"user:{user}")  # zset of all ids of a user, score = created, in microseconds

    def once(self, token: str) -> str:
        return self._own(f"once:{token}")  # string: digest, state and id of the first job; expires

    def worker_data(self, name: str) -> str:
        return self._own(f"worker:{name}")  # hash: last claim of each lane, concurrency, memory; expires

    @property
    def missing(self) -> str:
        return self._own("missing")  # zset of queued ids seen in no list, score = first seen, in microseconds; expires

    @property
    def damaged(self) -> str:
        return self._own("damaged")  # set of ids whose record is not what its name says

    @property
    def servers(self) -> str:
        return self._own("servers")  # zset of server names, score = last beat in microseconds

    def server(self, name: str) -> str:
        return self._own(f"server:{name}")  # hash: rss_mb, host, pid; expires

    @property
    def schedules(self) -> str:
        return self._own("schedules")  # zset of ids of schedules, score = created, in microseconds, unique

    @property
    def ticks(self) -> str:
        return self._own("ticks")  # zset of ids of schedules that are not paused, score = next tick in microseconds

    def schedule(self, schedule_id: str) -> str:
        return self._own(f"schedule:{schedule_id}")  # hash: what was given, and what has become of it

    @property
    def events(self) -> str:
        return self._own("events")  # channel, see jobqueue.events

    @property
    def wake(self) -> str:
        return self._own("wake")  # channel: a slot became free while jobs wait for one

    def aside(self, key: str) -> str:
        return self._own(f"aside:{key}")  # whatever stood under the name of a key of ours and was of another type

    # What a key is, from its name

    def describe(self, key: str) -> tuple[str, str] | None:
        """(kind, name) of a job's record, what RQ keeps beside it or an index that a cleanup looks at; or None."""
        single = {self.damaged: "damaged", self.deadlines: "deadlines", self.unique: "unique"}.get(key)
        if single is not None:
            return single, ""
        for kind, start, end in self._kinds():
            if key.startswith(start) and key.endswith(end) and len(key) > len(start) + len(end):
                name = key[len(start) : len(key) - len(end)]
                # No other text may be a job's id.
                return None if kind in ("job", "leftover") and not is_job_id(name) else (kind, name)
        return None

    def _kinds(self) -> Iterator[tuple[str, str, str]]:
        # What RQ keeps beside a record comes before the record itself: its name is the longer one.
        yield "leftover", self.job(""), ":dependents"
        yield "leftover", self.job(":"), ":dependencies"
        yield "leftover", self.results(""), ""
        yield "job", self.job(""), ""
        yield "state", self.state(""), ""
        yield "user", self.user_jobs(""), ""
        yield "live", self.live(""), ""
        yield "parked", self.parked(""), ""
        yield "line", self.lines_of_types, ""
        yield "places", self.places(""), ""
        yield "waiters", self.waiters(""), ""
        yield "allowed", self.limiter(""), ":allowed"
        yield "waiting", self.limiter(""), ":rate_limited"
        for registry in ("wip", "finished", "failed", "scheduled", "deferred", "canceled"):
            yield registry, getattr(self, registry)(""), ""
