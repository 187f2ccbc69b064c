"""Times as the API writes and reads them; inside they are unix microseconds."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_FORM: Final = re.compile(
    r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}([.,]\d{1,9})?)?(Z|[+-]\d{2}:?\d{2})?", re.ASCII | re.IGNORECASE
)
# Scripts compute with doubles, which are exact for microseconds until the year 2255.
_LATEST: Final = (datetime(2200, 1, 1, tzinfo=UTC) - _EPOCH) // _MICROSECOND


@lru_cache(maxsize=4096)
def to_text(micros: int | None) -> str | None:
    """`YYYY-MM-DDTHH:MM:SSZ`."""
    return None if micros is None else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(micros // 1_000_000))


def parse(text: str) -> int:
    """`Z`, any offset, or nothing, which is UTC. Raises ValueError."""
    if not _FORM.fullmatch(text):
        raise ValueError("must be a time like 2025-11-12T15:30:00Z")
    moment = datetime.fromisoformat(text.upper())
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    micros = (moment - _EPOCH) // _MICROSECOND
    if micros > _LATEST:
        raise ValueError("must be before the year 2200")
    return max(0, micros)
