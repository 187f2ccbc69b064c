"""Where a job's model may be: what the operator lists, and public addresses. Names that lead inwards are refused."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import openai
import pytest
from pydantic import BaseModel, ConfigDict, ValidationError
from samples.document_support import FakeContext
from samples.llm_stub import Said, llm_stub

from worker.context import PermanentError, RetryableError
from worker.jobs.shared import addresses
from worker.jobs.shared.llm.addresses import is_listed, public_address
from worker.jobs.shared.llm.errors import ItemFailure
from worker.jobs.shared.llm.options import LlmMode, LlmOptions
from worker.jobs.shared.llm.session import open_llm


class Given(LlmMode):
    model_config = ConfigDict(extra="forbid", frozen=True)

    other: int = 1


class Reply(BaseModel):
    said: str


def given(url: str, **more: Any) -> Given:
    return Given.model_validate({"mode": "llm", "llm": {"base_url": url, "model": "m", **more}})


def mistakes(values: dict[str, Any]) -> dict[str, str]:
    with pytest.raises(ValidationError) as caught:
        Given.model_validate(values)
    return {".".join(map(str, each["loc"])): each["msg"] for each in caught.value.errors()}


def resolving(monkeypatch: pytest.MonkeyPatch, answers: Sequence[str]) -> None:
    real = socket.getaddrinfo

    def answer(host: str, *rest: Any, **more: Any) -> Any:
        if host != "endpoint.test":
            return real(host, *rest, **more)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 80)) for address in answers]

    monkeypatch.setattr(socket, "getaddrinfo", answer)


def test_llm_and_its_mode_come_together() -> None:
    assert mistakes({"mode": "llm"}).keys() == {"llm"}
    assert "offline" in mistakes({"llm": {"base_url": "http://h/v1", "model": "m"}})["llm"]
    assert Given().llm is None and Given().model_dump(exclude_unset=True) == {}
    assert given("https://h.example/v1").llm == LlmOptions(base_url="https://h.example/v1", model="m")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("api_key", "sk-1"),
        ("api_key_env", "sk-1"),
        ("api_key_env", "JOBQUEUE_REDIS_URL"),
        ("model", ""),
        ("temperature", 3),
        ("concurrency", 0),
        ("timeout", 0),
        ("response_format", "yaml"),
        ("requests_per_minute", 0),
        ("max_requests", 0),
    ],
)
def test_options_are_checked(name: str, value: object) -> None:
    values = {"base_url": "http://h/v1", "model": "m", name: value}
    assert mistakes({"mode": "llm", "llm": values}).keys() == {f"llm.{name}"}


@pytest.mark.parametrize(
    "url",
    [
        "ftp://h/v1",
        "file:///etc/passwd",
        "h/v1",
        "http://",
        "http://user:word@h/v1",
        "http://h@i/v1",
        "http://h/v1?key=1",
        "http://h/v1#a",
        "http://h\\@i/v1",
        "http://h i/v1",
        "http://h:99999/v1",
        "http://h:0/v1",
        "http://bücher.example/v1",
    ],
)
def test_addresses_that_can_be_misunderstood(url: str) -> None:
    assert "must look like" in mistakes({"mode": "llm", "llm": {"base_url": url, "model": "m"}})["llm.base_url"]


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/v1",
        "http://127.1/v1",
        "http://2130706433/v1",
        "http://0x7f.0.0.1/v1",
        "http://0.0.0.0/v1",
        "http://10.0.0.1/v1",
        "http://169.254.169.254/v1",
        "http://100.64.0.1/v1",
        "http://224.0.0.1/v1",
        "http://[::1]/v1",
        "http://[::ffff:127.0.0.1]/v1",
        "http://[64:ff9b::7f00:1]/v1",
        "http://[2002:7f00:1::]/v1",
        "http://[fe80::1]/v1",
        "http://[fd00::1]/v1",
        "http://localhost/v1",
        "http://LOCALHOST./v1",
        "http://a.localhost/v1",
        "http://1.1.1.1:8000/v1",
        "https://h.example:22/v1",
    ],
)
def test_what_a_job_may_not_reach_is_refused_at_submit_and_in_the_job(url: str, tmp_path: Path) -> None:
    parameters = given(url)
    ((place, text),) = parameters.check_llm([])
    assert place == ("llm", "base_url") and text.startswith("llm.base_url ")
    assert parameters.check_llm([url]) == [], "the operator knows"
    assert parameters.llm is not None
    with pytest.raises(PermanentError, match=r"llm\.base_url") as caught, _opened(tmp_path, parameters.llm):
        pass
    assert caught.value.code == "llm_base_url_refused"


def _opened(root: Path, options: LlmOptions, *listed: str) -> Any:
    ctx = FakeContext(root / "job", root)
    ctx.llm_base_urls = listed
    return open_llm(ctx, options)


@pytest.mark.parametrize("url", ["https://api.example.com/v1", "http://1.1.1.1/v1", "https://[2606:4700::1]/v1"])
def test_public_addresses_are_taken(url: str) -> None:
    assert given(url).check_llm([]) == []


def test_keys_go_to_listed_endpoints_only() -> None:
    parameters = given("https://h.example/v1", api_key_env="SOME_KEY")
    ((place, text),) = parameters.check_llm([])
    assert place == ("llm", "api_key_env") and "listed" not in text and "lists" in text
    assert parameters.check_llm(["https://h.example/v1/"]) == []


@pytest.mark.parametrize(
    ("url", "listed", "is_same"),
    [
        ("http://h:8000/v1/", "http://h:8000/v1", True),
        ("http://H/v1", "http://h:80/v1", True),
        ("http://h/v1", "https://h/v1", False),
        ("http://h/v1", "http://h/v2", False),
        ("http://h:8000/v1", "http://h:8001/v1", False),
    ],
)
def test_the_same_address_written_otherwise(url: str, listed: str, is_same: bool) -> None:
    assert is_listed(url, [listed]) is is_same


@pytest.mark.parametrize("answers", [["127.0.0.1"], ["1.1.1.1", "10.0.0.1"]])
def test_a_name_that_leads_inwards(answers: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, answers)
    options = LlmOptions(base_url="http://endpoint.test/v1", model="m", max_retries=0)
    assert given(options.base_url).check_llm([]) == [], "names are looked up by the job only"
    with _opened(tmp_path, options) as llm, pytest.raises(PermanentError, match=r"llm\.base_url: endpoint\.test"):
        llm.map([1], lambda item: llm.ask([{"role": "user", "content": "?"}], Reply))


def test_a_name_that_does_not_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*rest: Any, **more: Any) -> Any:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    options = LlmOptions(base_url="http://endpoint.test/v1", model="m", max_retries=0)
    with _opened(tmp_path, options) as llm, pytest.raises(RetryableError, match="looked up"):
        llm.map([1] * 5, lambda item: llm.ask([{"role": "user", "content": "?"}], Reply))


def test_the_address_that_was_looked_at_is_the_one_connected_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second answer of the name server would lead elsewhere; nobody asks for it."""
    with llm_stub({"said": "hello"}) as stub:
        resolving(monkeypatch, ["127.0.0.1"])
        monkeypatch.setattr(addresses, "is_public", lambda address: True)
        monkeypatch.setattr(addresses, "_PORTS", {stub.port})
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
        options = LlmOptions(base_url=f"http://endpoint.test:{stub.port}/v1", model="m", max_retries=0)
        with _opened(tmp_path, options) as llm:
            (outcome,) = llm.map([1], lambda item: llm.ask([{"role": "user", "content": "?"}], Reply))
    assert outcome == Reply(said="hello")
    assert stub.asked[0].headers["Host"] == f"endpoint.test:{stub.port}"


def test_a_redirect_inwards_is_not_followed(tmp_path: Path) -> None:
    with llm_stub({"said": "inside"}) as inside:
        moved = Said(
            status=307, headers={"Location": f"{inside.base_url}/chat/completions"}, error={"message": "moved"}
        )
        with llm_stub(moved) as stub:
            options = LlmOptions.model_validate(stub.options())
            with _opened(tmp_path, options, stub.base_url) as llm, pytest.raises(PermanentError, match="redirects"):
                llm.map([1], lambda item: llm.ask([{"role": "user", "content": "?"}], Reply))
    assert inside.asked == []


@pytest.mark.parametrize(
    "address", ["::ffff:10.0.0.1", "::7f00:1", "fec0::1", "64:ff9b:1::1", "2001:db8::1", "240.0.0.1"]
)
def test_more_addresses_that_are_not_public(address: str) -> None:
    assert not addresses.is_public(ip_address(address))


def test_ipv6_addresses_are_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.getaddrinfo("::1", 80, type=socket.SOCK_STREAM)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *rest, **more: real)
    monkeypatch.setattr(addresses, "is_public", lambda address: True)
    assert asyncio.run(public_address("http://endpoint.test/v1", "llm")) == "::1"
    request = openai.DefaultAsyncHttpxClient().build_request("POST", "http://endpoint.test/v1")
    assert request.url.copy_with(host="::1").host == "::1"
    assert str(request.url.copy_with(host="::1")) == "http://[::1]/v1"


def test_failures_have_a_place(tmp_path: Path) -> None:
    failure = ItemFailure("llm_bad_reply", "said nonsense", False)
    assert failure.as_error("name", {"category_id": "c"}) == {
        "code": "llm_bad_reply",
        "message": "said nonsense",
        "category_id": "c",
        "stage": "name",
        "retryable": False,
    }
