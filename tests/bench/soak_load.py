"""The load of the soak: people who submit, cancel, restart, poll, read and watch; and a book of what was accepted."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp

from jobqueue.job import JobChange
from jobqueue.states import TERMINAL

USERS: Final = tuple(f"user{number}" for number in range(8))
RECENT: Final = 100
REQUEST_ERRORS: Final = (aiohttp.ClientError, TimeoutError)


@dataclass
class Entry:
    """One accepted job: how often it may reach an end (1 and its restarts), and the ends that were announced."""

    wanted: int = 1
    ends: list[str] = field(default_factory=list)


class Book:
    def __init__(self) -> None:
        self.jobs: dict[str, Entry] = {}
        self.recent: list[str] = []
        # Events may overtake the answer to the submission.
        self._early: dict[str, list[str]] = {}

    def accept(self, job_id: str) -> None:
        self.jobs[job_id] = Entry(ends=self._early.pop(job_id, []))
        self.recent = [*self.recent[-RECENT:], job_id]

    def hear(self, change: JobChange) -> None:
        # Each change of state is announced once with its own number; progress repeats an older one.
        if change.state in TERMINAL and change.seq == change.status_seq:
            entry = self.jobs.get(change.job_id)
            (entry.ends if entry else self._early.setdefault(change.job_id, [])).append(change.state)

    def unfinished(self) -> list[str]:
        return [job_id for job_id, entry in self.jobs.items() if len(entry.ends) < entry.wanted]

    def too_often(self) -> list[str]:
        return [job_id for job_id, entry in self.jobs.items() if len(entry.ends) > entry.wanted]

    def any_recent(self) -> str | None:
        return random.choice(self.recent) if self.recent else None


class Load:
    """Tasks that run until `stop`. `answers`: how often each kind of request got which status."""

    def __init__(self, urls: list[str], trace: str, book: Book) -> None:
        self._urls = urls
        self._trace = trace
        self._book = book
        self.answers: Counter[str] = Counter()
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = asyncio.Event()

    async def start(self, *, submitters: int, watchers: int) -> None:
        connector = aiohttp.TCPConnector(limit=0)
        self._session = aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=60))
        kinds: list[tuple[str, int, Callable[[], Awaitable[None]]]] = [
            ("submit", submitters, self._submit_one),
            ("read", 4, self._read_one),
            ("poll", 20, self._poll_one),
            ("watch", watchers, self._watch_one),
        ]
        for name, count, action in kinds:
            for number in range(count):
                self._tasks.append(asyncio.create_task(self._always(name, action), name=f"{name}-{number}"))

    async def stop_submitting(self) -> None:
        """Those that submit end their round; everybody else goes on."""
        self._stopping.set()
        await asyncio.gather(*(task for task in self._tasks if task.get_name().startswith("submit-")))

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        results = await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._session.close()
        for result in results:
            if isinstance(result, Exception):
                raise result

    async def _always(self, name: str, action: Callable[[], Awaitable[None]]) -> None:
        while not (name == "submit" and self._stopping.is_set()):
            try:
                await action()
            except REQUEST_ERRORS as error:
                self.answers[f"{name} {type(error).__name__}"] += 1
            await asyncio.sleep(random.uniform(0.05, 0.3))

    async def _ask(self, method: str, path: str, kind: str, body: Any = None) -> tuple[int, Any]:
        url = f"{random.choice(self._urls)}/api/v1/jobs{path}"
        async with self._session.request(method, url, json=body) as answer:
            value = await answer.json()
            self.answers[f"{kind} {answer.status}"] += 1
            return answer.status, value

    async def _submit_one(self) -> None:
        fate = random.choices(("done", "fail", "cancel", "restart"), (70, 10, 10, 10))[0]
        seconds = random.uniform(0, 0.3) if fate != "cancel" else 20.0
        parameters = {"trace": self._trace, "seconds": seconds, "fail": fate in ("fail", "restart")}
        body = {
            "job_type": "soak",
            "user_id": random.choice(USERS),
            "parameters": {**parameters, "file": random.random() < 0.2},
        }
        status, value = await self._ask("POST", "/submit", "submit", body)
        if status != 202:
            return
        job_id = value["job_id"]
        self._book.accept(job_id)
        if fate == "cancel":
            await asyncio.sleep(random.uniform(0, 1))
            await self._ask("POST", f"/cancel/{job_id}", "cancel")
        elif fate == "restart":
            state = "pending"
            while state in ("pending", "running"):
                _, value = await self._ask("GET", f"/status/{job_id}/poll?timeout=20&current_status={state}", "poll")
                state = value.get("status", "gone")
            # Written down first: its end may be announced before the answer is here.
            self._book.jobs[job_id].wanted += 1
            status, value = await self._ask("POST", f"/restart/{job_id}", "restart")
            if status >= 300:
                self._book.jobs[job_id].wanted -= 1
                self.answers[f"restart of a {value.get('current_status', 'lost')} job {status}"] += 1

    async def _read_one(self) -> None:
        job_id = self._book.any_recent()
        await self._ask("GET", "/queue/stats", "stats")
        if job_id is not None:
            await self._ask("GET", f"/status/{job_id}", "status")
            await self._ask("GET", f"/result/{job_id}", "result")

    async def _poll_one(self) -> None:
        if (job_id := self._book.any_recent()) is not None:
            await self._ask("GET", f"/status/{job_id}/poll?timeout=5", "poll")

    async def _watch_one(self) -> None:
        """A watcher that leaves when it likes, or at the end of the job."""
        job_id = self._book.any_recent()
        if job_id is None:
            return
        url = f"{random.choice(self._urls)}/api/v1/jobs/status/{job_id}/stream"
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(random.uniform(0.2, 8)), self._session.get(url) as answer:
                self.answers[f"watch {answer.status}"] += 1
                await answer.content.read()
