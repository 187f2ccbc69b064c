"""What an attacker at Redis can do and what not: records by his hand, and the rights of a stolen password."""

from __future__ import annotations

import json
import pickle
import shutil
import stat
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis
from conftest import ValkeyServer
from support import CONFIG, LEASE, System, running

from jobqueue.fsck import fsck
from jobqueue.keys import Keys
from jobqueue.link import Link
from jobqueue.server_version import check_server

pytestmark = [pytest.mark.process, pytest.mark.timeout(120)]

KEYS = Keys("rq")
RIGHTS = (
    "resetkeys ~rq:* resetchannels &rq:* -@all +@read +@write +@connection +publish +subscribe +unsubscribe"
    " -@admin -@dangerous +eval +evalsha +script|load +time +info"
)


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    yield from running(tmp_path)


@pytest.fixture
def own_valkey() -> Iterator[ValkeyServer]:
    folder = Path(tempfile.mkdtemp(prefix="jq-"))
    server = ValkeyServer(folder)
    yield server
    server.stop()
    shutil.rmtree(folder, ignore_errors=True)


class Evil:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, (str(self.mark), "w"))


def call(*arguments: Any, function: str = "evil_import.run") -> str:
    return json.dumps([function, None, list(arguments), {}])


def payloads(mark: Path) -> dict[str, bytes]:
    head = b'["worker.rq_entry.run_job",null,["loop",'
    return {
        "deep lists": head + b"[" * 100_000 + b"]" * 100_000 + b"],{}]",
        "deep objects": head + b'{"a":' * 50_000 + b"1" + b"}" * 50_000 + b"],{}]",
        "huge integer": head + b'{"seconds":' + b"9" * 100_000 + b"}],{}]",
        "huge exponent": head + b'{"seconds":1e999999}],{}]',
        "NaN": head + b'{"seconds":NaN}],{}]',
        "surrogate": head + b'{"trace":"\\ud800"}],{}]',
        "garbage": bytes(range(256)) * 20,
        "empty": b"",
        "no call": b'{"a": 1}',
        "torn zlib": zlib.compress(head * 100)[:-20],
        "zlib bomb": zlib.compress(b"[" * 300_000_000, 9),
        "pickle with a global": zlib.compress(pickle.dumps(("a.b", None, (Evil(mark),), {}))),
        "pickle of deep lists": b"\x80\x04" + b"(" * 100_000 + b"l" * 100_000 + b".",
        "torn pickle": pickle.dumps(("a.b", None, ("x" * 1000,), {}))[:-500],
    }


def test_sec_B2_B7_hostile_data_fails_its_job_with_words_and_the_worker_goes_on(system: System, tmp_path: Path) -> None:
    system.server()
    mark = tmp_path / "mark"
    jobs = {
        name: (system.submit(user=f"user{number}"), data) for number, (name, data) in enumerate(payloads(mark).items())
    }
    client = system.redis()
    for job_id, data in jobs.values():
        client.hset(KEYS.job(job_id), "data", data)
    worker = system.worker()
    for job_id, _ in jobs.values():
        assert system.wait_status(job_id, "failed")["attempt"] == 1
        error = system.http("GET", f"/result/{job_id}")[1]["error"]
        assert error and error.isprintable() and len(error) <= 1000
    healthy = system.submit()
    system.wait_status(healthy, "completed")
    assert worker.poll() is None and not mark.exists()
    assert fsck(client) == []
    client.close()


def test_sec_B3_no_name_in_a_record_is_imported(system: System, tmp_path: Path) -> None:
    """Every field of RQ that names code, pointing to a module that would leave a trace when it is imported."""
    mark = tmp_path / "mark"
    (tmp_path / "evil_import.py").write_text(f"open({str(mark)!r}, 'w').close()\ndef run(*_): ...\nclass Job: ...\n")
    system.server()
    plain, decorated = system.submit(user="ann"), system.submit(user="bob")
    names = ("success_callback_name", "failure_callback_name", "stopped_callback_name", "job_class", "connection_class")
    client = system.redis()
    for job_id in (plain, decorated):
        client.hset(KEYS.job(job_id), mapping=dict.fromkeys((*names, "func_name"), "evil_import.run"))
    core_without_type = client.hget(KEYS.job(plain), "x_core").replace(b"loop", b"evil_import.run")
    client.hset(KEYS.job(plain), mapping={"data": call(), "x_core": core_without_type})
    client.close()
    system.worker()
    system.wait_status(decorated, "completed")
    system.wait_status(plain, "failed")
    assert "FunctionNotAllowed" in system.http("GET", f"/result/{plain}")[1]["error"]
    assert not mark.exists()


def test_sec_B1_the_embedded_valkey_is_reached_by_its_owner_only(system: System) -> None:
    system.server()
    client = system.redis()
    pid = system.valkey_pid()
    assert psutil.Process(pid).net_connections("inet") == []
    paths = [Path(item.laddr) for item in psutil.Process(pid).net_connections("unix") if item.laddr]
    assert paths
    for path in paths:
        assert stat.S_IMODE(path.stat().st_mode) == 0o700 and stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    settings = client.config_get("port", "enable-*-command", "enable-protected-configs")
    assert settings == {
        "port": "0",
        "enable-debug-command": "no",
        "enable-module-command": "no",
        "enable-protected-configs": "no",
    }
    for command in (("DEBUG", "JMAP"), ("MODULE", "LOAD", "x.so"), ("CONFIG", "SET", "dir", "/tmp")):
        with pytest.raises(redis.ResponseError):
            client.execute_command(*command)
    client.close()


def use(system: System, url: str) -> None:
    config = CONFIG.format(lease=LEASE, total=10, per_user=3, concurrency=4, grace=5)
    (system.folder / "config.toml").write_text(f'[redis]\nurl = "{url}"\n{config}')


def test_sec_B5_a_user_with_few_rights_is_enough_for_everything(
    system: System, own_valkey: ValkeyServer, tmp_path: Path
) -> None:
    own_valkey.client.execute_command("ACL", "SETUSER", "jobs", "on", ">password", *RIGHTS.split())
    own_valkey.client.config_set("appendonly", "yes")
    use(system, f"unix://jobs:password@{own_valkey.socket}?db=0")
    system.server()
    system.worker()
    for kind in ("loop", "child"):
        system.wait_status(system.submit(kind), "completed")
    job_id = system.submit(seconds=30)
    system.wait_status(job_id, "running")
    assert system.http("POST", f"/cancel/{job_id}")[0] == 200
    assert system.http("POST", f"/restart/{job_id}")[0] == 200
    system.wait_status(job_id, "running")
    assert system.http("POST", f"/cancel/{job_id}")[0] == 200
    assert system.http("GET", "/queue/stats")[0] == 200
    text = (tmp_path / "log").read_text()
    assert "NOPERM" not in text and "permission" not in text.lower()
    refused = [entry for entry in own_valkey.client.acl_log() if entry["username"] == "jobs"]
    assert refused == []


@pytest.mark.parametrize(
    "command",
    [
        ("GET", "other"), ("SET", "other", "1"), ("DEL", "other"), ("RENAME", "rq:a", "other"), ("KEYS", "*"),
        ("FLUSHALL",), ("FLUSHDB",), ("CONFIG", "GET", "*"), ("CONFIG", "SET", "dir", "/"), ("ACL", "LIST"),
        ("MODULE", "LIST"), ("DEBUG", "SLEEP", "0"), ("SHUTDOWN",), ("REPLICAOF", "no", "one"), ("SCRIPT", "FLUSH"),
        ("SCRIPT", "KILL"), ("FUNCTION", "LIST"), ("MONITOR",), ("CLIENT", "LIST"), ("CLIENT", "KILL", "x"), ("SAVE",),
        ("PUBLISH", "other", "x"), ("SUBSCRIBE", "other"), ("MIGRATE", "h", "1", "rq:a", "0", "1"),
        ("EVAL", "return redis.call('GET', 'other')", "0"), ("EVAL", "return redis.call('FLUSHALL')", "0"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_sec_B5_that_user_can_touch_nothing_else(own_valkey: ValkeyServer, command: tuple[str, ...]) -> None:
    own_valkey.client.set("other", "1")
    own_valkey.client.execute_command("ACL", "SETUSER", "jobs", "on", ">password", *RIGHTS.split())
    with redis.Redis(unix_socket_path=str(own_valkey.socket), username="jobs", password="password") as client:
        with pytest.raises(redis.ResponseError, match=r"NOPERM|[Pp]ermission|can't access|DEBUG command not allowed"):
            client.execute_command(*command)
        client.set("rq:own", "1")
    assert own_valkey.client.get("other") == b"1"


async def test_sec_D12_a_real_server_that_loses_jobs_is_warned_of(own_valkey: ValkeyServer) -> None:
    own_valkey.client.config_set("maxmemory-policy", "allkeys-lru")
    link = Link(own_valkey.url, "test")
    try:
        found = "\n".join(await check_server(link))
        assert "allkeys-lru" in found and "appendonly is off" in found and "CVE" not in found
        own_valkey.client.config_set("maxmemory-policy", "noeviction")
        own_valkey.client.config_set("appendonly", "yes")
        assert await check_server(link) == []
    finally:
        await link.close()
