"""`python -m worker [--config FILE]`: one worker process until SIGINT or SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Final

from jobqueue.client import JobQueue
from jobqueue.config import Settings, load_settings
from jobqueue.errors import ConfigurationError
from jobqueue.logs import configure
from jobqueue.presence import unique_name
from worker.worker import Worker

BAD_CONFIGURATION: Final = 78


async def work(settings: Settings, name: str | None = None) -> int:
    queue = await JobQueue.open(settings, name=name or unique_name())
    try:
        worker = Worker(queue, settings)
        sys.stdout.write(f"Worker {queue.name} takes jobs from {', '.join(settings.worker.queues)}\n")
        sys.stdout.flush()
        code = await worker.run()
        _ignore_signals(asyncio.get_running_loop())
    finally:
        await queue.close()
    if worker.unstoppable:
        # Jobs that cannot be stopped would hold up the loop's own shutdown; everything else has ended.
        logging.shutdown()
        os._exit(code)
    return code


def _ignore_signals(loop: asyncio.AbstractEventLoop) -> None:
    """The work is done: one more impatient signal must not turn a clean exit into a killed process."""
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.remove_signal_handler(number)
        signal.signal(number, signal.SIG_IGN)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m worker", description=__doc__)
    parser.add_argument("--config", type=Path, help="default: config.toml in the working directory, if there is one")
    arguments = parser.parse_args()
    try:
        settings = load_settings(arguments.config)
        name = unique_name()
        configure(settings.log.format, settings.log.level, {"worker": name})
        return run(settings, name)
    except ConfigurationError as error:
        sys.stderr.write(f"{error}\n")
        return BAD_CONFIGURATION


def run(settings: Settings, name: str) -> int:
    try:
        import uvloop
    except ImportError:
        return asyncio.run(work(settings, name))
    return uvloop.run(work(settings, name))


if __name__ == "__main__":
    sys.exit(main())
