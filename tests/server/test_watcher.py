"""The one-slot mailbox, alone."""

from __future__ import annotations

from fake_queue import FakeQueue
from hypothesis import given
from hypothesis import strategies as st

from jobqueue import JobChange
from jobqueue.states import TERMINAL, State
from server.watcher import Watcher


def change(seq: int, status_seq: int, state: State = "running", progress: float = 0.0) -> JobChange:
    return JobChange("j", seq, status_seq, state, progress, "", "u", "t")


def begun(seq: int = 0) -> Watcher:
    fake = FakeQueue()
    fake.n = seq - 1
    watcher = Watcher()
    watcher.begin(fake.add("j", "running"))
    return watcher


def seqs(watcher: Watcher) -> list[int]:
    return [taken.seq for taken in watcher.take()]


def test_sec_W4_progress_is_merged() -> None:
    watcher = begun(1)
    for seq in range(2, 1000):
        watcher.offer(change(seq, 1))
    assert seqs(watcher) == [999]
    assert seqs(watcher) == []


def test_api_E4_last_progress_before_a_change_of_status_is_kept() -> None:
    watcher = begun(1)
    watcher.offer(change(2, 1, progress=0.5))
    watcher.offer(change(3, 1, progress=0.9))
    watcher.offer(change(4, 4, "failed"))
    assert seqs(watcher) == [3, 4]


def test_the_end_is_never_overwritten() -> None:
    watcher = begun(1)
    watcher.offer(change(2, 2, "failed"))
    watcher.offer(change(3, 3, "pending"))
    assert [taken.state for taken in watcher.take()] == ["failed"]


def test_old_and_repeated_changes_are_dropped() -> None:
    watcher = begun(5)
    for seq in (4, 5):
        watcher.offer(change(seq, seq))
    assert seqs(watcher) == []


def test_w1_changes_before_the_read_count_only_when_newer() -> None:
    fake = FakeQueue()
    watcher = Watcher()
    watcher.offer(change(1, 1, "failed"))
    watcher.offer(change(2, 2, "pending"))
    watcher.offer(change(3, 3, "running"))
    fake.n = 1
    watcher.begin(fake.add("j"))
    assert seqs(watcher) == [3]


def test_api_C2_what_a_stock_worker_did_is_seen_in_the_record() -> None:
    watcher = begun(5)
    watcher.offer(change(5, 5, "completed"))
    assert seqs(watcher) == [], "an announcement is never newer than itself"
    watcher.offer(change(5, 5, "completed"), from_record=True)
    assert [taken.state for taken in watcher.take()] == ["completed"]


async def test_api_D3_a_job_that_waits_for_something_else_has_not_changed_its_status() -> None:
    watcher = Watcher()
    watcher.begin(FakeQueue().add("j"))
    watcher.offer(change(3, 1, "pending"))
    assert not await watcher.wait(0, status_only=True)
    assert await watcher.wait(0, status_only=False), "a stream tells what it waits for now"


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=40), st.integers(0, 40))
def test_what_is_taken_grows_and_ends_with_the_newest(moves: list[tuple[bool, bool]], begin_at: int) -> None:
    """Against all changes in order: nothing doubled, nothing backwards, the newest status always arrives."""
    fake = FakeQueue()
    job = fake.add("j", "running")
    watcher = Watcher()
    status_seq, newest, taken = job.status_seq, job.seq, []
    for at, (new_status, take) in enumerate(moves):
        if at == begin_at:
            watcher.begin(job)
            taken = []
        seq = newest = newest + 1
        status_seq = seq if new_status else status_seq
        watcher.offer(change(seq, status_seq))
        if take and at >= begin_at:
            taken += watcher.take()
    if len(moves) > begin_at:
        taken += watcher.take()
        assert [c.seq for c in taken] == sorted({c.seq for c in taken})
        assert taken[-1].seq == newest and taken[-1].status_seq == status_seq
        assert not TERMINAL & {c.state for c in taken}
