"""`make run`: server, worker and embedded Valkey in one terminal, until Ctrl-C."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from jobqueue import load_settings
from jobqueue.errors import ConfigurationError
from server.launch import StartError, System

WELCOME = """
The service runs at {url}     (Ctrl-C stops all of it)

Try it, in another terminal; files are read from {input_root}:

  curl -s {url}/api/v1/jobs/submit -H 'Content-Type: application/json' -d '{{"job_type": "document_processing", \
"parameters": {{"documents": [{{"name": "note.md", "text": "# Hello\\n\\nA first document."}}]}}}}'
  curl -N {url}/api/v1/jobs/status/JOB_ID/stream
  curl -s {url}/api/v1/jobs/queue/stats
"""


async def run(config: Sequence[str], input_root: Path) -> int:
    system = System(config, [], {})
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    stop = asyncio.create_task(stopped.wait(), name="wait-for-signal")
    try:
        await system.start()
        sys.stdout.write(WELCOME.format(url=system.url, input_root=input_root))
        sys.stdout.flush()
        failure = asyncio.create_task(system.failed(), name="wait-for-failure")
        await asyncio.wait({stop, failure}, return_when=asyncio.FIRST_COMPLETED)
        failed = failure.done()
        if failed:
            sys.stderr.write(f"{failure.result()}\n")
        failure.cancel()
        await asyncio.gather(failure, return_exceptions=True)
        return 1 if failed else 0
    except StartError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    finally:
        sys.stdout.write("Stopping ...\n")
        stop.cancel()
        await system.stop()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m server.run_all", description=__doc__)
    parser.add_argument("--config", type=Path)
    arguments = parser.parse_args()
    try:
        settings = load_settings(arguments.config)
    except ConfigurationError as error:
        sys.stderr.write(f"{error}\n")
        return 78
    settings.storage.input_root.mkdir(parents=True, exist_ok=True)
    config = ["--config", str(arguments.config)] if arguments.config else []
    return asyncio.run(run(config, settings.storage.input_root))


if __name__ == "__main__":
    sys.exit(main())
