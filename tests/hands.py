"""A worker in a test's hands: it takes jobs and ends them as the test says; and a tick that waits for no turn."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

import redis

from jobqueue import Claimed, Completed, Consumer, Ended, Job, JobQueue, Lane, NewJob
from jobqueue.cleanup import CleanupReport
from jobqueue.job import Outcome, Stopped
from jobqueue.maintenance import TickReport

LEASE_US = 60_000_000


def new(user: str = "ann", **options: Any) -> NewJob:
    return NewJob(job_id=str(uuid.uuid4()), function="a.b", user_id=user, **options)


def after(*parents: NewJob, user: str = "ann", **options: Any) -> NewJob:
    """A job that waits for these."""
    return new(user, depends_on=[parent.job_id for parent in parents], **options)


class Hands:
    """`held`: what was taken and has not been ended, by id."""

    def __init__(self, queue: JobQueue, client: redis.Redis) -> None:
        self.queue = queue
        self.client = client
        self.lane = Lane(queue.namespace, "test", 0, ("default",), LEASE_US)
        self.held: dict[str, Claimed] = {}

    async def add(self, *jobs: NewJob) -> None:
        for answer in await self.queue.producer.enqueue_many(jobs):
            assert not isinstance(answer, Exception), answer

    async def take(self, want: int = 10) -> list[str]:
        return await self.turn({}, want)

    async def turn(self, outcomes: Mapping[str, Outcome], want: int = 10) -> list[str]:
        """End some and take others, in one call."""
        batch = await self.lane.advance([Ended(self.held.pop(job_id), end) for job_id, end in outcomes.items()], want)
        assert set(batch.verdicts) <= {"ok"}
        self.held |= {job.job_id: job for job in batch.jobs}
        return [job.job_id for job in batch.jobs]

    async def start(self, *jobs: NewJob | str) -> None:
        """Take what may run; these are among it."""
        await self.take()
        assert {_id(job) for job in jobs} <= self.held.keys()

    async def end(self, job: NewJob | str, outcome: Outcome | None = None) -> None:
        await self.end_together({_id(job): outcome or Completed(1)})

    async def end_together(self, outcomes: Mapping[str, Outcome]) -> None:
        ended = [Ended(self.held.pop(job_id), outcome) for job_id, outcome in outcomes.items()]
        assert await Consumer(self.queue.namespace, "test").finish(ended) == ["ok"] * len(ended)

    async def run(self, job: NewJob | str, outcome: Outcome | None = None) -> None:
        await self.start(job)
        await self.end(job, outcome)

    async def lose(self, job: NewJob | str) -> None:
        """Its worker is lost, and somebody has noticed."""
        await self.tick()
        self.expire_lease(job)
        await self.tick()

    def expire_lease(self, job: NewJob | str) -> None:
        """Its worker is lost; the next tick may take the job back."""
        claimed = self.held.pop(_id(job))
        self.client.zadd("rq:x:leases", {claimed.token: 1})
        self.client.hset("rq:x:meta", "rescue_after", 0)

    async def stop(self, job: NewJob | str) -> None:
        """The execution of a cancelled job has ended."""
        ended = [Ended(self.held.pop(_id(job)), Stopped())]
        assert await Consumer(self.queue.namespace, "test").finish(ended) == ["cancelled"]

    async def tick(self) -> TickReport:
        self.client.hdel("rq:x:meta", "sweep_throttle", "rescue_throttle", "promote_throttle")
        return await self.queue.maintenance.tick()

    async def clean(self) -> CleanupReport:
        """A whole cleanup, whenever the last was."""
        self.client.hdel("rq:x:meta", "cleanup_until", "last_cleanup")
        report = await self.queue.cleanup.run_if_due()
        assert report is not None
        return report

    async def tick_through(self) -> int:
        """Until there is nothing left to do; the number of ticks."""
        for number in range(1, 50):
            if not (await self.tick()).more:
                return number
        raise AssertionError("the tick finds work without end")

    async def get(self, job: NewJob | str) -> Job:
        return await self.queue.inspector.get(_id(job))

    async def states(self, *jobs: NewJob | str) -> list[str]:
        found = await self.queue.inspector.get_many([_id(job) for job in jobs])
        return [job.state if job else "gone" for job in found]

    def now(self) -> int:
        """The time of the Redis clock, in microseconds."""
        seconds, micros = self.client.time()
        return int(seconds) * 1_000_000 + int(micros)

    def status(self, job: NewJob | str) -> str:
        """RQ's word."""
        return (self.client.hget(f"rq:job:{_id(job)}", "status") or b"gone").decode()

    def let_due(self, job: NewJob | str) -> None:
        """Its time has come: what the clock would bring."""
        assert self.client.zadd("rq:scheduled:default", {_id(job): 1}, xx=True, ch=True) == 1

    def let_expire(self, *jobs: NewJob | str) -> None:
        """The retention of their records is over."""
        for job in jobs:
            assert self.client.delete(f"rq:job:{_id(job)}") == 1


def _id(job: NewJob | str) -> str:
    return job if isinstance(job, str) else job.job_id
