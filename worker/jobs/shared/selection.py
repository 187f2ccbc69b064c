"""Which categories are meant by the ids, names and paths of `selected_categories`. Light: the server uses it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from worker.jobs.shared.errors import InputError
from worker.jobs.shared.refusals import Mistake

FIELD: Final = "selected_categories"
_SUGGESTIONS: Final = 3
_LEAST_ALIKE: Final = 60.0

Path_ = tuple[str, ...]
# The id, if it has one, and the names from the first level down.
Known = tuple[str | None, Path_]


def selected_paths(wanted: Sequence[str], known: Sequence[Known], depth: int | None = None) -> list[Path_]:
    """`depth`: the levels that may be selected.

    Raises InputError `unknown_category` or `ambiguous_category`, which names the field and the place in its list.
    """
    paths = []
    for number, name in enumerate(wanted):
        try:
            paths.append(_path_of(name, known, depth))
        except InputError as error:
            raise InputError(error.code, f"{FIELD}.{number}: {error}") from None
    return paths


def selection_mistakes(wanted: Sequence[str], known: Sequence[Known], depth: int | None = None) -> list[Mistake]:
    """All that `selected_paths` would raise for, for the parameters."""
    mistakes = []
    for number, name in enumerate(wanted):
        try:
            _path_of(name, known, depth)
        except InputError as error:
            mistakes.append(Mistake(error.code, (FIELD, number), str(error)))
    return mistakes


def _path_of(name: str, known: Sequence[Known], depth: int | None) -> Path_:
    """An id goes before a path, a path before a name."""
    found = {path for key, path in known if key == name}
    found = found or {path for _, path in known if "/".join(path) == name}
    found = found or {path for _, path in known if path[-1].lower() == name.strip().lower()}
    if len(found) > 1:
        paths = ", ".join(f"'{'/'.join(path)}'" for path in sorted(found)[:20])
        raise InputError("ambiguous_category", f"'{name[:200]}' is the name of several categories: {paths}.")
    if not found:
        raise InputError("unknown_category", f"There is no category '{name[:200]}'.{_suggestion(name, known)}")
    path = found.pop()
    if depth is not None and len(path) > depth:
        message = f"The category '{'/'.join(path)}' lies deeper than extraction_depth, which is {depth}."
        raise InputError("unknown_category", message)
    return path


def _suggestion(name: str, known: Sequence[Known]) -> str:
    try:
        from rapidfuzz import fuzz, process, utils
    except ModuleNotFoundError:  # a server without the extra
        return ""
    paths = sorted({path for _, path in known})
    options = dict.fromkeys([*("/".join(path) for path in paths), *(path[-1] for path in paths)])
    alike = process.extract(
        name, list(options), scorer=fuzz.WRatio, processor=utils.default_process, score_cutoff=_LEAST_ALIKE
    )
    names = ", ".join(f"'{option}'" for option, _, _ in alike[:_SUGGESTIONS])
    return f" Did you mean {names}?" if names else ""
