"""Documents by their address from submission to files: real server, real worker, a stand-in for the web site."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from samples.web_stub import Page, Web, web_stub
from support import System, wait_for, working

pytestmark = [pytest.mark.process, pytest.mark.timeout(120)]


@pytest.fixture
def web() -> Iterator[Web]:
    with web_stub() as site:
        yield site


@pytest.fixture
def system(web: Web, tmp_path: Path) -> Iterator[System]:
    made = System(tmp_path)
    with (tmp_path / "config.toml").open("a") as config:
        config.write(f'[documents]\nurls = "public"\nurl_origins = ["{web.origin}"]\n')
    with working(made):
        yield made


def submit(system: System, *urls: str) -> tuple[int, dict[str, Any]]:
    parameters = {"documents": [{"url": url} for url in urls]}
    body = {"job_type": "document_processing", "user_id": "ann", "parameters": parameters}
    return system.http("POST", "/submit", body)


def test_documents_come_from_a_site_and_a_silent_one_is_left_at_once(system: System, web: Web) -> None:
    web.pages = {"/good": Page(b"<!doctype html><h1>Tides</h1><p>High water."), "/silent": Page(b"x", then="hang")}
    code, answer = submit(system, f"{web.origin}/good", f"{web.origin}/bad")
    assert code == 202, answer
    system.wait_status(answer["job_id"], "completed")
    result = system.http("GET", f"/result/{answer['job_id']}")[1]["result"]
    assert [error["code"] for error in result["errors"]] == ["url_not_found"]
    folder = system.folder / "data" / "jobs" / answer["job_id"]
    assert json.loads((folder / "documents.jsonl").read_text().split("\n")[0])["source"] == {
        "url": f"{web.origin}/good"
    }

    silent = submit(system, f"{web.origin}/silent")[1]["job_id"]
    wait_for(lambda: "/silent" in web.paths, "the document is asked for")
    wait_for(lambda: system.status(silent).get("current_step") == "Fetching 1/1 silent", "it is told")
    system.http("POST", f"/cancel/{silent}")
    system.wait_status(silent, "cancelled", 5)
    wait_for(lambda: system.http("GET", "/queue/stats")[1]["running_jobs"] == 0, "the slot is free", 5)
    assert web.left.wait(5), "the connection is closed"

    code, answer = submit(system, f"{web.origin}/good", "http://169.254.169.254/latest/meta-data/")
    assert (code, answer["details"][0]["loc"]) == (400, ["parameters", "documents", 1, "url"])
