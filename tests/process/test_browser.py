"""What a browser's own EventSource makes of our streams: Chromium, real servers, a relay that sees every request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import eventually
from playwright.async_api import Page, Route, async_playwright
from relay import Relay
from support import System
from watch_support import hand_on, in_thread, start_server, submitted, system_in

from jobqueue import Completed, Failed

CHROMIUM = Path("/usr/bin/chromium")
OPTIONS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
]  # fmt: skip
FOLLOW = """
(id) => {
    const source = new EventSource(`/api/v1/jobs/status/${id}/stream`);
    const seen = { source, events: [], errors: [] };
    for (const name of ["job_update", "job_complete"])
        source.addEventListener(name, (event) =>
            seen.events.push([name, Number(event.lastEventId), JSON.parse(event.data)]));
    source.addEventListener("error", () => seen.errors.push(source.readyState));
    (window.jobs ??= {})[id] = seen;
}
"""
# Values of readyState.
CONNECTING, CLOSED = 0, 2

pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason="Chromium is not installed")


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    with system_in(tmp_path) as made:
        yield made


def to_port(port: int) -> Any:
    return lambda: asyncio.open_connection("127.0.0.1", port)


@pytest.fixture
async def relay(system: System) -> AsyncIterator[Relay]:
    made = Relay(lambda: asyncio.open_connection("127.0.0.1", system.port))
    await made.start()
    yield made
    await made.stop()


class Browser:
    """One page of the server's origin."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    async def open(self, port: int) -> None:
        async def empty_page(route: Route) -> None:
            await route.fulfill(content_type="text/html", body="<link rel=icon href=data:,>")

        await self.page.route("**/a-page", empty_page)
        await self.page.goto(f"http://127.0.0.1:{port}/a-page")
        # From here on nothing stands between the browser and the network.
        await self.page.unroute_all()

    async def follow(self, job_id: str) -> None:
        await self.page.evaluate(FOLLOW, job_id)

    async def events(self, job_id: str) -> list[tuple[str, int, Any]]:
        return [tuple(event) for event in await self.page.evaluate("(id) => jobs[id].events", job_id)]

    async def state(self, job_id: str) -> int:
        return int(await self.page.evaluate("(id) => jobs[id].source.readyState", job_id))

    async def until_state(self, job_id: str, state: int) -> None:
        async def there() -> bool:
            return await self.state(job_id) == state

        await eventually(there, f"readyState {state}", 15)

    async def until(self, job_id: str, name: str, **fields: Any) -> None:
        """The newest event is this one."""

        async def there() -> bool:
            events = await self.events(job_id)
            return bool(events) and events[-1][0] == name and fields.items() <= events[-1][2].items()

        await eventually(there, f"{name} {fields}", 15)


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield Browser(await chromium.new_page())
        await chromium.close()


def last_ids(relay: Relay, job_id: str) -> list[str | None]:
    """What each request for the job's stream named as seen, in order."""
    heads = [head for head in relay.heads if f"/{job_id}/stream " in head]
    fields = [dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:]) for head in heads]
    assert all(head["accept"] == "text/event-stream" for head in fields)
    return [head.get("last-event-id") for head in fields]


async def test_api_E3_E5_E10_a_browser_sees_each_kind_of_end_once_and_stops(
    system: System, relay: Relay, browser: Browser
) -> None:
    await start_server(system)
    await browser.open(relay.port)
    ends = {"completed": Completed({"pages": 3}), "failed": Failed("it broke", permanent=True), "cancelled": None}
    async with hand_on(system) as hand:
        jobs = {await submitted(system, user=state): state for state in ends}
        for job_id in jobs:
            await browser.follow(job_id)
            await browser.until(job_id, "job_update", status="pending", progress=0.0)
        for _ in jobs:
            job = await hand.claim()
            await browser.until(job.job_id, "job_update", status="running")
            await hand.progress(job, 0.5, "half\n\u2028way")
            await browser.until(job.job_id, "job_update", progress=0.5, current_step="half\n\u2028way")
            outcome = ends[jobs[job.job_id]]
            if outcome is None:
                await in_thread(system.http, "POST", f"/cancel/{job.job_id}")
            else:
                await hand.finish(job, outcome)
            await browser.until(job.job_id, "job_complete", status=jobs[job.job_id])
        results = {state: (await browser.events(job_id))[-1][2] for job_id, state in jobs.items()}
        assert (results["completed"]["result"], results["completed"]["error"]) == ({"pages": 3}, None)
        assert (results["failed"]["result"], results["failed"]["error"]) == (None, "it broke")
        # Nobody closes the source: the browser comes back by itself, is told 204 and gives up.
        for job_id in jobs:
            await browser.until_state(job_id, CLOSED)
            events = await browser.events(job_id)
            assert [name for name, _, _ in events].count("job_complete") == 1
            assert last_ids(relay, job_id) == [None, str(events[-1][1])]
    assert browser.complaints == [], "nothing stands in the browser's console"


@pytest.mark.parametrize("comes_back", ["the same server", "another server"])
async def test_sec_W9_api_E9_E14_a_browser_goes_on_after_its_server_was_killed(
    system: System, relay: Relay, browser: Browser, comes_back: str
) -> None:
    await in_thread(system.server)
    other, system.port = system.port, 0
    server = await start_server(system)
    relay.connect = to_port(system.port)
    await browser.open(relay.port)
    async with hand_on(system) as hand:
        job_id = await submitted(system)
        await browser.follow(job_id)
        job = await hand.claim()
        await hand.progress(job, 0.1)
        await browser.until(job_id, "job_update", status="running", progress=0.1)
        seen = await browser.events(job_id)
        await in_thread(system.kill, server.process)
        await browser.until_state(job_id, CONNECTING)
        # Nobody hears these.
        await hand.progress(job, 0.3)
        await hand.progress(job, 0.6)
        if comes_back == "the same server":
            await start_server(system)
        else:
            relay.connect = to_port(other)
        await browser.until(job_id, "job_update", progress=0.6)
        later = (await browser.events(job_id))[len(seen) :]
        assert len(later) == 1, "one snapshot makes up for what was missed"
        await hand.finish(job, Completed("done"))
        await browser.until(job_id, "job_complete", result="done")
        await browser.until_state(job_id, CLOSED)
        events = await browser.events(job_id)
    assert [event_id for _, event_id, _ in events] == sorted({event_id for _, event_id, _ in events})
    asked = last_ids(relay, job_id)
    assert asked[0] is None and set(asked[1:-1]) == {str(seen[-1][1])} and asked[-1] == str(events[-1][1])
    assert all("net::ERR_" in complaint for complaint in browser.complaints), browser.complaints


async def test_api_E5_an_end_while_no_server_was_there_reaches_a_browser_once(
    system: System, relay: Relay, browser: Browser
) -> None:
    await in_thread(system.server)
    system.port = 0
    server = await start_server(system)
    await browser.open(relay.port)
    async with hand_on(system) as hand:
        job_id = await submitted(system)
        await browser.follow(job_id)
        job = await hand.claim()
        await browser.until(job_id, "job_update", status="running")
        await in_thread(system.kill, server.process)
        await browser.until_state(job_id, CONNECTING)
        await hand.finish(job, Completed("done"))
        await start_server(system)
        await browser.until(job_id, "job_complete", result="done")
        await browser.until_state(job_id, CLOSED)
        names = [name for name, _, _ in await browser.events(job_id)]
    assert names.count("job_complete") == 1 and names[-1] == "job_complete"
