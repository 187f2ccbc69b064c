"""What tests over the real library share: a worker whose every step is one call, and the two requests they all make."""

from __future__ import annotations

from typing import Any

from jobqueue import Claimed, Completed, Consumer, Ended, JobQueue, Lane, Outcome, Progress

SUBMIT = "/api/v1/jobs/submit"
LEASE_US = 60_000_000
JOB_TYPES = """
[job_types.extraction]
function = "worker.jobs.extraction:run"
parameters = "fake_parameters:Strict"
"""


class WorkingHand:
    """A worker without a loop: each step is one call."""

    def __init__(self, queue: JobQueue) -> None:
        self._lane = Lane(queue.namespace, queue.name, 0, ["default"], LEASE_US)
        self._consumer = Consumer(queue.namespace, queue.name)
        self.queue = queue

    async def claim(self) -> Claimed:
        (job,) = await self.claim_many(1)
        return job

    async def claim_many(self, want: int = 10) -> list[Claimed]:
        return (await self._lane.advance([], want)).jobs

    async def progress(self, job: Claimed, fraction: float, step: str) -> None:
        assert await self._consumer.progress([(job, Progress(job.token, fraction, step, 1, 2))]) == [True]

    async def late_progress(self, job: Claimed, fraction: float) -> bool:
        return (await self._consumer.progress([(job, Progress(job.token, fraction, "late", 9, 9))]))[0]

    async def verdict(self, job: Claimed, outcome: Outcome) -> str:
        return (await self._consumer.finish([Ended(job, outcome)]))[0]

    async def finish(self, job: Claimed, outcome: Outcome) -> None:
        assert await self.verdict(job, outcome) == "ok"

    async def finish_all(self) -> None:
        """Runs whatever waits, so that nothing is left over."""
        while jobs := await self.claim_many():
            for job in jobs:
                await self.verdict(job, Completed())


async def submit(api: Any, **body: Any) -> str:
    status, answer = await api.post(SUBMIT, {"job_type": "extraction", **body})
    assert status == 202
    return str(answer["job_id"])


async def get(api: Any, job_id: str) -> dict[str, Any]:
    status, body = await api.get(f"/api/v1/jobs/status/{job_id}")
    assert status == 200
    return dict(body)
