"""Jobs of every behaviour that a runner must cope with. Imported by child processes too: nothing heavy here."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from worker.context import JobCancelled, JobContext, PermanentError

SLEEPER = [sys.executable, "-c", "import time; time.sleep(600)"]


class Params(BaseModel):
    model_config = ConfigDict(extra="forbid")

    number: int = 0
    text: str = ""
    choice: str = ""


def sync_ok(ctx: JobContext, parameters: Params) -> dict[str, Any]:
    return {"number": parameters.number + 1, "pid": os.getpid()}


async def async_ok(ctx: JobContext, parameters: Params) -> dict[str, Any]:
    await asyncio.sleep(0)
    return {"number": parameters.number + 1, "pid": os.getpid()}


def context_facts(ctx: JobContext, parameters: Params) -> dict[str, Any]:
    (ctx.folder / "made.txt").write_text("x")
    ctx.check()
    ctx.log.warning("a word from the job")
    return {
        "job_id": ctx.job_id,
        "user_id": ctx.user_id,
        "attempt": ctx.attempt,
        "fence": ctx.fence,
        "folder": str(ctx.folder),
        "input_root": str(ctx.input_root),
        "seconds_left": ctx.seconds_left,
        "llm_base_urls": list(ctx.llm_base_urls),
        "url_rules": asdict(ctx.url_rules),
    }


async def async_context_facts(ctx: JobContext, parameters: Params) -> dict[str, Any]:
    return context_facts(ctx, parameters)


def prints(ctx: JobContext, parameters: Params) -> None:
    print("words on stdout")
    print("words on stderr", file=sys.stderr)


def progresses(ctx: JobContext, parameters: Params) -> None:
    """Many notes for more than half a second."""
    end = time.monotonic() + 0.6
    done = 0
    while time.monotonic() < end:
        done += 1
        ctx.progress(done=done % 1000, total=1000, step=f"note {done}")
        time.sleep(0.001)
    ctx.progress(1.0, step="last")


async def async_progresses(ctx: JobContext, parameters: Params) -> None:
    await asyncio.to_thread(progresses, ctx, parameters)


def notes_once_and_waits(ctx: JobContext, parameters: Params) -> None:
    """The second note must be seen although no other follows it."""
    ctx.progress(0.1)
    ctx.progress(0.2, step="waiting")
    _wait_for(ctx.folder / "go")


def cooperates(ctx: JobContext, parameters: Params) -> str:
    ctx.progress(0.5)
    while not ctx.cancelled:
        time.sleep(0.005)
    (ctx.folder / "noticed").touch()
    return "half a result"


async def async_cooperates(ctx: JobContext, parameters: Params) -> None:
    ctx.progress(0.5)
    try:
        await asyncio.sleep(600)
    finally:
        assert ctx.cancelled
        (ctx.folder / "noticed").touch()


def ignores(ctx: JobContext, parameters: Params) -> None:
    ctx.progress(0.5)
    while True:
        time.sleep(0.05)


async def async_ignores(ctx: JobContext, parameters: Params) -> None:
    """Until a file `go` appears."""
    ctx.progress(0.5)
    while not (ctx.folder / "go").exists():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(0.005)
    (ctx.folder / "went").touch()


def spins(ctx: JobContext, parameters: Params) -> None:
    """Holds the interpreter, and says in a file how far it is."""
    counter = ctx.folder / "counter"
    ctx.progress(0.5)
    number = 0
    while True:
        number += 1
        if number % 20_000 == 0:
            counter.write_text(str(number))


def allocates(ctx: JobContext, parameters: Params) -> None:
    kept = []
    while True:
        kept.append(b"x" * 4_000_000)
        time.sleep(0.005)


def allocates_in_grandchild(ctx: JobContext, parameters: Params) -> None:
    program = "x = b'x' * 200_000_000; import time; time.sleep(600)"
    subprocess.run([sys.executable, "-c", program], check=True)


def kills_itself(ctx: JobContext, parameters: Params) -> None:
    print("famous last words", file=sys.stderr, flush=True)
    os.kill(os.getpid(), getattr(signal, parameters.choice))
    time.sleep(600)


def exits(ctx: JobContext, parameters: Params) -> None:
    if parameters.choice == "hard":
        os._exit(parameters.number)
    sys.exit(parameters.number)


def leaves_grandchildren(ctx: JobContext, parameters: Params) -> None:
    """One in the session of the job, one in its own, one that nobody waits for; then ends or waits."""
    plain = subprocess.Popen(SLEEPER)
    own_session = subprocess.Popen(SLEEPER, start_new_session=True)
    orphan = subprocess.run(
        [sys.executable, "-c", f"import subprocess; print(subprocess.Popen({SLEEPER!r}, stdout=-3, stderr=-3).pid)"],
        check=True,
        capture_output=True,
        start_new_session=True,
    )
    pids = [os.getpid(), os.getppid(), plain.pid, own_session.pid, int(orphan.stdout)]
    _write_whole(ctx.folder / "pids", " ".join(map(str, pids)))
    if parameters.choice == "wait":
        time.sleep(600)
    for process in (plain, own_session):
        process.returncode = 0


def ends_its_helper(ctx: JobContext, parameters: Params) -> int:
    """A helper program must end on SIGTERM though the job itself does not."""
    helper = subprocess.Popen(SLEEPER)
    helper.terminate()
    return helper.wait(5)


def ends_its_fork(ctx: JobContext, parameters: Params) -> int:
    pid = os.fork()
    if pid == 0:
        time.sleep(600)
        os._exit(0)
    os.kill(pid, signal.SIGTERM)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def survives_signals(ctx: JobContext, parameters: Params) -> str:
    for pid in (os.getpid(), os.getppid()):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            os.kill(pid, number)
    return "alive"


def kills_its_guard(ctx: JobContext, parameters: Params) -> None:
    helper = subprocess.Popen(SLEEPER)
    _write_whole(ctx.folder / "pids", f"{os.getpid()} {helper.pid}")
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(600)


def leaves_a_thread(ctx: JobContext, parameters: Params) -> str:
    threading.Thread(target=time.sleep, args=(600,)).start()
    return "done"


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


def raises(ctx: JobContext, parameters: Params) -> None:
    errors: dict[str, BaseException] = {
        "value": ValueError(parameters.text),
        "permanent": PermanentError("no_such_file", parameters.text),
        "cancelled": JobCancelled("of its own accord"),
        "exit": SystemExit(3),
        "unspeakable": Unspeakable(),
        "key": KeyError(),
    }
    raise errors[parameters.choice]


async def async_raises(ctx: JobContext, parameters: Params) -> None:
    if parameters.choice == "cancelled":
        raise asyncio.CancelledError
    raises(ctx, parameters)


def returns(ctx: JobContext, parameters: Params) -> Any:
    values = {"large": "x" * (1024 * 1024), "object": object(), "fits": "x" * (1024 * 1024 - 2), "none": None}
    return values[parameters.choice]


async def async_returns(ctx: JobContext, parameters: Params) -> Any:
    return returns(ctx, parameters)


def _wait_for(file: Path) -> None:
    while not file.exists():
        time.sleep(0.005)


def _write_whole(file: Path, text: str) -> None:
    partial = file.with_suffix(".partial")
    partial.write_text(text)
    partial.replace(file)
