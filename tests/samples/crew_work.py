"""Work for the tests of crews: an order says what becomes of it."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from worker.jobs.shared.crew import Order
from worker.jobs.shared.errors import StorageError

FUNCTION = f"{__name__}:do"


def do(order: Order) -> Any:
    if "note" in order:
        Path(order["note"], str(os.getpid())).touch()
    if order["say"] == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if order["say"] == "wait":
        signal.pause()
    if order["say"] == "full":
        raise StorageError("There is no room.")
    if order["say"] == "much":
        raise MemoryError
    if order["say"] == "wrong":
        raise ValueError("no such work")
    print("what libraries print is no answer")
    return [order["say"], os.getpid()]
