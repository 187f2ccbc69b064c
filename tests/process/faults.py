"""What the tests of storage faults share: requests whose head matters, submissions that may be refused."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from typing import Any

from support import System

from jobqueue.fsck import fsck


@dataclass(frozen=True)
class Answer:
    status: int
    retry_after: str | None
    body: dict[str, Any]


def ask(system: System, method: str, path: str, body: Any = None) -> Answer:
    """One request by its whole path."""
    connection = http.client.HTTPConnection("127.0.0.1", system.port, timeout=10)
    try:
        headers = {"Content-Type": "application/json"} if body is not None else {}
        connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        answer = connection.getresponse()
        return Answer(answer.status, answer.getheader("Retry-After"), json.loads(answer.read()))
    finally:
        connection.close()


def submit_answer(system: System, *, job_type: str = "loop", user: str = "ann", **parameters: Any) -> Answer:
    if job_type == "loop":
        parameters = {"trace": str(system.trace_file), **parameters}
    body = {"job_type": job_type, "user_id": user, "parameters": parameters}
    return ask(system, "POST", "/api/v1/jobs/submit", body)


def try_submit(system: System, *, user: str = "ann", **parameters: Any) -> str | None:
    """The id of the accepted job, None for a refusal, which must be a 503 that says when to come again."""
    answer = submit_answer(system, user=user, **parameters)
    if answer.status == 202:
        return str(answer.body["job_id"])
    assert answer.status == 503, answer
    assert answer.retry_after is not None
    return None


def refused_submit(system: System) -> Answer | None:
    """None when the job was accepted."""
    answer = submit_answer(system)
    return None if answer.status == 202 else answer


def assert_sound(system: System) -> None:
    client = system.redis()
    assert fsck(client) == []
    client.close()
