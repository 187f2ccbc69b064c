"""`make demo`: runs the whole service on a few files and shows it at work.

Starts everything on a free port with a data folder of its own, sends the files over HTTP, submits the whole pipeline on
them, draws progress from the SSE streams, and prints what came out and where it lies.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import aiohttp
import orjson

from server import demo_screen as screen
from server.launch import StartError, System

SAMPLES: Final = ("handbook.pdf", "inspection.docx", "tide-tables.html", "guide.md", "brief.txt")
SAMPLE_FOLDER: Final = Path(__file__).parent.parent / "tests" / "samples"
PATIENCE_SECONDS: Final = 3600.0
RECORDS: Final = 3
# Small, so that the few pages of the samples are enough pieces to find categories in.
CHUNKING: Final = {"chunk_strategy": "heading", "chunk_size": 96, "overlap": 0}
DOCUMENTS, TAXONOMY, EXTRACTION, DATASET = (
    "document_processing",
    "taxonomy_processing",
    "extraction",
    "dataset_generation",
)


class RequestError(Exception):
    """The service refused something; the text says what."""


class Client:
    """The few requests of the API that this needs."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._base = f"{url}/api/v1/jobs"

    async def upload(self, files: Sequence[Path]) -> list[dict[str, Any]]:
        with ExitStack() as opened:
            form = aiohttp.FormData()
            for file in files:
                form.add_field("file", opened.enter_context(file.open("rb")), filename=file.name)
            async with self._session.post(f"{self._base}/files", data=form) as answer:
                return list((await _body(answer))["files"])

    async def submit(self, body: Mapping[str, Any]) -> dict[str, str]:
        async with self._session.post(f"{self._base}/pipeline", json=body) as answer:
            return dict((await _body(answer))["jobs"])

    async def follow(self, row: screen.Row, lines: screen.Screen) -> None:
        """Reads the job's stream to its end."""
        async with self._session.get(f"{self._base}/status/{row.job_id}/stream") as stream:
            async for raw in stream.content:
                if raw.startswith(b"data: "):
                    row.take(orjson.loads(raw[6:]))
                    lines.draw()

    async def artefact(self, job_id: str, name: str) -> bytes:
        async with self._session.get(f"{self._base}/result/{job_id}/files/{name}") as answer:
            if answer.status != 200:
                await _body(answer)
            return await answer.read()

    async def first_lines(self, job_id: str, name: str, count: int) -> list[bytes]:
        async with self._session.get(f"{self._base}/result/{job_id}/files/{name}") as answer:
            if answer.status != 200:
                await _body(answer)
            return [line for _ in range(count) if (line := await answer.content.readline())]

    async def artefacts(self, job_id: str) -> list[str]:
        async with self._session.get(f"{self._base}/result/{job_id}/files") as answer:
            return [file["name"] for file in (await _body(answer))["files"]]


async def _body(answer: aiohttp.ClientResponse) -> dict[str, Any]:
    """Raises RequestError."""
    body: dict[str, Any] = await answer.json()
    if answer.status >= 400:
        details = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in body.get("details", []))
        raise RequestError(details or body.get("message", str(answer.status)))
    return body


def say(lines: Iterable[str]) -> None:
    sys.stdout.writelines(f"{line}\n" for line in lines)
    sys.stdout.flush()


async def run(client: Client, files: Sequence[Path]) -> dict[str, screen.Row]:
    """From the files to the end of all jobs, live. Raises RequestError."""
    sent = await client.upload(files)
    say(f"  {file['name'][:44]:44} {file['bytes']:>11,} bytes  sha256 {file['sha256'][:16]}" for file in sent)
    documents = [{"file_id": file["file_id"]} for file in sent]
    jobs = await client.submit({"documents": documents, DOCUMENTS: CHUNKING, "name": "demo"})
    say(["\nThe pipeline was submitted; its jobs wait for each other.\n"])
    rows = {stage: screen.Row(stage, job_id) for stage, job_id in jobs.items()}
    lines = screen.Screen(list(rows.values()))
    lines.draw()
    async with asyncio.TaskGroup() as group:
        for row in rows.values():
            group.create_task(client.follow(row, lines), name=f"follow-{row.name}")
    return rows


async def tell(client: Client, rows: Mapping[str, screen.Row], folder: Path) -> None:
    """Tables of what came out, the first records of the dataset, and where all of it lies."""
    done = {stage: row for stage, row in rows.items() if row.status == "completed"}
    if DOCUMENTS in done:
        say(screen.documents_table(done[DOCUMENTS].result))
    if TAXONOMY in done:
        say(screen.categories_table(orjson.loads(await client.artefact(done[TAXONOMY].job_id, "taxonomy.json"))))
    if EXTRACTION in done:
        say(screen.extractions_table(done[EXTRACTION].result))
    if DATASET in done:
        say(screen.splits_table(done[DATASET].result))
    say([""])
    for stage, row in rows.items():
        if stage not in done:
            say([f"  {stage} {row.status}: {row.error or 'a job before it has no result'}"])
        else:
            say([f"  {stage}: {folder / 'jobs' / row.job_id}"])
            say(f"    {name}" for name in await client.artefacts(row.job_id) if "/" not in name)
    if DATASET in done:
        say(["\nThe first records of the dataset:\n"])
        say(screen.first_records(await client.first_lines(done[DATASET].job_id, "train.jsonl", RECORDS)))


async def demo(files: Sequence[Path]) -> int:
    if missing := [file for file in files if not file.is_file()]:
        raise StartError(f"{missing[0]}: no such file")
    folder = Path("data") / f"demo-{time.strftime('%Y%m%d-%H%M%S')}"
    (folder / "input").mkdir(parents=True)
    environment = {
        "JOBQUEUE_STORAGE_DATA_DIR": str(folder.resolve()),
        "JOBQUEUE_STORAGE_INPUT_ROOT": str(folder.resolve() / "input"),
        "JOBQUEUE_LOG_FORMAT": "text",
        "JOBQUEUE_REDIS_URL": "embedded",
    }
    say(["Starting Valkey, server and worker ..."])
    with (folder / "log.txt").open("wb") as log:
        system = System([], ["--port", "0"], environment, log)
        try:
            await system.start()
            say([f"The service runs at {system.url}; sending {len(files)} files.\n"])
            code = await show(system.url, files, folder)
        finally:
            await system.stop()
    say(["Everything has been stopped."])
    return code


async def show(url: str, files: Sequence[Path], folder: Path) -> int:
    """0: all jobs have completed, and so has each document."""
    timeout = aiohttp.ClientTimeout(total=PATIENCE_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        client = Client(session, url)
        try:
            rows = await run(client, files)
            await tell(client, rows, folder)
        except RequestError as refusal:
            say([f"The service refused it: {refusal}"])
            return 1
    failed = rows[DOCUMENTS].result.get("failed_documents", 0)
    return 0 if not failed and all(row.status == "completed" for row in rows.values()) else 1


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
