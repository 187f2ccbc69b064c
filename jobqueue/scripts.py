"""Our Lua scripts as named calls: reads `lua/`, resolves includes, learns each script's arguments from its head.

An include comes once, after those that its head `Needs:`. Of one that has an `Exports:` line only those names are seen,
as Lua allows 200 a script; such a one may also be included `when needed`: its names are there after a call of
`load_<name>`, because a script's call pays for every function that it defines. An include's head names in `Loads:` what
it calls for when needed, and includes in a text line what may use its own names.

A script's head names its arguments (`local worker = ARGV[2]`); callers give them by keyword, and a batch follows as
items of the size that the head's `Items:` line tells. Scripts are called by hash, so several versions of this library
can work on one Redis.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

from jobqueue.wire import Argument

_ARGUMENT: Final = re.compile(r"^local (\w+) = (?:tonumber\()?ARGV\[(\d+)\]\)?(?: == '1')?$", re.M)
_INCLUDE: Final = re.compile(r"^-- include( when needed)?: (\w+)$", re.M)
_NEEDS: Final = re.compile(r"^-- .*\bNeeds: ((?:\w+, )*\w+)", re.M)
_LOADS: Final = re.compile(r"^-- .*\bLoads: ((?:\w+, )*\w+)", re.M)
_EXPORTS: Final = re.compile(r"^-- Exports: ([a-z_A-Z ]+)$", re.M)
_ITEMS: Final = re.compile(r"^-- Items: ([a-z_ ]+?)(?: \(.*)?$", re.M)

# Lua's stack bounds what one call may unpack, and a long script keeps everybody waiting.
MOST_ITEMS: Final = 1000


@dataclass(frozen=True, slots=True)
class Script:
    name: str
    text: str
    sha: str
    arguments: tuple[str, ...]
    item_size: int

    def argv(self, prefix: str, given: Mapping[str, Argument], items: Sequence[Argument]) -> list[Argument]:
        """The arguments in the script's order; a missing or unknown name is a TypeError."""
        names = self.arguments[1:]
        if given.keys() != set(names):
            raise TypeError(f"{self.name}.lua takes {names}, got {tuple(given)}")
        if items and (not self.item_size or len(items) % self.item_size or len(items) // self.item_size > MOST_ITEMS):
            raise TypeError(f"{self.name}.lua takes at most {MOST_ITEMS} items of {self.item_size} values")
        return [prefix, *[given[name] for name in names], *items]


@cache
def load(name: str) -> Script:
    folder = files("jobqueue") / "lua"
    source = (folder / f"{name}.lua").read_text("utf-8")
    places = _ARGUMENT.findall(source)
    if [int(place) for _, place in places] != list(range(1, len(places) + 1)) or places[0][0] != "prefix":
        raise TypeError(f"{name}.lua: the head must name ARGV[1] (prefix), ARGV[2], ... in order")
    items = _ITEMS.search(source)
    shebang, _, body = source.partition("\n")
    body = _nested(
        _INCLUDE.sub(_Includes(folder / "include"), body), (folder / "include" / "base.lua").read_text("utf-8")
    )
    text = f"{shebang}\nlocal ITEMS = {len(places) + 1}\n{body}"
    return Script(
        name=name,
        text=text,
        sha=hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest(),
        arguments=tuple(argument for argument, _ in places),
        item_size=len(items[1].split()) if items else 0,
    )


def _nested(body: str, base: str) -> str:
    """All that follows the names that everybody uses is a function in which they come from outside.

    To make a function Lua 5.1 looks for each local name that it refers to in a list of all such names, from the newest
    to the oldest; a name from further outside is found at once. That halves what a call costs before it does anything.
    """
    head, _, rest = body.partition(base)
    return f"{head}{base}local function run()\n{rest}end\nreturn run()\n" if rest else body


class _Includes:
    """Replaces the include lines of a text, in their order. `always`, `when_needed`: names of those that are there."""

    def __init__(self, folder: Traversable, always: Iterable[str] = (), when_needed: Iterable[str] = ()) -> None:
        self._folder = folder
        self._always = set(always)
        self._when_needed = set(when_needed)

    def __call__(self, line: re.Match[str]) -> str:
        name = line[2]
        if line[1]:
            return self._loader(name)
        if name in self._when_needed:
            raise TypeError(f"include {name} is there when needed only")
        return "".join(self._texts(name))

    def _texts(self, name: str) -> Iterator[str]:
        """Those that it needs first."""
        if name in self._when_needed:
            yield f"load_{name}()\n"
        if name in self._always | self._when_needed:
            return
        self._always.add(name)
        part = self._read(name)
        yield from self._before(part)
        if not part.exports:
            yield _INCLUDE.sub(self, part.text)
        else:
            yield f"local {', '.join(part.exports)}\ndo\n{_INCLUDE.sub(self._inside(), part.text)}end\n"

    def _before(self, part: _Part) -> Iterator[str]:
        for need in part.needs:
            yield from self._texts(need)
        for name in part.loads:
            yield self._loader(name)

    def _loader(self, name: str) -> str:
        """What only this one needs stays inside: few functions are cheaper to make than many."""
        if name in self._when_needed:
            return ""
        if name in self._always:
            return f"local function load_{name}() end\n"
        part = self._read(name)
        if not part.exports:
            raise TypeError(f"include {name} exports nothing")
        inside = self._inside()
        before = "".join(inside._before(part))
        text = _INCLUDE.sub(inside, part.text)
        self._when_needed.add(name)
        head = f"local {', '.join(part.exports)}\nlocal function load_{name}()\nif {part.exports[0]} then return end\n"
        return f"{head}{before}{text}end\n"

    def _inside(self) -> _Includes:
        """For a part whose own names nobody else sees."""
        return _Includes(self._folder, self._always, self._when_needed)

    def _read(self, name: str) -> _Part:
        text = (self._folder / f"{name}.lua").read_text("utf-8")
        needs, loads, exports = _NEEDS.search(text), _LOADS.search(text), _EXPORTS.search(text)
        return _Part(
            text,
            needs[1].split(", ") if needs else [],
            loads[1].split(", ") if loads else [],
            exports[1].split() if exports else [],
        )


@dataclass(frozen=True, slots=True)
class _Part:
    """An include: its text, names of others that it needs always and when needed, and names that it exports."""

    text: str
    needs: list[str]
    loads: list[str]
    exports: list[str]


def names() -> Iterable[str]:
    """The names of all scripts."""
    folder = files("jobqueue") / "lua"
    return sorted(entry.name.removesuffix(".lua") for entry in folder.iterdir() if entry.name.endswith(".lua"))
