"""`make demo`: runs the whole service on a few files and shows it at work.

Starts everything on a free port with a data folder of its own, submits one job a file over HTTP, draws progress from
the SSE streams, and prints what came out and where it lies.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp
import orjson

from server.launch import StartError, System

SAMPLES: Final = ("handbook.pdf", "inspection.docx", "tide-tables.html", "guide.md", "brief.txt")
SAMPLE_FOLDER: Final = Path(__file__).parent.parent / "tests" / "samples"
BAR: Final = 24
PATIENCE_SECONDS: Final = 600.0


@dataclass
class Shown:
    """One file's line on the screen."""

    name: str
    job_id: str = ""
    status: str = "pending"
    progress: float = 0.0
    step: str = ""
    error: str | None = None
    result: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0

    def line(self) -> str:
        full = round(self.progress * BAR)
        bar = "#" * full + "." * (BAR - full)
        text = f"  {self.name[:28]:28} [{bar}] {self.progress:4.0%} {self.status:9} {self.step}"
        width = shutil.get_terminal_size((100, 24)).columns - 1
        return text[:width]


class Screen:
    """Redraws the lines in place on a terminal; elsewhere prints a line when it changed."""

    def __init__(self, rows: list[Shown]) -> None:
        self._rows = rows
        self._drawn = False
        self._last: dict[str, str] = {}

    def draw(self) -> None:
        if sys.stdout.isatty():
            if self._drawn:
                sys.stdout.write(f"\x1b[{len(self._rows)}F")
            sys.stdout.writelines(f"\x1b[2K{row.line()}\n" for row in self._rows)
            self._drawn = True
        else:
            for row in self._rows:
                if self._last.get(row.name) != row.line():
                    self._last[row.name] = row.line()
                    sys.stdout.write(f"{row.line().rstrip()}\n")
        sys.stdout.flush()


def prepare(files: list[Path], folder: Path) -> list[Shown]:
    """Copies the files under the input root; equal names get a number. Raises StartError."""
    root = folder / "input"
    root.mkdir(parents=True)
    rows: list[Shown] = []
    for file in files:
        if not file.is_file():
            raise StartError(f"{file}: no such file")
        name = file.name
        while (root / name).exists():
            name = f"{len(rows)}-{file.name}"
        shutil.copyfile(file, root / name)
        rows.append(Shown(name))
    return rows


async def follow(session: aiohttp.ClientSession, base: str, row: Shown, screen: Screen) -> None:
    """Submit one file and read its stream to the end."""
    body = {"job_type": "document_processing", "parameters": {"documents": [{"path": row.name}]}}
    async with session.post(f"{base}/submit", json=body) as answer:
        reply = await answer.json()
        if answer.status != 202:
            row.status, row.step = "refused", reply.get("message", "")
            row.error = "; ".join(detail["msg"] for detail in reply.get("details", [])) or row.step
            screen.draw()
            return
    row.job_id = reply["job_id"]
    async with session.get(f"{base}/status/{row.job_id}/stream") as stream:
        async for raw in stream.content:
            if raw.startswith(b"data: "):
                show(row, orjson.loads(raw[6:]))
                screen.draw()
    async with session.get(f"{base}/status/{row.job_id}") as answer:
        row.seconds = (await answer.json())["metrics"]["execution_time_seconds"]


def show(row: Shown, event: dict[str, Any]) -> None:
    row.status = event["status"]
    row.progress = event.get("progress", 1.0 if row.status == "completed" else row.progress)
    row.step = event.get("current_step") or ""
    row.error = event.get("error")
    row.result = event.get("result") or {}


def table(rows: list[Shown]) -> str:
    lines = [f"\n  {'file':28} {'type':10} {'pages':>5} {'chunks':>6} {'seconds':>7}"]
    for row in rows:
        if row.status != "completed":
            lines.append(f"  {row.name[:28]:28} {row.status}: {row.error or 'no reason given'}")
            continue
        document = row.result["documents"][0]
        pages = document.get("pages") or "-"
        lines.append(
            f"  {row.name[:28]:28} {document['type'] or '-':10} {pages:>5} {document['chunks']:>6} {row.seconds:7.2f}"
        )
    return "\n".join(lines)


async def demo(files: list[Path]) -> int:
    folder = Path("data") / f"demo-{time.strftime('%Y%m%d-%H%M%S')}"
    rows = prepare(files, folder.resolve())
    environment = {
        "JOBQUEUE_STORAGE_DATA_DIR": str(folder.resolve()),
        "JOBQUEUE_STORAGE_INPUT_ROOT": str(folder.resolve() / "input"),
        "JOBQUEUE_LOG_FORMAT": "text",
    }
    sys.stdout.write("Starting Valkey, server and worker ...\n")
    sys.stdout.flush()
    with (folder / "log.txt").open("wb") as log:
        system = System([], ["--port", "0"], {**environment, "JOBQUEUE_REDIS_URL": "embedded"}, log)
        try:
            await system.start()
            sys.stdout.write(f"The service runs at {system.url}; submitting {len(rows)} documents.\n\n")
            await process(system.url, rows)
        finally:
            await system.stop()
    sys.stdout.write(f"{table(rows)}\n\n")
    for row in rows:
        if row.status == "completed":
            sys.stdout.write(f"  {row.name}: {folder / 'jobs' / row.job_id / 'chunks.jsonl'}\n")
    sys.stdout.write("\nEverything has been stopped.\n")
    return 0 if all(row.status == "completed" for row in rows) else 1


async def process(url: str, rows: list[Shown]) -> None:
    screen = Screen(rows)
    screen.draw()
    timeout = aiohttp.ClientTimeout(total=PATIENCE_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout) as session, asyncio.TaskGroup() as group:
        for row in rows:
            group.create_task(follow(session, f"{url}/api/v1/jobs", row, screen), name=f"follow-{row.name}")


def main() -> int:
    files = [Path(name) for name in sys.argv[1:]] or [SAMPLE_FOLDER / name for name in SAMPLES]
    try:
        return asyncio.run(demo(files))
    except StartError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
