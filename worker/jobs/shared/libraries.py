"""Libraries that come with an extra of this package."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

from worker.context import PermanentError


def require(names: Sequence[str], extra: str) -> None:
    """`names`: of modules. Raises PermanentError `missing_dependency`, which names those that are not there."""
    missing = [name for name in names if find_spec(name) is None]
    if missing:
        message = f"{', '.join(missing)} is not installed; install the extra '{extra}'."
        raise PermanentError("missing_dependency", message)
