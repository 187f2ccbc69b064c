"""What is wrong with a job's record that others wrote into, and what can be read of it all the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from jobqueue import record


def moment(text: str) -> int:
    """Unix microseconds. Raises ValueError for what no calendar has."""
    micros = record.whole(text)
    if not 0 <= micros < 10**18:
        raise ValueError(f"{micros} is no time")
    return micros


_READERS: Final[Mapping[str, Callable[[Mapping[str, str]], Any]]] = {
    "status": record.state_of,
    "x_core": record.read_core,
    "x_run": record.read_run,
    "x_mark": record.read_mark,
    "x_progress": lambda f: float(f["x_progress"]),
    "x_done": lambda f: record.whole(f["x_done"]),
    "x_total": lambda f: record.whole(f["x_total"]),
    "x_due": lambda f: moment(f["x_due"]),
    "x_order": lambda f: moment(f["x_order"]),
    "x_dependents": record.read_dependents,
    "x_expires": lambda f: record.whole(f["x_expires"]),
    "retries_left": lambda f: record.whole(f["retries_left"]),
}


def damaged_fields(f: Mapping[str, str]) -> list[str]:
    """Of these nobody can read what they must hold."""
    return [name for name in _READERS if name in f and not _is_readable(name, f)]


def _is_readable(name: str, f: Mapping[str, str]) -> bool:
    try:
        _READERS[name](f)
    except (ValueError, KeyError):
        return False
    return True


def reason(fields: list[str]) -> str:
    return f"the record is damaged: {', '.join(fields)}"


def without(f: Mapping[str, str], fields: list[str]) -> dict[str, str]:
    """The rest of the record; a job of which nobody knows how it stands has not ended."""
    rest = {name: value for name, value in f.items() if name not in fields}
    return {"status": "created", **rest}
