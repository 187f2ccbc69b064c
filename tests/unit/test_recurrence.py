"""When schedules are due: cron with its time zone and its changes of clocks, intervals, and wrong clocks."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobqueue import Recurrence
from jobqueue.errors import InvalidSchedule
from jobqueue.recurrence import LATE_US, MICRO, zone, zone_names

HOUR = 3600 * MICRO
NOON = int(datetime(2026, 11, 26, 12, tzinfo=UTC).timestamp()) * MICRO


def us(text: str, place: str = "UTC") -> int:
    moment = datetime.fromisoformat(text)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=zone(place))).timestamp()) * MICRO


def ticks(rule: Recurrence, start: int, count: int) -> list[str]:
    """The next ticks in local time with its offset."""
    found, now = [], start
    for _ in range(count):
        tick = rule.first(now)
        assert tick is not None and tick > now
        found.append(datetime.fromtimestamp(tick // MICRO, zone(rule.timezone)).isoformat(timespec="minutes"))
        now = tick
    return found


@pytest.mark.parametrize(
    ("cron", "following"),
    [
        ("* * * * *", "2026-11-26T12:01+00:00"),
        ("*/15 * * * *", "2026-11-26T12:15+00:00"),
        ("0 12 * * *", "2026-11-27T12:00+00:00"),
        ("30 9 * * MON-FRI", "2026-11-27T09:30+00:00"),
        ("0  0\t1 jan *", "2027-01-01T00:00+00:00"),
        ("0 0 29 2 *", "2028-02-29T00:00+00:00"),
        ("0 0 L * *", "2026-11-30T00:00+00:00"),
        ("0 0 * * FRI#1", "2026-12-04T00:00+00:00"),
        ("0 0 13 * FRI", "2026-11-27T00:00+00:00"),
        ("@hourly", "2026-11-26T13:00+00:00"),
        ("@daily", "2026-11-27T00:00+00:00"),
        ("@weekly", "2026-11-29T00:00+00:00"),
        ("@monthly", "2026-12-01T00:00+00:00"),
        ("@yearly", "2027-01-01T00:00+00:00"),
    ],
)
def test_cron_knows_its_next_tick(cron: str, following: str) -> None:
    rule = Recurrence(cron=cron)
    assert ticks(rule, NOON, 1) == [following]
    assert rule.check(NOON) == rule.first(NOON) == rule.following(NOON, NOON)


def test_a_tick_is_after_the_present_never_at_it() -> None:
    rule = Recurrence(cron="0 12 * * *")
    assert rule.first(NOON - 1) == NOON
    assert rule.first(NOON) == NOON + 24 * HOUR


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("Europe/Berlin", "2026-11-26T15:00+01:00"),
        ("America/New_York", "2026-11-26T15:00-05:00"),
        ("Asia/Kolkata", "2026-11-27T15:00+05:30"),
    ],
)
def test_cron_counts_in_its_zone(place: str, expected: str) -> None:
    assert ticks(Recurrence(cron="0 15 * * *", timezone=place), NOON, 1) == [expected]


def test_forward_a_fixed_time_that_does_not_exist_comes_with_the_first_moment_that_does() -> None:
    rule = Recurrence(cron="30 2 * * *", timezone="Europe/Berlin")
    start = us("2026-03-28T03:00", "Europe/Berlin")
    assert ticks(rule, start, 2) == ["2026-03-29T03:00+02:00", "2026-03-30T02:30+02:00"]


def test_back_a_fixed_time_that_exists_twice_comes_once() -> None:
    rule = Recurrence(cron="30 2 * * *", timezone="Europe/Berlin")
    start = us("2026-10-24T03:00", "Europe/Berlin")
    assert ticks(rule, start, 2) == ["2026-10-25T02:30+02:00", "2026-10-26T02:30+01:00"]
    second_pass = us("2026-10-25T02:10+01:00")
    assert ticks(rule, second_pass, 1) == ["2026-10-26T02:30+01:00"], "not the one that is an hour ago"


def test_forward_and_back_the_hours_go_on_by_the_elapsed_time() -> None:
    rule = Recurrence(cron="*/30 * * * *", timezone="Europe/Berlin")
    forward = ticks(rule, us("2026-03-29T01:00", "Europe/Berlin"), 3)
    assert forward == ["2026-03-29T01:30+01:00", "2026-03-29T03:00+02:00", "2026-03-29T03:30+02:00"]
    back = ticks(rule, us("2026-10-25T02:00+02:00"), 4)
    assert [text[11:] for text in back] == ["02:30+02:00", "02:00+01:00", "02:30+01:00", "03:00+01:00"]


def test_each_day_has_its_run_whatever_the_clocks_do() -> None:
    for place in ("Europe/Berlin", "America/New_York", "Australia/Sydney", "America/Asuncion", "Africa/Casablanca"):
        for cron in ("30 2 * * *", "0 0 * * *", "15 1 * * *"):
            days = [text[:10] for text in ticks(Recurrence(cron=cron, timezone=place), us("2026-01-01T00:00"), 364)]
            assert len(set(days)) == len(days) and days == sorted(days), (place, cron)
            assert (us(days[-1]) - us(days[0])) // (24 * HOUR) == 363, (place, cron)


@given(
    start=st.integers(us("2026-01-01T00:00") // MICRO, us("2028-01-01T00:00") // MICRO),
    later=st.integers(1, 7 * 86400),
    place=st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "America/St_Johns"]),
    cron=st.sampled_from(["30 2 * * *", "*/7 * * * *", "0 */5 * * *", "5,55 1-3 * * *", "0 3 * * SUN", "* 2 * * *"]),
)
def test_the_next_tick_stays_the_next_until_it_comes(start: int, later: int, place: str, cron: str) -> None:
    """Whoever computes it, and when: this is what makes it safe to compute it again."""
    rule = Recurrence(cron=cron, timezone=place)
    tick, now = rule.first(start * MICRO), (start + later) * MICRO
    assert tick is not None
    again = rule.first(now)
    assert again is not None and again > now
    assert again == tick if now < tick else again > tick
    assert rule.repaired(tick, start * MICRO) is None


def test_an_interval_begins_now_and_keeps_step() -> None:
    rule = Recurrence(interval_seconds=3600)
    assert rule.check(NOON) == NOON + HOUR
    assert rule.following(NOON, NOON) == NOON + HOUR, "noticed in time"
    assert rule.following(NOON, NOON + 59 * MICRO) == NOON + HOUR, "noticed late"
    assert rule.following(NOON, NOON + HOUR) == NOON + 2 * HOUR, "noticed when the next one is due"
    assert rule.following(NOON, NOON + 5 * HOUR + 1) == NOON + 6 * HOUR, "after an outage"


@given(interval=st.integers(1, 366 * 86400), lateness=st.integers(0, 10**15))
def test_the_following_tick_of_an_interval_is_the_first_one_ahead(interval: int, lateness: int) -> None:
    now = NOON + lateness
    following = Recurrence(interval_seconds=interval).following(NOON, now)
    assert following is not None
    assert now < following <= now + interval * MICRO and (following - NOON) % (interval * MICRO) == 0


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("cron", {}),
        ("interval_seconds", {"cron": "* * * * *", "interval_seconds": 60}),
        ("interval_seconds", {"interval_seconds": 0}),
        ("interval_seconds", {"interval_seconds": -1}),
        ("interval_seconds", {"interval_seconds": 366 * 86400 + 1}),
        ("missed", {"interval_seconds": 60, "missed": "twice"}),
        *(
            ("timezone", {"cron": "* * * * *", "timezone": name})
            for name in (
                "", "Mars/Olympus", "europe/berlin", "Europe", "localtime", "Factory", "../UTC", "/etc/passwd", "\0",
            )
        ),
        *(
            ("cron", {"cron": text})
            for text in (
                "", " ", "*", "* * * *", "* * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * 32 * *",
                "* * * 13 *", "* * * * 8", "a * * * *", "*/0 * * * *", "5-1 * * * *", ",* * * * *", "1,,2 * * * *",
                "1- * * * *", "* * * * MON#6", "* * * * L", "* * 1-L * *", "٣ * * * *", "* * * * *\n",
                "* * * * * # nightly",
                "@reboot", "@never", "0 0 30 2 *", "0 0 31 4,6 *", "0 0 */30 2 FRI#4", "1," * 200 + "1 * * * *",
            )
        ),
    ],
    ids=repr,
)  # fmt: skip
def test_nonsense_is_refused_by_the_name_of_its_field(field: str, values: dict[str, Any]) -> None:
    with pytest.raises(InvalidSchedule) as caught:
        Recurrence(**values).check(NOON)
    assert caught.value.field == field and str(caught.value)


def test_every_zone_that_is_accepted_can_be_used() -> None:
    assert len(zone_names()) > 400
    for name in zone_names():
        assert Recurrence(cron="0 0 * * *", timezone=name).check(NOON) <= NOON + 24 * HOUR


@pytest.mark.parametrize(
    "rule",
    [
        Recurrence(interval_seconds=3600),
        Recurrence(cron="0 * * * *"),
        Recurrence(cron="0 * * * *", timezone="Asia/Tokyo"),
    ],
    ids=repr,
)
class TestRepair:
    def test_a_right_tick_is_left_alone(self, rule: Recurrence) -> None:
        right = rule.first(NOON)
        assert right is not None
        for now in range(NOON, right, 10 * 60 * MICRO):
            assert rule.repaired(right, now) is None
        assert rule.repaired(right, right + 5 * HOUR) is None, "it is due: firing it is somebody else's work"

    def test_a_clock_that_went_back_a_little_repeats_nothing(self, rule: Recurrence) -> None:
        right = rule.first(NOON)
        assert right is not None
        assert rule.repaired(right, NOON - LATE_US // 2) is None

    def test_after_a_clock_was_far_ahead_the_next_tick_is_the_first_from_now(self, rule: Recurrence) -> None:
        wrong = rule.first(NOON + 365 * 24 * HOUR)
        assert wrong is not None
        right = rule.repaired(wrong, NOON)
        assert right == rule.first(NOON) and right is not None and NOON < right <= NOON + HOUR
        assert rule.repaired(right, NOON) is None


def test_a_tick_by_older_rules_of_its_zone_is_moved_to_the_one_by_the_present_rules() -> None:
    rule = Recurrence(cron="0 3 * * *", timezone="Europe/Berlin")
    right = rule.first(NOON)
    assert right is not None
    assert rule.repaired(right - HOUR, NOON) == right
    assert Recurrence(interval_seconds=3 * 3600).repaired(NOON + 1, NOON) is None, "an interval is due at any time"


def test_a_tick_of_cron_has_one_job_and_each_run_of_an_interval_its_own() -> None:
    cron, interval = Recurrence(cron="0 * * * *"), Recurrence(interval_seconds=3600)
    one, other = str(uuid.uuid4()), str(uuid.uuid4())
    assert cron.job_id(one, NOON, 0) == cron.job_id(one, NOON, 7)
    assert interval.job_id(one, NOON, 0) == interval.job_id(one, NOON + 1, 0) != interval.job_id(one, NOON, 1)
    ids = {cron.job_id(one, NOON, 0), cron.job_id(other, NOON, 0), cron.job_id(one, NOON + HOUR, 0)}
    ids |= {interval.job_id(one, NOON, 0), interval.job_id(other, NOON, 0)}
    assert len(ids) == 5 and all(str(uuid.UUID(job_id)) == job_id for job_id in ids)
