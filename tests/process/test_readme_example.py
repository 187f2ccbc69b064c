"""The example of the README, as it stands there: a job type in one file and one entry."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import ROOT, System

pytestmark = [pytest.mark.process, pytest.mark.timeout(120)]

FILE, ENTRY, END = "# my_jobs/count_words.py", "# config.toml", "The server checks parameters"


def example() -> tuple[str, str]:
    """The Python file and the entry."""
    text = (ROOT / "README.md").read_text("utf-8")
    _, _, rest = text.partition(f"    {FILE}\n")
    python, _, rest = rest.partition(f"    {ENTRY}\n")
    entry, _, _ = rest.partition(END)
    return textwrap.dedent(python), textwrap.dedent(entry)


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[System]:
    python, entry = example()
    made = System(tmp_path)
    (tmp_path / "my_jobs").mkdir()
    (tmp_path / "my_jobs" / "count_words.py").write_text(python)
    with (tmp_path / "config.toml").open("a") as config:
        config.write(f"\n{entry}")
    try:
        yield made
    finally:
        made.stop()


def test_the_example_does_what_it_says(system: System) -> None:
    system.server()
    system.worker()
    documents = [{"name": "a.txt", "text": "one fish two fish red fish blue fish"}]
    body = {"job_type": "document_processing", "user_id": "ann", "parameters": {"documents": documents}}
    first = system.http("POST", "/submit", body)[1]["job_id"]
    system.wait_status(first, "completed")
    parameters = {"source": {"job_id": first}, "most": 1}
    body = {"job_type": "count_words", "user_id": "ann", "parameters": parameters}
    code, answer = system.http("POST", "/submit", body)
    assert code == 202, answer
    system.wait_status(answer["job_id"], "completed")
    assert system.http("GET", f"/result/{answer['job_id']}")[1]["result"] == {"words": {"fish": 4}}
    code, answer = system.http("POST", "/submit", {**body, "parameters": {"source": {}, "more": 1}})
    assert code == 400 and {tuple(detail["loc"]) for detail in answer["details"]} >= {("parameters", "more")}
