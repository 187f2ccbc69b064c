"""`python -m server` as a process."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from jobqueue.config import ServerSettings
from server.__main__ import LONGEST_STANDSTILL_MS, _listener

pytestmark = pytest.mark.process

ROOT = Path(__file__).parents[2]


def command(folder: Path, *arguments: str) -> list[str]:
    config = folder / "config.toml"
    if not config.exists():
        config.write_text(f'[redis]\nurl = "unix://{folder}/no.sock"\n')
    return [sys.executable, "-m", "server", "--config", str(config), *arguments]


def run(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    whole = {**os.environ, **environment}
    return subprocess.run(command(folder, *arguments), cwd=ROOT, env=whole, capture_output=True, text=True, timeout=30)


@contextmanager
def server(folder: Path, *arguments: str, **environment: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    process = subprocess.Popen(
        command(folder, "--port", "0", *arguments),
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        found = re.fullmatch(r"Listening on (http://\S+:\d+)\n", process.stdout.readline())
        assert found, process.stderr and process.stderr.read()
        yield process, found[1]
    finally:
        process.kill()
        process.communicate()


def refused(done: subprocess.CompletedProcess[str], text: str) -> None:
    assert done.returncode == 78
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1 and text in done.stderr
    assert "Traceback" not in done.stderr


def test_starts_without_redis_and_stops_cleanly(tmp_path: Path) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        with server(tmp_path) as (process, url):
            assert url.startswith("http://127.0.0.1:")
            assert json.load(urllib.request.urlopen(f"{url}/health/live")) == {"status": "ok"}
            for path, key in (("/health/ready", "status"), ("/api/v1/jobs/queue/stats", "error")):
                with pytest.raises(urllib.error.HTTPError) as caught:
                    urllib.request.urlopen(url + path, timeout=2)
                with caught.value as answer:
                    assert answer.code == 503
                    assert json.load(answer)[key] in ("unavailable", "QueueUnavailableError")
            process.send_signal(number)
            output, errors = process.communicate(timeout=10)
            assert process.returncode == 0, errors
            assert output == "" and "Traceback" not in errors
            assert "any user of this machine" in errors


def test_sec_A1_other_addresses_need_insecure(tmp_path: Path) -> None:
    refused(run(tmp_path, "--host", "0.0.0.0", "--port", "0"), "without a key")
    with server(tmp_path, "--host", "0.0.0.0", "--insecure") as (_, url):
        assert url.startswith("http://0.0.0.0:")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.2"])
def test_other_loopback_names(tmp_path: Path, host: str) -> None:
    with server(tmp_path, "--host", host) as (_, url):
        assert url.startswith(f"http://{host}:")
        assert json.load(urllib.request.urlopen(f"{url}/health/live")) == {"status": "ok"}


def test_busy_port(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        refused(run(tmp_path, "--port", str(other.getsockname()[1])), "cannot listen on 127.0.0.1:")


@pytest.mark.parametrize("arguments", [["--port", "x"], ["--port", "70000"], ["--host", "no such host."]])
def test_bad_arguments(tmp_path: Path, arguments: list[str]) -> None:
    refused(run(tmp_path, *arguments), "")


def test_bad_configuration(tmp_path: Path) -> None:
    refused(run(tmp_path, JOBQUEUE_SERVER_COLOUR="red"), "JOBQUEUE_SERVER_COLOUR")
    (tmp_path / "config.toml").write_text("[server]\nport = 70000\n")
    refused(run(tmp_path), "server.port")
    (tmp_path / "config.toml").write_text("nonsense")
    refused(run(tmp_path), "config.toml")


def test_descriptor_limit_is_raised(tmp_path: Path) -> None:
    with server(tmp_path) as (process, _):
        limits = Path(f"/proc/{process.pid}/limits").read_text("ascii")
        soft, hard = re.search(r"Max open files +(\S+) +(\S+)", limits).groups()  # type: ignore[union-attr]
        assert soft == hard


def test_sec_A18_without_the_c_parser_only_loopback_is_served(tmp_path: Path) -> None:
    plain = {"AIOHTTP_NO_EXTENSIONS": "1"}
    refused(run(tmp_path, "--host", "0.0.0.0", "--port", "0", "--insecure", **plain), "C parser")
    with server(tmp_path, **plain) as (process, url):
        assert json.load(urllib.request.urlopen(f"{url}/health/live")) == {"status": "ok"}
        process.terminate()
        assert "C parser" in process.communicate(timeout=10)[1]
    with server(tmp_path) as (process, _):
        process.terminate()
        assert "C parser" not in process.communicate(timeout=10)[1]


def test_sec_A8_allowed_hosts_are_configured(tmp_path: Path) -> None:
    with server(tmp_path, "--host", "0.0.0.0", "--insecure", JOBQUEUE_SERVER_ALLOWED_HOSTS="jobs.example.org") as (
        _,
        url,
    ):
        address = f"http://127.0.0.1:{url.rpartition(':')[2]}/health/live"
        for host, status in (("jobs.example.org", 200), ("evil.example", 421)):
            request = urllib.request.Request(address, headers={"Host": host})
            try:
                with urllib.request.urlopen(request) as answer:
                    assert answer.status == status
            except urllib.error.HTTPError as error:
                with error:
                    assert error.code == status


@pytest.mark.parametrize("number", ["0", "x", "65"])
def test_a_bad_number_of_processes(tmp_path: Path, number: str) -> None:
    refused(run(tmp_path, "--processes", number), "--processes")


def test_a_client_that_takes_nothing_of_its_answer_is_dropped_by_the_kernel() -> None:
    """What the option does is the kernel's promise; that accepted connections have it is ours."""
    settings = ServerSettings(port=0)
    with _listener(settings, insecure=False) as listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == LONGEST_STANDSTILL_MS
