"""Processes that share the work of a job: answers in order, nothing left of them, and clear words when one is lost."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from samples import crew_work

from worker.context import JobCancelled, PermanentError, RetryableError
from worker.jobs.shared.crew import FEW, Crew
from worker.jobs.shared.errors import StorageError

MANY = [str(number) for number in range(4 * FEW)]


@pytest.fixture(autouse=True)
def no_process_is_left() -> Iterator[None]:
    before = set(psutil.Process().children(recursive=True))
    yield
    assert set(psutil.Process().children(recursive=True)) <= before


def crew(size: int = 2, check: Any = lambda: None) -> Crew:
    return Crew(crew_work.FUNCTION, crew_work.do, size, 2048, check)


def answers(words: list[str], size: int = 2, check: Any = lambda: None) -> list[Any]:
    with crew(size, check) as members:
        return list(members.answers({"say": word} for word in words))


@pytest.mark.parametrize("size", [1, 2, 3])
def test_answers_come_in_the_order_of_the_orders(size: int) -> None:
    assert [word for word, _ in answers(MANY, size)] == MANY


def test_as_many_processes_as_asked_for_work() -> None:
    assert len({pid for _, pid in answers(MANY, 3)} - {os.getpid()}) == 3


@pytest.mark.parametrize(("words", "size"), [(MANY, 1), (MANY[:FEW], 2), ([], 2)])
def test_few_orders_and_crews_of_one_need_no_other_process(words: list[str], size: int) -> None:
    assert {pid for _, pid in answers(words, size)} <= {os.getpid()}


def test_a_crew_works_again_with_the_same_processes() -> None:
    with crew() as members:
        first = {pid for _, pid in members.answers({"say": word} for word in MANY)}
        assert {pid for _, pid in members.answers({"say": word} for word in MANY)} == first


def test_orders_are_made_only_as_they_are_needed() -> None:
    made = []
    with crew() as members:
        asked = ({"say": word} for word in MANY if made.append(word) is None)  # type: ignore[func-returns-value]
        next(members.answers(asked))
        assert len(made) < len(MANY)


@pytest.mark.parametrize(
    ("word", "how"), [("die", r"\(SIGKILL\); it may lack memory"), ("wrong", r"\(exit code 1\), by an error")]
)
def test_a_lost_process_is_told(capfd: pytest.CaptureFixture[str], word: str, how: str) -> None:
    with pytest.raises(RetryableError, match=how) as raised:
        answers([*MANY, word, *MANY])
    assert raised.value.code == "process_lost"
    assert ("ValueError: no such work" in capfd.readouterr().err) is (word == "wrong")


def test_work_that_needs_too_much_memory_is_told_and_not_tried_again() -> None:
    with pytest.raises(PermanentError, match="more memory than") as raised:
        answers([*MANY, "much", *MANY])
    assert raised.value.code == "out_of_memory"


def test_a_machine_without_room_for_a_process_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    with pytest.raises(RetryableError, match="no room for another process") as raised:
        answers(MANY)
    assert raised.value.code == "process_lost"


def test_full_storage_is_told() -> None:
    with pytest.raises(StorageError, match="There is no room"):
        answers([*MANY, "full"])


def test_a_cancelled_job_waits_for_no_process() -> None:
    looks = iter(range(3))

    def check() -> None:
        if next(looks, None) is None:
            raise JobCancelled

    with pytest.raises(JobCancelled):
        answers(["wait"] * (FEW + 1), check=check)


def test_processes_die_with_a_job_that_is_killed(tmp_path: Path) -> None:
    program = (
        "from samples import crew_work; from worker.jobs.shared.crew import Crew\n"
        f"orders = [{{'say': 'wait', 'note': {str(tmp_path)!r}}}] * 9\n"
        "with Crew(crew_work.FUNCTION, crew_work.do, 2, 2048, lambda: None) as crew: list(crew.answers(orders))"
    )
    paths = os.pathsep.join(sys.path)
    with subprocess.Popen([sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": paths}) as job:
        while len(list(tmp_path.iterdir())) < 2:
            assert job.poll() is None
            os.sched_yield()
        processes = [psutil.Process(int(file.name)) for file in tmp_path.iterdir()]
        job.kill()
    psutil.wait_procs(processes, timeout=30)
    assert not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in processes)
