"""Which of the categories are meant by ids, names and paths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from worker.context import PermanentError
from worker.jobs.dataset_generation.findings import Category

_SUGGESTIONS: Final = 3
_LEAST_ALIKE: Final = 60.0


def selected_paths(wanted: Sequence[str], categories: Sequence[Category]) -> list[tuple[str, ...]]:
    """Raises PermanentError `unknown_category` or `ambiguous_category`."""
    return [_resolve(name, categories) for name in wanted]


def is_below(path: tuple[str, ...], tops: Sequence[tuple[str, ...]]) -> bool:
    return any(path[: len(top)] == top for top in tops)


def _resolve(name: str, categories: Sequence[Category]) -> tuple[str, ...]:
    known = {category.path[:depth] for category in categories for depth in range(1, len(category.path) + 1)}
    paths = sorted(known)
    found = {category.path for category in categories if category.id == name}
    found = found or {path for path in paths if "/".join(path) == name}
    found = found or {path for path in paths if path[-1].lower() == name.strip().lower()}
    if len(found) > 1:
        listed = ", ".join(f"'{'/'.join(path)}'" for path in sorted(found)[:20])
        raise PermanentError("ambiguous_category", f"'{name[:200]}' is the name of several categories: {listed}.")
    if not found:
        raise PermanentError("unknown_category", f"There is no category '{name[:200]}'.{_suggestion(name, paths)}")
    return found.pop()


def _suggestion(name: str, paths: Sequence[tuple[str, ...]]) -> str:
    from rapidfuzz import fuzz, process, utils

    options = list(dict.fromkeys([*("/".join(path) for path in paths), *(path[-1] for path in paths)]))
    alike = process.extract(
        name, options, scorer=fuzz.WRatio, processor=utils.default_process, score_cutoff=_LEAST_ALIKE
    )
    names = ", ".join(f"'{option}'" for option, _, _ in alike[:_SUGGESTIONS])
    return f" Did you mean {names}?" if names else ""
