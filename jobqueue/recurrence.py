"""When a schedule is due: pure functions of its rule, its next tick and the present. Times are unix microseconds.

A cron expression has the five fields of crontab (names, ranges, steps, `L`, `#`; or one of `@hourly` `@daily` `@weekly`
`@monthly` `@yearly`) and counts in its time zone. Where clocks are put forward, a run at a fixed time that does not
exist comes with the first moment that does; where they are put back, it comes once. Runs that are not at fixed times
(`*` in the hours or minutes) go on by the elapsed time.
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, lru_cache
from importlib.resources import files
from typing import Final, Literal, get_args
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from jobqueue.errors import InvalidSchedule

Missed = Literal["skip", "once"]

MICRO: Final = 1_000_000
# A tick that comes up to so much late is no missed one: servers restart, clocks are set.
LATE_US: Final = 60 * MICRO
MOST_INTERVAL_SECONDS: Final = 366 * 86400
MOST_CRON_CHARACTERS: Final = 256

_CRON: Final = re.compile(r"[0-9A-Za-z*,/#-]+([ \t]+[0-9A-Za-z*,/#-]+){4}", re.ASCII)
_NICKNAMES: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recurrence:
    """Either `cron` or `interval_seconds`. `timezone`: an IANA name, for cron. `missed`: what becomes of ticks that
    nobody was there for in time: `skip` runs nothing, `once` one job for all of them.
    """

    cron: str | None = None
    interval_seconds: int | None = None
    timezone: str = "UTC"
    missed: Missed = "skip"

    def check(self, now: int) -> int:
        """The first tick after `now`. Raises InvalidSchedule with the name of the wrong field."""
        self.check_form()
        first = self.first(now)
        if first is None:
            raise InvalidSchedule("cron", "is on no day of the next fifty years")
        return first

    def check_form(self) -> None:
        """What is well formed may still never fire. Raises InvalidSchedule with the name of the wrong field."""
        if self.missed not in get_args(Missed):
            raise InvalidSchedule("missed", f"must be one of {', '.join(get_args(Missed))}")
        if self.timezone not in zone_names():
            raise InvalidSchedule("timezone", "must be a name of the IANA time zone database, like Europe/Berlin")
        if self.cron is None and self.interval_seconds is None:
            raise InvalidSchedule("cron", "give one of cron and interval_seconds")
        if self.interval_seconds is not None:
            if self.cron is not None:
                raise InvalidSchedule("interval_seconds", "give one of cron and interval_seconds, not both")
            if not 1 <= self.interval_seconds <= MOST_INTERVAL_SECONDS:
                raise InvalidSchedule("interval_seconds", f"must be from 1 to {MOST_INTERVAL_SECONDS}")
        else:
            _check_cron(self.cron or "")

    def first(self, now: int) -> int | None:
        """The next tick of a schedule that begins (or goes on after a pause) now; None = never."""
        if self.interval_seconds is not None:
            return now + self.interval_seconds * MICRO
        return _next_of_cron(self.cron or "", self.timezone, now)

    def following(self, tick: int, now: int) -> int | None:
        """The tick after `tick` that is not over yet. Intervals keep step, however late a tick was noticed."""
        if self.interval_seconds is not None:
            interval = self.interval_seconds * MICRO
            return tick + ((now - tick) // interval + 1) * interval
        return _next_of_cron(self.cron or "", self.timezone, now)

    def repaired(self, tick: int, now: int) -> int | None:
        """Where a tick that lies ahead should stand when it cannot be right; None = it may be right.

        It lies too far ahead when the clock was wrong as it was computed, and went back since. Moving it to the first
        tick from now loses nothing, for it only comes earlier; and doubles nothing: a tick of cron that ran already has
        its job, known by an id made of the tick, and an interval begins anew with its full length. For a clock that
        went back by a minute at most nothing is moved: so much late is in time.
        A tick of cron before the next one was computed by other rules of its time zone; left there, the one by the new
        rules would be the second on that day.
        """
        right, late = self.first(now), self.first(now + LATE_US)
        if tick <= now or right is None:
            return None
        too_early = self.cron is not None and tick < right
        too_late = late is not None and tick > late
        return right if too_early or too_late else None

    def job_id(self, schedule_id: str, tick: int, runs: int) -> str:
        """Of the job for `tick`, when `runs` jobs were made before. The same tick of cron always gets the same id."""
        name = f"tick {tick}" if self.cron is not None else f"run {runs}"
        return str(uuid.uuid5(uuid.UUID(schedule_id), name))


@cache
def zone_names() -> frozenset[str]:
    """Without names that mean another place on each machine (`localtime`)."""
    names = (files("tzdata") / "zones").read_text("utf-8").split()
    return frozenset(names) - {"Factory"}


@lru_cache(maxsize=1024)
def zone(name: str) -> ZoneInfo:
    """From the package and not from the machine, so that all servers compute the same ticks."""
    path = files("tzdata") / "zoneinfo"
    for part in name.split("/"):
        path = path / part
    with path.open("rb") as file:
        return ZoneInfo.from_file(file, key=name)


def _check_cron(text: str) -> None:
    """Raises InvalidSchedule."""
    expression = _NICKNAMES.get(text, text)
    if len(expression) > MOST_CRON_CHARACTERS or not _CRON.fullmatch(expression):
        raise InvalidSchedule("cron", "must have five fields (minute hour day month weekday) like '0 3 * * MON-FRI'")
    try:
        CronSim(expression, datetime(2000, 1, 1, tzinfo=UTC))
    except (CronSimError, AssertionError, ValueError) as error:
        reason = str(error).replace("Bad ", "wrong ") or "not understood"
        raise InvalidSchedule("cron", f"is not a cron expression: {reason}") from None


def _next_of_cron(text: str, timezone: str, after: int) -> int | None:
    start = datetime.fromtimestamp(after // MICRO, UTC if timezone == "UTC" else zone(timezone))
    for moment in CronSim(_NICKNAMES.get(text, text), start):
        tick = int(moment.timestamp()) * MICRO
        # In an hour that comes twice, cronsim begins with the first one.
        if tick > after:
            return tick
    return None
