"""The processes that a benchmark runs beside itself: started, asked for their first line, measured, stopped by pid."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import psutil

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent


class Program:
    """A context manager. `first_line`: what it said when it was ready; stderr goes to `log`."""

    def __init__(self, command: Sequence[str | Path], log: Path, environment: Mapping[str, str] | None = None) -> None:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("JOBQUEUE_")}
        self._log = log.open("ab")
        self.process = subprocess.Popen(
            [str(part) for part in command],
            env={**clean, "PYTHONPATH": str(ROOT), **(environment or {})},
            cwd=log.parent,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            start_new_session=True,
        )
        assert self.process.stdout is not None
        self.first_line = self.process.stdout.readline().strip()
        if not self.first_line:
            self.close()
            raise RuntimeError(f"{' '.join(str(part) for part in command)[:200]} did not start; see {log}")

    @property
    def port(self) -> int:
        return int(self.first_line.rpartition(":")[2])

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def tree(self) -> list[psutil.Process]:
        parent = psutil.Process(self.process.pid)
        return [parent, *parent.children(recursive=True)]

    def rss(self) -> int:
        """Resident bytes, those of its children included."""
        total = 0
        for process in self.tree():
            try:
                total += process.memory_info().rss
            except psutil.Error:
                continue
        return total

    def cpu_seconds(self) -> float:
        times = psutil.Process(self.process.pid).cpu_times()
        return float(times.user + times.system)

    def tell(self, line: str) -> Any:
        """Send a line, wait for a line of JSON."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(40)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.communicate()
        self._log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def ours(module: str, folder: Path, **environment: str) -> Program:
    """`python -m server` or `worker` on a data folder of its own, with the real defaults but for what is given."""
    folder.mkdir(exist_ok=True)
    config = folder / "config.toml"
    config.touch()
    options = ["--port", "0"] if module == "server" else []
    command = [sys.executable, "-m", module, "--config", config, *options]
    return Program(command, folder / f"{module}.log", environment)
