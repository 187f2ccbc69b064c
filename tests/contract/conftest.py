"""Fixtures of the tests against stock RQ: an embedded Valkey and Debian's Redis, RQ's two serializers."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ValkeyServer
from rq_support import Processes, Site


@pytest.fixture(scope="module", params=["valkey", "redis"])
def rq_server(request: pytest.FixtureRequest) -> Iterator[ValkeyServer]:
    binary = None
    if request.param == "redis":
        binary = shutil.which("redis-server")
        if binary is None:
            pytest.skip("not run: Debian's redis-server is not installed")
    folder = Path(tempfile.mkdtemp(prefix="jq-rq-"))
    server = ValkeyServer(folder, binary=binary)
    yield server
    server.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["json", "pickle"])
def serializer(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def site(rq_server: ValkeyServer, tmp_path: Path, serializer: str) -> Site:
    """Stock producers and workers use either serializer."""
    rq_server.client.flushall()
    return Site(rq_server, tmp_path, serializer)


@pytest.fixture
def json_site(rq_server: ValkeyServer, tmp_path: Path) -> Site:
    """For stock workers that run what we wrote: that is always JSON."""
    rq_server.client.flushall()
    return Site(rq_server, tmp_path)


@pytest.fixture
def processes(site: Site) -> Iterator[Processes]:
    started = Processes(site)
    yield started
    started.stop()


@pytest.fixture
def json_processes(json_site: Site) -> Iterator[Processes]:
    started = Processes(json_site)
    yield started
    started.stop()
