"""A plain function in a process of its own: what the child is told, and the outcome that it tells.

The child runs the job as a worker with threads would, RQ's callbacks included, and answers with the outcome in the
form in which it is stored: the worker need not be able to load the value.
"""

from __future__ import annotations

import base64
import logging
import pickle
import sys
from typing import Any, Final, TypedDict

from jobqueue.config import Settings
from jobqueue.job import Claimed, Completed, Failed, Outcome, Retried
from jobqueue.rq_format import EncodedResult, encode_result
from jobqueue.stock import StoredJob
from worker.child_protocol import CALL, OUTCOME, encode

# Pickle has no single error for what it cannot take.
NOT_SENDABLE: Final = (TypeError, AttributeError, pickle.PicklingError, RecursionError)


class Call(TypedDict):
    """`path`: the worker's `sys.path`, needed to load `job`: a pickle (base64) of Claimed, Settings, StoredJob."""

    path: list[str]
    log_level: int
    job: str


def call_for(job: Claimed, settings: Settings, stored: StoredJob | None) -> bytes:
    """The message. Raises one of NOT_SENDABLE when the arguments cannot be pickled."""
    inside = settings.model_copy(update={"worker": settings.worker.model_copy(update={"function_mode": "thread"})})
    text = base64.b64encode(pickle.dumps((job, inside, stored))).decode()
    level = logging.getLogger("worker.jobs").getEffectiveLevel()
    return encode(CALL, Call(path=sys.path, log_level=level, job=text))


def told(job: Claimed, outcome: Outcome | None) -> bytes:
    """The child's message."""
    if isinstance(outcome, Completed):
        return encode(OUTCOME, "completed", encode_result(outcome.result, job.serializer), outcome.size)
    if isinstance(outcome, Retried):
        value = encode_result(outcome.value, job.serializer)
        return encode(OUTCOME, "retried", value, outcome.most, outcome.intervals, outcome.at_front)
    if isinstance(outcome, Failed):
        return encode(OUTCOME, "failed", outcome.error, outcome.detail, outcome.permanent)
    return encode(OUTCOME, "stopped")


def understood(kind: str, *content: Any) -> Outcome | None:
    """What the child told. None: it stopped because it had been asked to."""
    if kind == "completed":
        value, size = content
        return Completed(EncodedResult(value), size)
    if kind == "retried":
        value, most, intervals, at_front = content
        return Retried(EncodedResult(value), most, tuple(intervals), at_front)
    return Failed(*content) if kind == "failed" else None
