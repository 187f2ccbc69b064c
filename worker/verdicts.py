"""From what a function returned to the outcome that is recorded."""

from __future__ import annotations

import pickle
from typing import Any, Final

import orjson

from jobqueue import rq_format
from jobqueue.job import Completed, Failed
from worker.wording import Fault, encoded_result, fault

# Plain functions may answer far more than job types, short of what one call brings to a slow disk within its deadline.
MOST_PLAIN_RESULT_BYTES: Final = 16 * 1024 * 1024

CANCELLED_ITSELF: Final = Failed("CancelledError: the job ended as cancelled, but nobody had asked it to stop")
_NOTHING: Final = Completed()


def type_outcome(value: Any) -> Completed | Failed:
    checked = encoded_result(value)
    return Failed(*checked) if isinstance(checked, Fault) else Completed(value, len(checked))


def plain_outcome(value: Any, serializer: str) -> Completed | Failed:
    """As RQ does it: a value that cannot be stored does not make a finished function fail."""
    if value is None:
        return _NOTHING
    try:
        raw = pickle.dumps(value) if serializer == "pickle" else orjson.dumps(value)
    except (TypeError, pickle.PicklingError, AttributeError, RecursionError):
        return Completed(rq_format.UNSERIALIZABLE)
    if len(raw) > MOST_PLAIN_RESULT_BYTES:
        return Failed(*fault("ResultTooLarge", f"{len(raw)} bytes of {MOST_PLAIN_RESULT_BYTES} allowed"))
    return Completed(value, len(raw))
