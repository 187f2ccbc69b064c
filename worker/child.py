"""`python -m worker.child FD PARENT LEASE`: the guard of one job, and under it the job's own process.

The guard outlives the job, adopts every process that the job's processes leave behind, and ends them all when the job
has ended or the worker has gone, however either happened. While the job's lease cannot be trusted it stops them all,
also when the worker itself stands still and could not say so. It imports next to nothing, so it costs little and
cannot be held up; the job's process is its fork.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Final

from worker.lease_clock import LeaseReader
from worker.process_tree import descendants, kill_descendants, signal_descendants

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36
# The end of the channel tells at once that the worker has gone, unless somebody else has inherited the worker's side.
_LOOK_SECONDS: Final = 0.5
_SWEEP_SECONDS: Final = 5.0


def main() -> int:
    channel = socket.socket(fileno=int(sys.argv[1]))
    channel.set_inheritable(False)
    # A service manager signals all processes at once, but the worker decides when its jobs end.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    lease = LeaseReader(int(sys.argv[3]))
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    guard = os.getpid()
    job = os.fork()
    if job == 0:
        return _work(channel, guard)
    status = _Guard(channel, int(sys.argv[2]), job, lease).watch()
    _sweep()
    if status is not None:
        with contextlib.suppress(OSError):
            # The line break ends what the job's process may have left unfinished.
            channel.sendall(b'\n["exit",%d]\n' % status)
    return 0


def _prctl(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl failed")


def _work(channel: socket.socket, guard: int) -> int:
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != guard:
        return 1
    # When the machine runs out of memory, a job is a better loss than the worker with all its jobs.
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500", "ascii")
    from worker.child_job import run_job

    return run_job(channel)


class _Guard:
    def __init__(self, channel: socket.socket, parent: int, job: int, lease: LeaseReader) -> None:
        self._lease = lease
        self._frozen = False
        self._parent = parent
        self._job = job
        self._channel = channel.fileno()
        self._woken, wake = os.pipe()
        os.set_blocking(self._woken, False)
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._poll = select.poll()
        self._poll.register(self._channel, select.POLLRDHUP)
        self._poll.register(self._woken, select.POLLIN)

    def watch(self) -> int | None:
        """The wait status of the job's process; None when the worker has gone before."""
        while (status := _reap(self._job)) is None:
            ready = dict(self._poll.poll(self._look_again() * 1000))
            if self._channel in ready or os.getppid() != self._parent:
                return None
            with contextlib.suppress(BlockingIOError):
                os.read(self._woken, 4096)
        return status

    def _look_again(self) -> float:
        """Stops or continues the job's processes as the lease says; the seconds until the next look."""
        left = self._lease.left
        if self._frozen != (left <= 0):
            self._frozen = not self._frozen
            signal_descendants(os.getpid(), signal.SIGSTOP if self._frozen else signal.SIGCONT)
        return _LOOK_SECONDS if self._frozen else min(_LOOK_SECONDS, left)


def _reap(job: int | None = None) -> int | None:
    """Bury all who have ended, adopted ones too; the wait status of `job` if it was among them."""
    found = None
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            if pid == job:
                found = status
    return found


def _sweep() -> None:
    deadline = time.monotonic() + _SWEEP_SECONDS
    while descendants(os.getpid()) and time.monotonic() < deadline:
        kill_descendants(os.getpid())
        time.sleep(0.002)
        _reap()


if __name__ == "__main__":
    sys.exit(main())
