"""Our row in the shared benchmark (`adapters/__init__.py` there states the interface). Limits are on, 1,000/1,000."""

import os
import uuid

NAME, VENV, SYNC, BULK = "jobqueue", "jobqueue", False, "lib"
WORKERS = {"jobqueue": {"conc": 200, "sleep_conc": 100, "rate": 25000, "note": "concurrency, uvloop, all on"}}
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PREFIX = "rq"


def _settings(url, concurrency):
    from jobqueue import load_settings

    return load_settings(
        environment={
            "JOBQUEUE_REDIS_URL": url,
            "JOBQUEUE_LIMITS_TOTAL": "1000",
            "JOBQUEUE_LIMITS_PER_USER": "1000",
            "JOBQUEUE_WORKER_CONCURRENCY": str(concurrency),
            "JOBQUEUE_WORKER_ALLOWED_FUNCTIONS": "jobs.*",
            "JOBQUEUE_REDIS_CALL_TIMEOUT_SECONDS": "30",
        }
    )


class Client:
    def __init__(self, url):
        self.url = url

    async def open(self):
        from jobqueue import JobQueue

        self.queue = await JobQueue.open(_settings(self.url, 1), name=f"bench-{os.getpid()}")

    async def close(self):
        await self.queue.close()

    def _job(self, func, i):
        from jobqueue import NewJob

        return NewJob(job_id=str(uuid.uuid4()), function=f"jobs.a{func}", args=[i])

    async def enqueue(self, func, i):
        return (await self.queue.producer.enqueue(self._job(func, i))).job_id

    async def enqueue_bulk(self, func, idx):
        await self.queue.producer.enqueue_many([self._job(func, i) for i in idx])

    async def wait_ready(self):
        self.done, self.waiters = set(), {}
        self.queue.events.on_change(self._changed)
        await self.queue.events.start()
        await self.queue.events.wait_subscribed()

    def _changed(self, change):
        if change.state == "completed":
            waiter = self.waiters.pop(change.job_id, None)
            if waiter is None:
                self.done.add(change.job_id)
            else:
                waiter.set_result(None)

    async def wait(self, job_id):
        import asyncio

        if job_id in self.done:
            self.done.discard(job_id)
        else:
            self.waiters[job_id] = asyncio.get_running_loop().create_future()
            await asyncio.wait_for(self.waiters[job_id], 10)
        return (await self.queue.inspector.get(job_id, result=True)).result


def worker(variant, url, conc):
    import sys

    import uvloop

    sys.path.insert(0, ROOT)
    from worker.__main__ import work

    uvloop.run(work(_settings(url, conc)))


def done_count(r, n):
    return r("ZCARD", f"{PREFIX}:finished:default")
