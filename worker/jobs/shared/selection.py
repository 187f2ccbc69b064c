"""Which categories are meant by the ids, names and paths of `selected_categories`. Light: the server uses it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from worker.jobs.shared.errors import InputError
from worker.jobs.shared.refusals import Mistake
from worker.jobs.shared.taxonomy import Path_

FIELD: Final = "selected_categories"
# Comparing takes a while, and the server has others to answer.
MOST_SUGGESTED: Final = 3
_MOST_COMPARED: Final = 1000
_SUGGESTIONS: Final = 3
_LEAST_ALIKE: Final = 60.0

# With the id, if it has one.
Known = tuple[str | None, Path_]


def selected_paths(wanted: Sequence[str], known: Sequence[Known], depth: int | None = None) -> list[Path_]:
    """`depth`: the levels that may be selected.

    Raises InputError `unknown_category` or `ambiguous_category`, which names the field and the place in its list.
    """
    paths, mistakes = _selected(wanted, known, depth, 1)
    for mistake in mistakes:
        raise InputError(mistake.code, f"{'.'.join(map(str, mistake.place))}: {mistake.text}")
    return paths


def selection_mistakes(wanted: Sequence[str], known: Sequence[Known], depth: int | None = None) -> list[Mistake]:
    """All that `selected_paths` would raise for, for the parameters."""
    return _selected(wanted, known, depth, MOST_SUGGESTED)[1]


def _selected(
    wanted: Sequence[str], known: Sequence[Known], depth: int | None, suggested: int
) -> tuple[list[Path_], list[Mistake]]:
    names = _Names(known)
    paths: list[Path_] = []
    mistakes: list[Mistake] = []
    for number, name in enumerate(wanted):
        try:
            paths.append(names.path_of(name, depth, with_suggestion=len(mistakes) < suggested))
        except InputError as error:
            mistakes.append(Mistake(error.code, (FIELD, number), str(error)))
    return paths, mistakes


class _Names:
    def __init__(self, known: Sequence[Known]) -> None:
        self._by_id: dict[str, set[Path_]] = {}
        self._by_path: dict[str, set[Path_]] = {}
        self._by_name: dict[str, set[Path_]] = {}
        for key, path in known:
            if key is not None:
                self._by_id.setdefault(key, set()).add(path)
            self._by_path.setdefault("/".join(path), set()).add(path)
            self._by_name.setdefault(path[-1].lower(), set()).add(path)

    def path_of(self, name: str, depth: int | None, *, with_suggestion: bool) -> Path_:
        """An id goes before a path, a path before a name."""
        found = self._by_id.get(name) or self._by_path.get(name) or self._by_name.get(name.strip().lower()) or ()
        if len(found) > 1:
            paths = ", ".join(f"'{'/'.join(path)}'" for path in sorted(found)[:20])
            raise InputError("ambiguous_category", f"'{name[:200]}' is the name of several categories: {paths}.")
        if not found:
            more = self._suggestion(name) if with_suggestion else ""
            raise InputError("unknown_category", f"There is no category '{name[:200]}'.{more}")
        (path,) = found
        if depth is not None and len(path) > depth:
            message = f"The category '{'/'.join(path)}' lies deeper than extraction_depth, which is {depth}."
            raise InputError("unknown_category", message)
        return path

    def _suggestion(self, name: str) -> str:
        try:
            from rapidfuzz import fuzz, process, utils
        except ModuleNotFoundError:  # a server without the extra
            return ""
        paths = sorted({path for paths in self._by_path.values() for path in paths})[:_MOST_COMPARED]
        options = dict.fromkeys([*("/".join(path) for path in paths), *(path[-1] for path in paths)])
        alike = process.extract(
            name, list(options), scorer=fuzz.WRatio, processor=utils.default_process, score_cutoff=_LEAST_ALIKE
        )
        names = ", ".join(f"'{option}'" for option, _, _ in alike[:_SUGGESTIONS])
        return f" Did you mean {names}?" if names else ""
