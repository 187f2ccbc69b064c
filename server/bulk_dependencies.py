"""Jobs of one body that depend on each other: a job may only name those that stand before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from server.errors import InvalidParameterError
from server.submission import Checked, Draft


def refuse_cycles(entries: Sequence[Checked]) -> list[Checked]:
    """The same list, with a refusal for each job that names a later one."""
    places: dict[str, int] = {}
    for index, entry in enumerate(entries):
        if isinstance(entry, Draft):
            places.setdefault(entry.job.job_id, index)
    waits_for = {
        index: [places[parent] for parent in entry.job.depends_on if parent in places]
        for index, entry in enumerate(entries)
        if isinstance(entry, Draft)
    }
    return [_checked(index, entry, waits_for) for index, entry in enumerate(entries)]


def _checked(index: int, entry: Checked, waits_for: Mapping[int, Sequence[int]]) -> Checked:
    later = next((place for place in waits_for.get(index, ()) if place >= index), None)
    if later is None:
        return entry
    if _reaches(later, index, waits_for):
        text = "is a cycle: the job would wait for itself"
    else:
        text = f"names job {later} of this body, which comes later: put it first"
    return InvalidParameterError([(("depends_on",), text)])


def _reaches(start: int, goal: int, waits_for: Mapping[int, Sequence[int]]) -> bool:
    seen, to_visit = set(), [start]
    while to_visit:
        place = to_visit.pop()
        if place == goal:
            return True
        if place not in seen:
            seen.add(place)
            to_visit.extend(waits_for.get(place, ()))
    return False
