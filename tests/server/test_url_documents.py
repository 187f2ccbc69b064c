"""Documents by their address at submit: refused unless the operator allows them, with their place in the request."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fake_queue import FakeQueue

from jobqueue import Settings, load_settings

BASE = "/api/v1/jobs"
URLS = ["https://h.example/a.pdf", "http://127.0.0.1:8080/b.html", "http://[::ffff:10.0.0.1]/c"]


def settings(folder: Path, **documents: str) -> Settings:
    variables = {f"JOBQUEUE_DOCUMENTS_{name.upper()}": value for name, value in documents.items()}
    (folder / "config.toml").touch()
    return load_settings(folder / "config.toml", variables)


async def refused(start: Any, given: Settings, path: str, **body: Any) -> dict[tuple[Any, ...], str]:
    """What is said by its place; nothing when the request is taken."""
    api = await start(given, FakeQueue())
    status, answer = await api.post(f"{BASE}/{path}", body)
    assert status == (400 if "details" in answer else 202), answer
    return {tuple(detail["loc"]): detail["msg"] for detail in answer.get("details", [])}


def job(*urls: str) -> dict[str, Any]:
    documents = [{"text": "x", "name": "y"}, *({"url": url} for url in urls)]
    return {"job_type": "document_processing", "parameters": {"documents": documents}}


async def test_nothing_is_fetched_unless_the_operator_says_so(start: Any, tmp_path: Path) -> None:
    found = await refused(start, settings(tmp_path), "submit", **job(*URLS[:2]))
    assert found.keys() == {("parameters", "documents", 1, "url"), ("parameters", "documents", 2, "url")}
    assert all(text.startswith("url_sources_disabled: ") for text in found.values())


@pytest.mark.parametrize(
    ("rules", "numbers"),
    [
        ({"urls": "public"}, [1, 2]),
        ({"urls": "public", "url_origins": "http://127.0.0.1:8080"}, [2]),
        ({"urls": "listed", "url_origins": "http://127.0.0.1:8080"}, [0, 2]),
    ],
)
async def test_what_the_operator_allows_is_taken(
    start: Any, tmp_path: Path, rules: dict[str, str], numbers: list[int]
) -> None:
    given = settings(tmp_path, **rules)
    found = await refused(start, given, "submit", **job(*URLS))
    assert list(found) == [("parameters", "documents", number + 1, "url") for number in numbers]
    assert all(text.startswith("url_forbidden: ") for text in found.values())
    good = [url for number, url in enumerate(URLS) if number not in numbers]
    assert await refused(start, given, "submit", **job(*good)) == {}


async def test_a_pipeline_names_the_place_in_its_own_request(start: Any, tmp_path: Path) -> None:
    found = await refused(start, settings(tmp_path), "pipeline", documents=[{"url": URLS[0]}])
    assert found == {("documents", 0, "url"): found["documents", 0, "url"]}


async def test_what_is_no_address_is_named_too(start: Any, tmp_path: Path) -> None:
    found = await refused(start, settings(tmp_path, urls="public"), "submit", **job("http://u:w@h/", "h"))
    assert list(found) == [("parameters", "documents", 1, "url"), ("parameters", "documents", 2, "url")]
    assert all("must look like https://host/path" in text for text in found.values())
