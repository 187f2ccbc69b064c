"""The child's side of a plain function: does one call, answers, ends."""

from __future__ import annotations

import asyncio
import base64
import os
import pickle
import sys
from collections.abc import Iterator

from worker.child_log import configure_child
from worker.child_protocol import CANCEL, decode
from worker.job_runner import JobRun
from worker.plain_call import Call, told


class PlainJob:
    def __init__(self, call: Call) -> None:
        sys.path[:] = call["path"]
        configure_child(call["log_level"])
        self._job, settings, stored = pickle.loads(base64.b64decode(call["job"]))
        self._run = JobRun(self._job, settings, lambda note: None, stored)
        self._loop = asyncio.new_event_loop()

    def listen(self, lines: Iterator[bytes]) -> None:
        """A thread of its own: until the worker has gone, and with it the use of this process."""
        for line in lines:
            if decode(line)[0] == CANCEL:
                self._loop.call_soon_threadsafe(self._stop)
        os._exit(1)

    def _stop(self) -> None:
        if not self._run.hears:
            os._exit(1)
        self._run.cancel()

    def run(self) -> bytes:
        """The answer. The loop stays open: to close it would be to wait for a callback that does not end."""
        return told(self._job, self._loop.run_until_complete(self._run.run()))
