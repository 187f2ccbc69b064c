"""What several tests over a real Valkey hold in their hands."""

from __future__ import annotations

import pytest
import rq
from conftest import ValkeyServer
from hands import Hands
from rq.serializers import JSONSerializer

from jobqueue import JobQueue


@pytest.fixture
async def hands(queue: JobQueue, valkey: ValkeyServer) -> Hands:
    await queue.register_worker()
    return Hands(queue, valkey.client)


@pytest.fixture
def stock(valkey: ValkeyServer) -> rq.Queue:
    """A producer of RQ's own, for the same queue."""
    return rq.Queue("default", connection=valkey.client, serializer=JSONSerializer)
