"""Places where a test stops this process dead: before and after each script call.

Off unless the variable FAILPOINTS names some, e.g. `advance.after:kill:2,extend.before:stop`: the second time that the
reply of `advance` has come the process is killed, the first time that `extend` is about to be sent it is frozen.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from typing import Final

from jobqueue.errors import ConfigurationError

VARIABLE: Final = "FAILPOINTS"
_SIGNALS: Final = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}

_hits: Counter[str] = Counter()


def parse(text: str) -> dict[str, tuple[signal.Signals, int]]:
    """Point -> what is done and at which hit. Raises ConfigurationError."""
    points = {}
    for entry in filter(None, text.split(",")):
        point, _, rest = entry.partition(":")
        action, _, hit = rest.partition(":")
        if (
            action not in _SIGNALS
            or not (hit or "1").isdecimal()
            or point.rpartition(".")[2] not in ("before", "after")
        ):
            raise ConfigurationError(f"{VARIABLE}: {entry} must look like claim.after:kill or claim.before:stop:2")
        points[point] = _SIGNALS[action], int(hit or "1")
    return points


_points: Final = parse(os.environ.get(VARIABLE, ""))
armed: Final = bool(_points)


def hit(script: str, moment: str) -> None:
    """`moment`: before or after. Callers ask `armed` first, so that it costs nothing in real life."""
    point = f"{script}.{moment}"
    _hits[point] += 1
    number, wanted = _points.get(point, (signal.SIGKILL, 0))
    if _hits[point] == wanted:
        os.kill(os.getpid(), number)
