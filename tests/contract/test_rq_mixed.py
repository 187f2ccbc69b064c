"""Workers of both kinds on one queue; and our cancel of what a stock worker runs."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

import pytest
import redis
import rq
from hands import Hands, new
from rq.registry import StartedJobRegistry
from rq_support import Processes, Site, until

from jobqueue.fsck import fsck

USERS = ("ann", "bob", "cid")
LIMIT = 2


class Onlooker:
    """Asks all the time what RQ's tools ask, and samples how many of each user hold a slot."""

    def __init__(self, site: Site) -> None:
        self._client = redis.Redis.from_url(site.url)
        self._ended = threading.Event()
        self.most: Counter[str] = Counter()
        self.looks = 0

    def run(self) -> None:
        queue = rq.Queue("default", connection=self._client, serializer="json")
        while not self._ended.is_set():
            StartedJobRegistry("default", connection=self._client).count  # noqa: B018
            for registry in (queue.failed_job_registry, queue.finished_job_registry, queue.deferred_job_registry):
                registry.get_job_ids()
            rq.Worker.all(queue=queue)
            for user in USERS:
                self.most[user] = max(self.most[user], self._client.zcard(f"rq:rl:user:{user}:allowed"))
            self.looks += 1

    def stop(self) -> None:
        self._ended.set()
        self._client.close()


@contextmanager
def looking_on(site: Site, processes: Processes) -> Iterator[Onlooker]:
    onlooker = Onlooker(site)
    thread = threading.Thread(target=onlooker.run, name="onlooker")
    thread.start()
    info = processes.start("rq.cli", "info", "--interval", "0.1", "--raw", "--url", site.url)
    try:
        yield onlooker
    finally:
        info.kill()
        onlooker._ended.set()
        thread.join(10)
        onlooker.stop()


def spans(file: Path) -> dict[int, list[tuple[float, str]]]:
    found: dict[int, list[tuple[float, str]]] = {}
    for line in file.read_text().splitlines():
        what, number, at = line.split()
        found.setdefault(int(number), []).append((float(at), what))
    return found


def most_of_user(noted: dict[int, list[tuple[float, str]]], first: int) -> int:
    """The jobs of one user are every third."""
    moments = sorted(moment for number, found in noted.items() if number % len(USERS) == first for moment in found)
    now = most = 0
    for _, what in moments:
        now += 1 if what == "start" else -1
        most = max(most, now)
    return most


async def enqueue_sixty(site: Site, file: Path) -> list[str]:
    """Half of them are ours, half RQ's; for each user under one key."""
    ids = []
    async with site.opened(JOBQUEUE_LIMITS_PER_USER=str(LIMIT)) as queue:
        for number in range(60):
            user = USERS[number % len(USERS)]
            if number % 2:
                limit = rq.RateLimit(f"user:{user}", LIMIT)
                ids.append(site.queue.enqueue("rq_jobs.short", str(file), number, 0.02, rate_limit=limit).id)
            else:
                job = new(user)
                job.function, job.args = "rq_jobs.short", [str(file), number, 0.02]
                await queue.producer.enqueue(job)
                ids.append(job.job_id)
    return ids


async def test_two_of_each_on_one_queue(json_site: Site, json_processes: Processes) -> None:
    site, file = json_site, json_site.folder / "notes"
    stock = [json_processes.stock("--name", f"stock-{number}", "default") for number in range(2)]
    await until(lambda: len(rq.Worker.all(connection=site.client)) == 2, "the stock workers are there", 20)
    async with AsyncExitStack() as stack:
        onlooker = stack.enter_context(looking_on(site, json_processes))
        ids = await enqueue_sixty(site, file)
        for number in range(2):
            limits = {"JOBQUEUE_LIMITS_PER_USER": str(LIMIT), "JOBQUEUE_WORKER_CONCURRENCY": "1"}
            await stack.enter_async_context(site.ours(f"ours-{number}", **limits))
        await until(lambda: {site.status(job_id) for job_id in ids} == {"finished"}, "all are finished", 40)
        assert onlooker.looks > 5
    assert all(process.poll() is None for process in stock)
    noted = spans(file)
    assert sorted(noted) == list(range(60))
    assert {tuple(what for _, what in sorted(found)) for found in noted.values()} == {("start", "end")}
    assert max(most_of_user(noted, first) for first in range(3)) <= LIMIT
    assert max(onlooker.most.values()) <= LIMIT
    await nothing_is_left(site, ids)


async def nothing_is_left(site: Site, ids: list[str]) -> None:
    await site.settled()
    assert [site.job(job_id).return_value() for job_id in ids] == list(range(60))
    assert {len(site.job(job_id).results()) for job_id in ids} == {1}
    workers = {site.job(job_id).worker_name for job_id in ids}
    assert any(name.startswith("ours") for name in workers) and any(name.startswith("stock") for name in workers)
    for pattern in ("rq:rl*", "rq:execution*", "rq:wip:*", "rq:queue:*", "rq:x:live:*", "rq:x:parked*"):
        # RQ's tools note when they have first seen an id on its way to a worker of theirs; the note expires.
        left = [key for key in site.client.keys(pattern) if b":intermediate:first_seen:" not in key]
        assert left == [], pattern


async def cancelled_everywhere(site: Site, job_id: str) -> None:
    """Within two seconds, for our readers and in every index."""

    def agree() -> bool:
        return site.status(job_id) in ("canceled", "stopped") and fsck(site.client) == []

    try:
        await until(agree, "every index says cancelled", 2)
    except AssertionError:
        raise AssertionError((site.status(job_id), fsck(site.client))) from None
    async with site.opened("reader") as queue:
        assert (await queue.inspector.get(job_id)).state == "cancelled"
        assert (await queue.inspector.stats()).counts["cancelled"] == 1


async def test_our_cancel_stops_a_job_of_a_stock_worker(json_site: Site, json_processes: Processes) -> None:
    site = json_site
    job = site.queue.enqueue("rq_jobs.hold_still", str(site.gate), rate_limit=rq.RateLimit("user:ann", 1))
    json_processes.stock("default")
    async with site.ours("other", JOBQUEUE_WORKER_QUEUES="other") as queue:
        await until((site.folder / "gate.seen").exists, "it runs", 20)
        await until(lambda: running_in_index(site, job.id), "our index knows", 2)
        before = time.monotonic()
        await queue.producer.cancel(job.id)
        await until(lambda: not site.client.exists("rq:wip:default"), "the stock worker has stopped it", 2)
        await cancelled_everywhere(site, job.id)
        assert time.monotonic() - before < 4
        # The worker goes on.
        following = site.queue.enqueue("rq_jobs.add", 1, rate_limit=rq.RateLimit("user:ann", 1))
        await until(lambda: site.status(following.id) == "finished", "the next job of the same user", 5)


async def test_our_cancel_of_a_job_whose_start_by_a_stock_worker_no_tick_has_seen(json_site: Site) -> None:
    site = json_site
    job = site.queue.enqueue("rq_jobs.hold_still", str(site.gate))
    async with site.opened() as queue:
        await Hands(queue, site.client).tick()
        working = asyncio.create_task(asyncio.to_thread(site.work, max_jobs=1), name="stock-worker")
        await until((site.folder / "gate.seen").exists, "it runs")
        await queue.producer.cancel(job.id)
        counts = (await queue.inspector.stats()).counts
        site.open_gate()
        await working
        assert {state: count for state, count in counts.items() if count} == {"cancelled": 1}


# What a stock worker writes that has not heard of the cancel in time.
@pytest.mark.parametrize("end", ["finished", "failed", "retried", "retried later"])
@pytest.mark.parametrize("made_by", ["ours", "stock"])
async def test_our_cancel_holds_whatever_the_stock_worker_writes_last(json_site: Site, made_by: str, end: str) -> None:
    site = json_site
    retry = {"retried": rq.Retry(max=1), "retried later": rq.Retry(max=1, interval=60)}.get(end)
    how = "" if end == "finished" else "raise"
    async with site.ours("other", JOBQUEUE_WORKER_QUEUES="other") as queue:
        if made_by == "stock":
            job_id = site.queue.enqueue("rq_jobs.hold_still", str(site.gate), how, retry=retry).id
        else:
            job = new("ann", max_attempts=2 if retry else 1, backoff_seconds=60 if "later" in end else 0)
            job.function, job.args = "rq_jobs.hold_still", [str(site.gate), how]
            await queue.producer.enqueue(job)
            job_id = job.job_id
        working = asyncio.create_task(asyncio.to_thread(site.work, max_jobs=1), name="stock-worker")
        await until((site.folder / "gate.seen").exists, "it runs")
        await until(lambda: running_in_index(site, job_id), "our index knows")
        await queue.producer.cancel(job_id)
        site.open_gate()
        await working
        await cancelled_everywhere(site, job_id)
        # A retry that the stock worker wrote does not bring it back either.
        await Hands(queue, site.client).tick()
        assert (site.listed(), (site.folder / "gate.seen").read_text().count("start")) == ([], 1)


def running_in_index(site: Site, job_id: str) -> bool:
    return site.client.zscore("rq:x:state:running", job_id) is not None
