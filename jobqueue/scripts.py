"""Our Lua scripts as named calls: reads `lua/`, resolves includes, learns each script's arguments from its head.

A script's head names its arguments (`local worker = ARGV[2]`); callers give them by keyword, and a batch follows as
items of the size that the head's `Items:` line tells. Scripts are called by hash, so several versions of this library
can work on one Redis.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

from jobqueue.wire import Argument

_ARGUMENT: Final = re.compile(r"^local (\w+) = (?:tonumber\()?ARGV\[(\d+)\]\)?(?: == '1')?$", re.M)
_INCLUDE: Final = re.compile(r"^-- include: (\w+)$", re.M)
_WHEN_NEEDED: Final = re.compile(r"^-- include when needed: (\w+)$", re.M)
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
    body = _INCLUDE.sub(lambda match: _scoped((folder / "include" / f"{match[1]}.lua").read_text("utf-8")), body)
    body = _WHEN_NEEDED.sub(
        lambda match: _callable(match[1], (folder / "include" / f"{match[1]}.lua").read_text("utf-8")), body
    )
    text = f"{shebang}\nlocal ITEMS = {len(places) + 1}\n{body}"
    return Script(
        name=name,
        text=text,
        sha=hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest(),
        arguments=tuple(argument for argument, _ in places),
        item_size=len(items[1].split()) if items else 0,
    )


def _scoped(include: str) -> str:
    """Lua allows 200 names a script: an include with an `Exports:` line keeps all its others to itself."""
    exports = _EXPORTS.search(include)
    if exports is None:
        return include
    return f"local {', '.join(exports[1].split())}\ndo\n{include}end\n"


def _callable(name: str, include: str) -> str:
    """Its exports are there after a call of `load_<name>`: a script's call pays for every function that it defines."""
    exports = _EXPORTS.search(include)
    if exports is None:
        raise TypeError(f"include {name} exports nothing")
    return f"local {', '.join(exports[1].split())}\nlocal function load_{name}()\n{include}end\n"


def names() -> Iterable[str]:
    """The names of all scripts."""
    folder = files("jobqueue") / "lua"
    return sorted(entry.name.removesuffix(".lua") for entry in folder.iterdir() if entry.name.endswith(".lua"))
