"""HTTP figures as ratios within one run; see README.md. Everything that is compared takes turns: A B C, A B C.

    python tests/bench/http_bench.py [--small] [--rows submit,status,watch,seed]

BENCH_VENVS: where the peers' environment `http` is made, on demand, with pip (default bench-out/venvs). Without it, or
when it cannot be made, their rows are reported as not run.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from programs import HERE, ROOT, Program, ours

sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import seed_bench  # noqa: E402
import sse_bench  # noqa: E402
from conftest import ValkeyServer  # noqa: E402

PEERS = ("fastapi==0.116.1", "uvicorn==0.54.0", "uvloop", "httptools", "rq==3.0.0", "redis[hiredis]==8.1.0")
ALWAYS = ("--appendonly", "yes", "--appendfsync", "always")
CONNECTIONS = 32
TEXT = "# A note\n\nOf the length that such notes have. " + "It goes on for some time. " * 20
BODY = {
    "job_type": "document_processing",
    "user_id": "ann",
    "parameters": {"documents": [{"name": "note.md", "text": TEXT}]},
}

# What the generator found, by system, one entry a repetition.
Found = dict[str, list[dict[str, Any]]]


def peer_python() -> Path | None:
    """The peers' interpreter, made when it is not there; None = not run."""
    folder = Path(os.environ.get("BENCH_VENVS", ROOT / "bench-out" / "venvs")).absolute() / "http"
    python = folder / "bin" / "python"
    if not (folder / ".ready").exists():
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PEERS]
        try:
            subprocess.run([sys.executable, "-m", "venv", folder], check=True)
            subprocess.run(pip, check=True, timeout=300)
        except (OSError, subprocess.SubprocessError) as error:
            print(f"The peers cannot be installed: {error}")
            return None
        (folder / ".ready").touch()
    return python


def generator(target: Program, folder: Path, name: str, method: str, paths: list[str], connections: int) -> Program:
    (folder / f"{name}.paths").write_text("\n".join(paths))
    body = folder / "body.json"
    body.write_text(json.dumps(BODY))
    command = [
        sys.executable, HERE / "http_load.py", target.address, method, body if method == "POST" else "-",
        str(connections), folder / f"{name}.paths",
    ]  # fmt: skip
    return Program(command, folder / f"{name}.log")


def take_turns(generators: Mapping[str, Program], reps: int, seconds: float) -> Found:
    found: Found = {name: [] for name in generators}
    for program in generators.values():
        program.tell(str(min(1.0, seconds)))
    for _ in range(reps):
        for name, program in generators.items():
            found[name].append(program.tell(str(seconds)))
    return found


def median(found: Found, name: str, what: str) -> float:
    return statistics.median(row[what] for row in found[name])


def print_rows(title: str, found: Found, wanted: str, targets: list[tuple[str, str, float]]) -> None:
    """`targets`: ours, the other, how many times as fast ours is to be. `wanted`: the status of a good answer."""
    print(f"\n{title}\n\n| system | requests/s | p50 ms | p99 ms | generator busy |\n|---|--:|--:|--:|--:|")
    for name, rows in found.items():
        bad = {status: n for row in rows for status, n in row["statuses"].items() if status != wanted}
        cells = [f"{median(found, name, what):,.2f}" for what in ("rate", "p50", "p99", "busy")]
        print(f"| {name} | {' | '.join(cells)} |" + (f" WRONG ANSWERS {bad}" if bad else ""))
    print()
    for mine, other, target in targets:
        if other in found:
            pairs = zip(found[mine], found[other], strict=True)
            ratio = statistics.median(one["rate"] / two["rate"] for one, two in pairs)
            print(f"{mine} / {other}: {ratio:.2f}, target >= {target}: {verdict(ratio >= target)}")


def verdict(good: bool) -> str:
    return "met" if good else "MISSED"


def submit_rows(folder: Path, reps: int, seconds: float) -> None:
    """Our server and FastAPI with rq, each on a Valkey that syncs every write and on one that keeps nothing."""
    with ExitStack() as stack:
        servers: dict[str, tuple[Program, str]] = {}
        path = "/api/v1/jobs/submit"
        plain = _valkey(stack, folder / "plain")
        servers["ours, AOF always"] = stack.enter_context(ours("server", folder / "always")), path
        server = ours("server", folder / "ours-plain", JOBQUEUE_REDIS_URL=plain.url)
        servers["ours, no AOF"] = stack.enter_context(server), path
        python = peer_python()
        if python is None:
            print("FastAPI + rq: not run")
        else:
            synced = _valkey(stack, folder / "synced", *ALWAYS)
            other_plain = _valkey(stack, folder / "other-plain")
            for name, valkey in (("AOF always", synced), ("no AOF", other_plain)):
                peer = Program([python, HERE / "http_peers.py", "fastapi-rq", valkey.url], folder / "peer.log")
                servers[f"FastAPI + rq, {name}"] = stack.enter_context(peer), "/submit"
        generators = {
            name: stack.enter_context(generator(program, folder, name, "POST", [where], CONNECTIONS))
            for name, (program, where) in servers.items()
        }
        found = take_turns(generators, reps, seconds)
    title = f"Submit over HTTP, {CONNECTIONS} connections, medians of {reps} x {seconds} s"
    targets = [(f"ours, {kind}", f"FastAPI + rq, {kind}", 3.0) for kind in ("AOF always", "no AOF")]
    print_rows(title, found, "202", targets)


def _valkey(stack: ExitStack, folder: Path, *options: str) -> ValkeyServer:
    folder.mkdir()
    valkey = ValkeyServer(folder, *options)
    stack.callback(valkey.stop)
    return valkey


def submit_some(server: Program, count: int) -> list[str]:
    ids = []
    for number in range(count):
        body = json.dumps({**BODY, "user_id": f"user{number}"}).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"http://{server.address}/api/v1/jobs/submit", body, headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            ids.append(json.load(answer)["job_id"])
    return ids


def status_rows(folder: Path, reps: int, seconds: float) -> None:
    """Our status, which reads Redis each time, and aiohttp answering a constant; both on uvloop."""
    with ExitStack() as stack:
        server = stack.enter_context(ours("server", folder / "status"))
        hello = stack.enter_context(
            Program([sys.executable, HERE / "http_peers.py", "aiohttp-hello"], folder / "hello.log")
        )
        paths = [f"/api/v1/jobs/status/{job_id}" for job_id in submit_some(server, 100)]
        others = [path.replace("/api/v1/jobs/status/", "/hello/") for path in paths]
        made = {
            "ours, status": generator(server, folder, "status", "GET", paths, CONNECTIONS),
            "aiohttp, hello": generator(hello, folder, "hello", "GET", others, CONNECTIONS),
        }
        for program in made.values():
            stack.enter_context(program)
        found = take_turns(made, reps, seconds)
    title = f"Status over HTTP, {CONNECTIONS} connections, medians of {reps} x {seconds} s"
    print_rows(title, found, "200", [("ours, status", "aiohttp, hello", 0.5)])


def watch_rows(folder: Path, *, watchers: int, jobs: int, seconds: float) -> None:
    found = asyncio.run(sse_bench.measure(folder / "watch", watchers=watchers, jobs=jobs, rate=100, seconds=seconds))
    print(f"\n{watchers} watchers of {jobs} jobs, 100 changes a second for {seconds} s, from script call to delivery\n")
    print("| p50 ms | p99 ms | max ms | delivered | KiB a watcher | server busy |\n|--:|--:|--:|--:|--:|--:|")
    cells = [f"{found[name]:.1f}" for name in ("p50", "p99", "max")]
    cells += [f"{found['count']}/{found['expected']}", f"{found['kib_per_watcher']:.1f}", f"{found['server_busy']:.2f}"]
    print(f"| {' | '.join(cells)} |\n\np99 {found['p99']:.1f} ms, target < 100: {verdict(found['p99'] < 100)}")
    if found["lost"]:
        print(f"STREAMS LOST: {found['lost']}")


def seed_rows(folder: Path, *, jobs: int, seconds: float) -> None:
    with ours("server", folder / "seed") as server, ours("worker", folder / "seed") as worker:
        ids = submit_some(server, 20)
        status = [f"/api/v1/jobs/status/{job_id}" for job_id in ids]
        with generator(server, folder, "seed-submit", "POST", ["/api/v1/jobs/submit"], 1) as one:
            submitted = one.tell(str(seconds))
        with generator(server, folder, "seed-status", "GET", status, 4) as four:
            read = four.tell(str(seconds))
    with ours("server", folder / "rate") as server, ours("worker", folder / "rate") as worker:
        rate, rss = seed_bench.run_jobs(server, worker, lambda count: submit_some(server, count), jobs)
    seed_bench.print_rows(submitted, read, rate, rss, jobs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="only shows that it works")
    parser.add_argument("--rows", default="submit,status,watch,seed")
    arguments = parser.parse_args()
    small, rows = arguments.small, arguments.rows.split(",")
    reps, seconds = (1, 1.0) if small else (5, 5.0)
    with tempfile.TemporaryDirectory(prefix="jq-http-") as name:
        folder = Path(name)
        if "submit" in rows:
            submit_rows(folder, reps, seconds)
        if "status" in rows:
            status_rows(folder, reps, seconds)
        if "watch" in rows:
            watch_rows(folder, watchers=200 if small else 1000, jobs=100, seconds=3 if small else 20)
        if "seed" in rows:
            seed_rows(folder, jobs=10 if small else 200, seconds=seconds)


if __name__ == "__main__":
    main()
