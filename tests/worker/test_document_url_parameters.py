"""document_processing: which addresses of documents are taken at submit, and what is said of the others."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from worker.jobs.document_processing.parameters import Parameters
from worker.jobs.document_processing.urls import name_of

ORIGIN = "http://wiki.intranet:8080"


def given(*urls: str) -> Parameters:
    return Parameters.model_validate({"documents": [{"url": url} for url in urls]})


def mistakes(*documents: dict[str, Any]) -> dict[tuple[int | str, ...], str]:
    with pytest.raises(ValidationError) as caught:
        Parameters.model_validate({"documents": list(documents)})
    return {each["loc"]: each["msg"] for each in caught.value.errors()}


@pytest.mark.parametrize(
    ("url", "canonical"),
    [
        ("https://h.example", "https://h.example/"),
        ("HTTPS://H.Example:443/A%20b?c=/d?e&f=@g", "https://h.example/A%20b?c=/d?e&f=@g"),
        ("http://h.example:080/", "http://h.example/"),
        ("http://h.example:443/", "http://h.example:443/"),
        ("http://h.example?a=b", "http://h.example/?a=b"),
        ("https://h.example/a#b?c#d é", "https://h.example/a"),
        ("https://[2606:4700::1]/a;b=c,(d)!*'~$+", "https://[2606:4700::1]/a;b=c,(d)!*'~$+"),
        ("https://h.example/@user/", "https://h.example/@user/"),
    ],
)
def test_an_address_is_kept_as_it_is_fetched(url: str, canonical: str) -> None:
    parameters = given(url)
    assert parameters.documents[0].url == canonical
    assert parameters.check_urls("public", []) == []
    assert parameters.model_dump(exclude_unset=True) == {"documents": [{"url": canonical}]}


@pytest.mark.parametrize(
    "url",
    [
        "",
        "#a",
        "h.example/a",
        "//h.example/a",
        "ftp://h.example/a",
        "file:///etc/passwd",
        "data:text/plain,a",
        "http:h.example",
        "http://",
        "http:///a",
        "http://user@h.example/",
        "http://user:word@h.example/",
        "http://h.example\\@i.example/",
        "http://h.example /",
        "http://h.example/a b",
        "http://h.example/a\nb",
        "http://h.example/\0",
        "http://h.example/é",
        "http://bücher.example/",
        "http://h.example:0/",
        "http://h.example:99999/",
        "http://h.example:/",
        "http://[::1/",
        "http://[fe80::1%25eth0]/",
        "http://[1.2]/",
        "http://[1:2]/",
        "http://h.example/\u212a",
        "http://localho\u017ft/",
        "http://%31%32%37.0.0.1/",
        "http://h.example/" + "a" * 2048,
    ],
)
def test_an_address_that_can_be_misunderstood(url: str) -> None:
    (told,) = mistakes({"path": "a"}, {"url": url}).items()
    assert told[0] == ("documents", 1, "url")
    assert "must look like https://host/path" in told[1] or not 0 < len(url) <= 2048


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://0177.0.0.1/",
        "http://127.1/",
        "http://0/",
        "http://10.0.0.1/",
        "http://169.254.169.254/latest/meta-data/",
        "http://[::1]/",
        "http://[::]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[64:ff9b::7f00:1]/",
        "http://[fd00::1]/",
        "http://localhost/",
        "http://a.localhost./",
        "http://h.example:8080/",
        "https://h.example:22/",
    ],
)
def test_what_a_job_may_not_reach(url: str) -> None:
    parameters = given("https://h.example/", url)
    ((place, text),) = parameters.check_urls("public", [ORIGIN])
    assert place == ("documents", 1, "url")
    assert text.startswith("url_forbidden: ") and "documents.url_origins" in text


def test_the_operator_says_what_may_be_fetched() -> None:
    parameters = given("http://wiki.intranet:8080/a", "http://WIKI.intranet:8080/b?c", "https://h.example/")
    places = [("documents", number, "url") for number in range(3)]
    off = parameters.check_urls("off", [ORIGIN])
    assert [place for place, _ in off] == places
    assert {text.partition(":")[0] for _, text in off} == {"url_sources_disabled"}
    assert [place for place, _ in parameters.check_urls("listed", [ORIGIN])] == places[2:]
    assert [place for place, _ in parameters.check_urls("public", [])] == places[:2]
    assert parameters.check_urls("public", [ORIGIN]) == []
    for other in ("https://wiki.intranet:8080", "http://wiki.intranet", "http://wiki.intranet.evil.example:8080"):
        assert len(parameters.check_urls("listed", [other])) == 3
    assert Parameters.model_validate({"documents": [{"path": "a"}]}).check_urls("off", []) == []


def test_an_address_is_named_once() -> None:
    (text,) = mistakes({"url": "http://h.example/a#b"}, {"url": "HTTP://H.example:80/a"}).values()
    assert "listed twice" in text
    assert len(given("http://h.example/a", "http://h.example/a?b", "https://h.example/a").documents) == 3


@pytest.mark.parametrize("other", ["path", "file_id", "text", "name"])
def test_an_address_stands_alone(other: str) -> None:
    value = "0" * 32 if other == "file_id" else "x"
    assert ("documents", 0) in mistakes({"url": "http://h.example/", other: value})


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://h.example/a/Report%202.pdf?b=c/d", "Report 2.pdf"),
        ("https://h.example/a/b/", "b"),
        ("https://h.example/", "h.example"),
        ("https://h.example/a%2Fb.txt", "b.txt"),
        ("https://h.example/../..", "h.example"),
        ("https://h.example/%00%0A%1b%20", "h.example"),
        ("https://h.example/%E2%80%AEfdp.exe", "fdp.exe"),
        ("https://h.example/%FF.txt", "�.txt"),
        ("https://h.example/" + "a" * 300 + ".pdf", "a" * 251 + ".pdf"),
        ("https://[2606:4700::1]/", "2606:4700::1"),
    ],
)
def test_a_document_is_called_by_the_end_of_its_path(url: str, name: str) -> None:
    assert name_of(url) == name
