"""The shared connection and the event feed: order, deadlines, and coming back, on a real Valkey."""

from __future__ import annotations

import asyncio
import random
import shutil
import signal
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import orjson
import pytest
import uvloop
from conftest import ValkeyServer, eventually, settings_for

from jobqueue import JobQueue, NewJob, scripts, subscription
from jobqueue.errors import QueueError, QueueFull, QueueStarting, QueueUnavailable
from jobqueue.job import JobChange
from jobqueue.link import Link
from jobqueue.wire import ReplyError, translate

TIMEOUT = 0.4
# What a loaded machine may add to a deadline.
SLACK = 0.6


class Server:
    """A Valkey of the test's own, on one socket for all its lives."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="jq-own-"))
        self.start()
        self.url = self.valkey.url

    def start(self) -> None:
        self.valkey = ValkeyServer(self._folder)

    def kill(self) -> None:
        self.valkey.stop()

    def freeze(self) -> None:
        self.valkey.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.valkey.process.send_signal(signal.SIGCONT)

    def remove(self) -> None:
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)


@pytest.fixture
def server() -> Iterator[Server]:
    own = Server()
    yield own
    own.remove()


@pytest.fixture
async def link(valkey: ValkeyServer) -> AsyncIterator[Link]:
    made = Link(valkey.url, "test-link", timeout=10)
    yield made
    await made.close()


@pytest.fixture
async def brief(server: Server) -> AsyncIterator[Link]:
    """A link with a short deadline, to a server that the test may stop."""
    made = Link(server.url, "test-brief", timeout=TIMEOUT)
    yield made
    await made.close()


async def works(link: Link) -> bool:
    said = str(uuid.uuid4())
    try:
        heard = await link.call("ECHO", said)
    except QueueUnavailable:
        return False
    assert heard == said.encode(), "somebody else's reply"
    return True


async def assert_answers_in_order(link: Link, count: int = 6000, cancelled: int = 2000) -> None:
    """Callers start over many turns of the loop and are cancelled at any time: before sending, under way, answered."""
    calls = []
    for n in range(count):
        calls.append(asyncio.create_task(link.call("ECHO", n)))
        if random.random() < 0.02:
            await asyncio.sleep(0)
    given_up = set(random.sample(range(count), cancelled))
    for n in sorted(given_up, key=lambda _: random.random()):
        calls[n].cancel()
        if random.random() < 0.02:
            await asyncio.sleep(0)
    answers = await asyncio.gather(*calls, return_exceptions=True)
    for n, answer in enumerate(answers):
        expected = str(n).encode()
        assert answer == expected or (n in given_up and isinstance(answer, asyncio.CancelledError))
    assert await link.call("ECHO", "last") == b"last"


async def assert_fails_in_time(link: Link, calls: int = 20) -> None:
    started = time.monotonic()
    answers = await asyncio.gather(*(link.call("ECHO", n) for n in range(calls)), return_exceptions=True)
    assert time.monotonic() - started < TIMEOUT + SLACK
    assert {type(answer) for answer in answers} == {QueueUnavailable}


async def assert_survives_a_black_hole(link: Link, server: Server) -> None:
    assert await works(link)
    server.freeze()
    try:
        # The first on a connection that stands, the second while a new one is being made.
        await assert_fails_in_time(link)
        await assert_fails_in_time(link)
    finally:
        server.thaw()
    await eventually(lambda: works(link), "the link works again", 5)
    await assert_answers_in_order(link, 300, 50)


async def assert_survives_a_restart(link: Link, server: Server) -> None:
    assert await works(link)
    server.kill()
    started = time.monotonic()
    with pytest.raises(QueueUnavailable):
        await link.call("ECHO", "x")
    assert time.monotonic() - started < TIMEOUT + SLACK
    server.start()
    await eventually(lambda: works(link), "the link works again", 5)
    await assert_answers_in_order(link, 300, 50)


async def test_replies_reach_their_callers_although_2_000_of_them_gave_up(link: Link) -> None:
    await assert_answers_in_order(link)


async def test_callers_that_give_up_before_sending_send_nothing(link: Link) -> None:
    await link.call("SET", "x", "0")
    calls = [asyncio.create_task(link.call(*(("ECHO", n) if n % 2 else ("INCR", "x")))) for n in range(10)]
    await asyncio.sleep(0)
    for call in calls[::2]:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    assert [await call for call in calls[1::2]] == [b"1", b"3", b"5", b"7", b"9"]
    assert await link.call("GET", "x") == b"0"


@pytest.mark.parametrize("bad", ["\ud800", None, object(), ["list"]], ids=["surrogate", "none", "object", "list"])
async def test_an_argument_that_cannot_be_sent_fails_its_own_call_only(link: Link, bad: object) -> None:
    calls = [link.call("ECHO", bad if n % 3 == 1 else n) for n in range(12)]  # type: ignore[arg-type]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    for n, answer in enumerate(answers):
        if n % 3 == 1:
            assert isinstance(answer, (UnicodeEncodeError, TypeError))
        else:
            assert answer == str(n).encode()


async def test_error_replies_reach_their_callers_and_nobody_else(link: Link) -> None:
    await link.call("SET", "text", "x")
    commands = [("ECHO", "a"), ("LPUSH", "text", "y"), ("ECHO", "b"), ("NO-SUCH",), ("GET",), ("ECHO", "c")]
    answers = await asyncio.gather(*(link.call(*command) for command in commands), return_exceptions=True)
    assert [answers[n] for n in (0, 2, 5)] == [b"a", b"b", b"c"]
    assert [str(answers[n]).partition(" ")[0] for n in (1, 3, 4)] == ["WRONGTYPE", "ERR", "ERR"]
    assert {type(answers[n]) for n in (1, 3, 4)} == {ReplyError}


@pytest.mark.parametrize(
    ("reply", "meaning"),
    [
        ("LOADING Valkey is loading the dataset in memory", QueueStarting),
        ("OOM command not allowed when used memory > 'maxmemory'.", QueueFull),
        ("MISCONF Errors writing to the AOF file", QueueFull),
        ("READONLY You can't write against a read only replica.", QueueUnavailable),
        ("BUSY Valkey is busy running a script.", QueueUnavailable),
        ("BUSYGROUP Consumer Group name already exists", None),
        ("NOT_FOUND x", None),
    ],
)
def test_error_replies_are_told_apart(reply: str, meaning: type[QueueError] | None) -> None:
    translated = translate(ReplyError(reply))
    assert (type(translated) if translated else None) is meaning


async def test_a_server_that_cannot_write_is_full(brief: Link, server: Server) -> None:
    server.valkey.client.config_set("maxmemory", "1")
    with pytest.raises(QueueFull):
        await brief.call("SET", "x", "y")
    assert await brief.call("GET", "x") is None


async def test_a_busy_server_is_out_of_reach_for_a_while(brief: Link, server: Server) -> None:
    server.valkey.client.config_set("busy-reply-threshold", "1")
    with pytest.raises(QueueUnavailable):
        await brief.call("EVAL", "while true do end", 0)

    async def busy() -> bool:
        with pytest.raises(QueueUnavailable) as caught:
            await brief.call("GET", "x")
        return "cannot take writes" in str(caught.value)

    await eventually(busy, "the server says that it is busy")
    server.valkey.client.script_kill()
    await eventually(lambda: works(brief), "the link works again")


async def test_scripts_are_sent_again_when_the_server_forgot_them(queue: JobQueue, valkey: ValkeyServer) -> None:
    for _ in range(2):
        job = NewJob(job_id=str(uuid.uuid4()), function="a.b")
        valkey.client.script_flush()
        assert (await queue.producer.enqueue(job)).created
        assert valkey.client.script_exists(scripts.load("enqueue").sha) == [True]
    valkey.client.script_flush()
    jobs = [NewJob(job_id=str(uuid.uuid4()), function="a.b") for _ in range(30)]
    answers = await asyncio.gather(*(queue.producer.enqueue(job) for job in jobs))
    assert all(answer.created for answer in answers)
    assert (await queue.inspector.stats()).counts["pending"] == 32


async def test_a_server_that_does_not_answer_costs_a_deadline_and_no_more(brief: Link, server: Server) -> None:
    await assert_survives_a_black_hole(brief, server)


async def test_a_server_that_dies_and_comes_back_is_found_again(brief: Link, server: Server) -> None:
    await assert_survives_a_restart(brief, server)


async def test_calls_under_way_fail_at_once_when_their_connection_is_lost(server: Server) -> None:
    link = Link(server.url, "patient", timeout=30)
    assert await works(link)
    server.freeze()
    calls = [asyncio.create_task(link.call("ECHO", n)) for n in range(3)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    started = time.monotonic()
    server.kill()
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert time.monotonic() - started < 5
    assert {type(answer) for answer in answers} == {QueueUnavailable}
    await link.close()


async def test_a_link_made_while_the_server_is_away_finds_it_later(server: Server) -> None:
    server.kill()
    lost = 0

    async def on_lost() -> None:
        nonlocal lost
        lost += 1

    link = Link(server.url, "early", timeout=TIMEOUT, on_lost=on_lost)
    await assert_fails_in_time(link)
    server.start()
    await eventually(lambda: works(link), "the link works", 5)
    assert lost >= 1, "told before it connected again"
    await link.close()


async def test_a_closed_link_lets_nobody_wait(brief: Link, server: Server) -> None:
    assert await works(brief)
    server.freeze()
    waiting = [asyncio.create_task(brief.call("ECHO", n)) for n in range(3)]
    await asyncio.sleep(0)
    started = time.monotonic()
    await brief.close()
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert time.monotonic() - started < TIMEOUT / 2
    assert {type(answer) for answer in answers} == {QueueUnavailable}
    with pytest.raises(QueueUnavailable, match="closed"):
        await brief.call("PING")


def test_all_of_it_under_uvloop(server: Server) -> None:
    async def main() -> None:
        link = Link(server.url, "test-uvloop", timeout=TIMEOUT)
        await link.call("PING")
        patient = Link(server.url, "test-patient", timeout=10)
        await assert_answers_in_order(patient)
        await patient.close()
        await assert_survives_a_black_hole(link, server)
        await assert_survives_a_restart(link, server)
        await link.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


class Heard:
    """What the event feed of a queue told."""

    def __init__(self, queue: JobQueue) -> None:
        self.feed = queue.events
        self.gaps = 0
        self.changes: list[JobChange] = []
        self.feed.on_gap(self._gap)
        self.feed.on_change(self.changes.append)

    def _gap(self) -> None:
        self.gaps += 1

    async def until_gaps(self, count: int) -> None:
        async def there() -> bool:
            return self.gaps >= count

        await eventually(there, f"gap {count}", 5)

    async def until_subscribed(self, expected: bool) -> None:
        async def there() -> bool:
            return self.feed.subscribed is expected

        await eventually(there, f"subscribed is {expected}", 5)

    async def until_heard(self, job_id: str) -> None:
        async def there() -> bool:
            return job_id in [change.job_id for change in self.changes]

        await eventually(there, f"a change of {job_id}", 5)


@pytest.fixture
async def heard(server: Server, tmp_path: Path) -> AsyncIterator[tuple[Heard, JobQueue]]:
    queue = await JobQueue.open(settings_for(server.url, tmp_path), name="listener")
    told = Heard(queue)
    await queue.events.start()
    await queue.events.wait_subscribed()
    await told.until_gaps(1)
    yield told, queue
    await queue.close()


async def enqueue(queue: JobQueue) -> str:
    job = NewJob(job_id=str(uuid.uuid4()), function="a.b")

    async def accepted() -> bool:
        try:
            await queue.producer.enqueue(job)
        except QueueUnavailable:
            return False
        return True

    await eventually(accepted, "the job is accepted", 5)
    return job.job_id


async def test_changes_arrive_in_order_and_a_steady_feed_has_no_gap(heard: tuple[Heard, JobQueue]) -> None:
    told, queue = heard
    ids = [await enqueue(queue) for _ in range(20)]
    await told.until_heard(ids[-1])
    assert [change.job_id for change in told.changes] == ids
    assert [change.seq for change in told.changes] == sorted({change.seq for change in told.changes})
    assert told.gaps == 1, "the first subscription only"


async def test_a_killed_subscription_is_a_gap_and_goes_on(heard: tuple[Heard, JobQueue], server: Server) -> None:
    told, queue = heard
    for count in (2, 3):
        clients = server.valkey.client.client_list()
        (connection,) = [client["id"] for client in clients if client["name"] == "listener-events"]
        server.valkey.client.client_kill_filter(_id=connection)
        await told.until_gaps(count)
        assert told.feed.subscribed
        await told.until_heard(await enqueue(queue))


@pytest.mark.parametrize(
    "nonsense",
    [
        b"not json",
        b"\xff\x00",
        b"",
        b"[]",
        b"7",
        b"null",
        b"{}",
        b'{"n": "x", "jobs": []}',
        b'{"n": null, "tick": "listener"}',
        b'{"n": 9, "tick": "listener", "sent": "soon"}',
        b'{"n": 9, "jobs": [["too", "short"]]}',
        b'{"n": 9, "jobs": 5}',
        b"[" * 5000,
    ],
)
async def test_nonsense_on_the_channel_is_a_gap_and_ends_nothing(
    heard: tuple[Heard, JobQueue], server: Server, nonsense: bytes
) -> None:
    told, queue = heard
    await told.until_heard(await enqueue(queue))
    before = told.gaps
    server.valkey.client.publish(queue.namespace.keys.events, nonsense)
    await told.until_gaps(before + 1)
    # The message after nonsense may be taken for a part of it: that is a gap too, and the next one is heard.
    await enqueue(queue)
    await told.until_heard(await enqueue(queue))
    assert told.feed.subscribed


async def test_a_jump_of_the_counter_is_a_gap(heard: tuple[Heard, JobQueue], server: Server) -> None:
    told, queue = heard
    await told.until_heard(await enqueue(queue))
    last = told.changes[-1].seq
    gaps_then: list[int] = []
    told.feed.on_change(lambda change: gaps_then.append(told.gaps))
    row = ["jumped", "pending", last + 2, 0, "", "ann", ""]
    server.valkey.client.publish(queue.namespace.keys.events, orjson.dumps({"n": last + 2, "jobs": [row]}))
    await told.until_heard("jumped")
    assert gaps_then == [2], "told before the change itself"


async def test_the_feed_knows_that_its_channel_is_away(heard: tuple[Heard, JobQueue], server: Server) -> None:
    told, queue = heard
    assert told.feed.subscribed
    server.kill()
    await told.until_subscribed(False)
    gaps = told.gaps
    server.start()
    await told.until_subscribed(True)
    await told.until_gaps(gaps + 1)
    await told.until_heard(await enqueue(queue))


async def test_a_channel_that_falls_silent_is_away(
    heard: tuple[Heard, JobQueue], server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscription, "SILENCE_SECONDS", 0.3)
    told, queue = heard
    server.freeze()
    try:
        await told.until_subscribed(False)
    finally:
        server.thaw()
    await told.until_subscribed(True)
    await told.until_heard(await enqueue(queue))


async def test_a_quiet_channel_is_not_taken_for_a_lost_one(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody publishes, the connection lives: signs of life are asked for and no subscription is made again."""
    monkeypatch.setattr(subscription, "SILENCE_SECONDS", 0.05)
    lost: list[bool] = []
    quiet = subscription.Subscription(server.url, "quiet", ("c",), lambda: lost.append(True))
    messages = quiet.messages()
    assert await anext(messages) == (b"c", None)
    message = asyncio.create_task(anext(messages))

    async def asked() -> bool:
        return int(server.valkey.client.info("commandstats").get("cmdstat_ping", {}).get("calls", 0)) > before + 5

    before = int(server.valkey.client.info("commandstats")["cmdstat_ping"]["calls"])
    await eventually(asked, "signs of life were asked for")
    server.valkey.client.publish("c", "here")
    assert await message == (b"c", b"here")
    assert not lost
    await messages.aclose()
