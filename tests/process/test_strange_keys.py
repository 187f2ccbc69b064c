"""Keys of ours that somebody has overwritten with another type: everybody's jobs go on, and an operator is told."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lifecycle_support import LifecycleSystem
from support import wait_for

from jobqueue.fsck import fsck
from jobqueue.keys import Keys

pytestmark = [pytest.mark.process, pytest.mark.timeout(300)]

KEYS = Keys("rq")
OF_A_USER = [
    KEYS.live("ann"), KEYS.user_jobs("ann"), KEYS.parked("ann"), KEYS.limiter("user:ann"),
    KEYS.limiter_allowed("user:ann"), KEYS.limiter_waiting("user:ann"),
]  # fmt: skip
OF_ALL = [
    KEYS.queue("default"), KEYS.wip("default"), KEYS.finished("default"), KEYS.scheduled("default"), KEYS.queues,
    KEYS.limiters, KEYS.leases, KEYS.stopping, KEYS.releases, KEYS.deadlines, KEYS.times, KEYS.limits, KEYS.types,
    KEYS.ticks, KEYS.state("pending"), KEYS.state("running"), KEYS.state("completed"),
]  # fmt: skip


@pytest.fixture
def system(tmp_path: Path) -> Iterator[LifecycleSystem]:
    made = LifecycleSystem(tmp_path)
    try:
        yield made
    finally:
        made.stop()


def put_string(client: Any, key: str) -> None:
    client.set(key, "nonsense")


def put_other(client: Any, key: str) -> None:
    """A list where there is none, else a hash."""
    is_list = client.type(key) == b"list" or key.startswith("rq:queue:")
    with client.pipeline(transaction=True) as at_once:
        at_once.delete(key)
        if is_list:
            at_once.hset(key, "a", "b")
        else:
            at_once.rpush(key, "a", "b")
        at_once.execute()


@pytest.mark.parametrize("put", [put_string, put_other])
def test_nobody_is_held_up_for_long(system: LifecycleSystem, put: Callable[[Any, str], None]) -> None:
    server, worker = system.server(), system.worker()
    client = system.redis()
    for key in OF_A_USER + OF_ALL:
        jobs = [system.ask("loop", user, {"seconds": 0.05}) for user in ("ann", "ann", "ann", "ann", "bob")]
        put(client, key)
        jobs += [ask_again(system, user) for user in ("bob", "ann")]
        for job_id in jobs:
            system.wait_status(job_id, "completed", 30)
            # Without its lease a job must be begun again.
            assert len(system.traces("end", job_id)) == 1 or key == KEYS.leases, key
    for of_job in (KEYS.results, KEYS.dependents):
        job_id = system.ask("loop", "ann", {"seconds": 0.05})
        put(client, of_job(job_id))
        system.assert_ran_once(job_id)
    assert (server.poll(), worker.poll()) == (None, None)
    # Those at which nobody has failed are found by the next cleanup.
    client.hdel(KEYS.meta, "last_cleanup")
    wait_for(lambda: all("was put aside" in problem for problem in fsck(client)), "all are put aside")
    aside = client.keys(KEYS.aside("*"))
    assert len(aside) > len(OF_A_USER + OF_ALL) / 2, "what heals by itself is the smaller part"
    assert len(fsck(client)) == len(aside)
    client.delete(*aside)
    wait_for(lambda: fsck(client) == [], "nothing is out of order", 15)
    client.close()


def ask_again(system: LifecycleSystem, user: str) -> str:
    """Until the service can take it."""
    body = system.body("loop", user, {"seconds": 0.05}, job_id=str(uuid.uuid4()))
    code, answer = wait_for(
        lambda: (found := system.http("POST", "/submit", body))[0] < 500 and found, "it is accepted"
    )
    assert code == 202, answer
    return str(answer["job_id"])
