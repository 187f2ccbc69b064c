"""`make test-rq`: RQ's own tests as a judge of our worker, which works in place of theirs.

    python tests/rq_suite/run.py [--stock] [pytest's arguments, e.g. tests/test_retry.py]

What does not pass stands in not_passed.txt: the test, two spaces, why. The run fails when another test does not pass,
and when one that is listed passes, unless its reason begins with `by chance:`. With `not run:` it is not even tried.
--stock: with RQ's own workers, to tell what is not our worker's fault; compares nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Final

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from conftest import ValkeyServer  # noqa: E402

VERSION: Final = "3.0.0"
SHA256: Final = "b41e39b3c36ec3faf9e2402c638a0b25fe18ebb93a1cb15193bc69694f054618"
CACHE: Final = ROOT / ".cache" / "rq_suite"
FOLDER: Final = CACHE / f"rq-{VERSION}"
NOT_RUN: Final = "not run:"
BY_CHANCE: Final = "by chance:"
LIST: Final = Path(__file__).with_name("not_passed.txt")
DOWNLOAD_SECONDS: Final = 300
RUN_SECONDS: Final = 300
NAMES: Final = (
    "results executions registry group queue_unique job queue decorator rate_limit retry repeat callbacks "
    "job_dependency dependencies webhooks commands"
)
FILES: Final = [f"tests/test_{name}.py" for name in NAMES.split()]


def fetch() -> None:
    """RQ's tests are in its source distribution only; what they test is the installed package."""
    if FOLDER.exists():
        return
    CACHE.mkdir(parents=True, exist_ok=True)
    archive = CACHE / f"rq-{VERSION}.tar.gz"
    if not archive.exists():
        what = ["--no-binary", ":all:", "--no-deps", f"rq=={VERSION}", "--dest", str(CACHE)]
        command = [sys.executable, "-m", "pip", "download", "-qq", "--disable-pip-version-check", *what]
        subprocess.run(command, check=True, timeout=DOWNLOAD_SECONDS)
    if hashlib.sha256(archive.read_bytes()).hexdigest() != SHA256:
        archive.unlink()
        raise SystemExit(f"{archive.name} is not the known one")
    unpack(archive)


def unpack(archive: Path) -> None:
    """The tests and pytest's settings, in one step, so that half of it never looks like all."""
    with tempfile.TemporaryDirectory(dir=CACHE) as place, tarfile.open(archive) as tar:
        wanted = (f"{FOLDER.name}/tests/", f"{FOLDER.name}/pyproject.toml")
        tar.extractall(place, [m for m in tar.getmembers() if m.name.startswith(wanted)], filter="data")
        (Path(place) / FOLDER.name).rename(FOLDER)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def run_tests(arguments: list[str], stock: bool) -> tuple[dict[str, str], dict[str, str]]:
    """Outcomes by test, and the words of those that did not pass."""
    folder = Path(tempfile.mkdtemp(prefix="jq-"))
    port = free_port()
    server = ValkeyServer(folder, "--port", str(port), "--bind", "127.0.0.1")
    report = folder / "report.json"
    try:
        call_pytest(arguments, environment(port, report, stock))
        outcomes, words = read(report)
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
    return outcomes, words


def read(report: Path) -> tuple[dict[str, str], dict[str, str]]:
    if not report.exists():
        print((CACHE / "last_run.txt").read_text())
        raise SystemExit("RQ's tests did not come to an end")
    outcomes, words = json.loads(report.read_text())
    return outcomes, words


def environment(port: int, report: Path, stock: bool) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("JOBQUEUE_", "RQ_", "PYTEST_"))}
    kept |= {"RQ_SUITE_PORT": str(port), "RQ_SUITE_REPORT": str(report), "RUN_SLOW_TESTS_TOO": "1"}
    return kept | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", **({"RQ_SUITE_STOCK": "1"} if stock else {})}


def call_pytest(arguments: list[str], variables: dict[str, str]) -> None:
    options = ["-p", "rq_suite.plugin", "-p", "no:cacheprovider", "-q", "--timeout", "30", "--disable-warnings"]
    command = [sys.executable, "-m", "pytest", *options, "--tb", "short", *arguments]
    with (CACHE / "last_run.txt").open("w") as log:
        subprocess.run(command, cwd=FOLDER, env=variables, stdout=log, stderr=log, timeout=RUN_SECONDS, check=False)


def deselect(known: dict[str, str]) -> list[str]:
    return [f"--deselect={test}" for test, why in known.items() if why.startswith(NOT_RUN)]


def listed() -> dict[str, str]:
    """Test to reason; a line that begins with # is a heading."""
    lines = [line for line in LIST.read_text().splitlines() if line.strip() and not line.startswith("#")]
    return {test: why.strip() for test, _, why in (line.partition("  ") for line in lines)}


def judge(outcomes: dict[str, str], words: dict[str, str], known: dict[str, str], whole: bool) -> bool:
    """Prints what is not as the list says; False when there is such a thing."""
    new = sorted(test for test, outcome in outcomes.items() if outcome != "passed" and test not in known)
    sure = {test: outcomes.get(test) for test, why in known.items() if not why.startswith((NOT_RUN, BY_CHANCE))}
    better = sorted(test for test, outcome in sure.items() if outcome == "passed")
    unknown = sorted(test for test, outcome in sure.items() if whole and outcome is None)
    for test in new:
        print(f"--- {outcomes[test]}: {test}\n{words[test]}\n")
    for what, tests in (("not passed", new), ("passes and is listed", better), ("is listed and not there", unknown)):
        for test in tests:
            print(f"{what}: {test}")
    passed = sum(outcome == "passed" for outcome in outcomes.values())
    as_listed = sum(outcome != "passed" and test in known for test, outcome in outcomes.items())
    print(
        f"RQ {VERSION}'s tests: {passed} passed, {as_listed} not, as listed, {len(new + better + unknown)} unexpected"
    )
    return not (new or better or unknown)


def main() -> int:
    stock = "--stock" in sys.argv
    arguments = [argument for argument in sys.argv[1:] if argument != "--stock"]
    fetch()
    known = {} if stock else listed()
    files = [] if any(argument.startswith("tests/") for argument in arguments) else FILES
    outcomes, words = run_tests([*files, *arguments, *deselect(known)], stock)
    return 0 if judge(outcomes, words, known, whole=not (arguments or stock)) else 1


if __name__ == "__main__":
    sys.exit(main())
