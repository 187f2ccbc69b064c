"""How scripts are put together from their includes, and that no name in them is a mistake."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from shutil import which

import pytest

from jobqueue import scripts

COMPILER = which("luac5.1")
# What Redis gives to every script.
GIVEN = {
    "ARGV", "cjson", "error", "ipairs", "math", "next", "pairs", "pcall", "redis", "select", "string", "table",
    "tonumber", "tostring", "type", "unpack",
}  # fmt: skip
HEAD = "#!lua\n-- Result: 1.\nlocal prefix = ARGV[1]\n"
SCRIPT = "-- include: top\nreturn 1\n"


@pytest.fixture
def lua(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for scripts of this test's own."""
    (tmp_path / "lua" / "include").mkdir(parents=True)
    monkeypatch.setattr(scripts, "files", lambda _: tmp_path)
    scripts.load.cache_clear()
    yield tmp_path / "lua"
    scripts.load.cache_clear()


def write(lua: Path, script: str, **includes: str) -> None:
    (lua / "s.lua").write_text(HEAD + "-- include: base\n" + script)
    for name, text in {"base": "-- b\n", **includes}.items():
        (lua / "include" / f"{name}.lua").write_text(text)


def text(lua: Path) -> list[str]:
    """Without the head, and without what follows `base` being a function of its own."""
    lines = scripts.load("s").text.removeprefix("#!lua\nlocal ITEMS = 2\n").splitlines()[2:]
    start = lines.index("local function run()")
    assert lines[:start] == ["-- b"] and lines[-2:] == ["end", "return run()"]
    return lines[start + 1 : -2]


@pytest.mark.skipif(COMPILER is None, reason="not run: lua5.1 is not installed")
@pytest.mark.parametrize("name", list(scripts.names()))
def test_every_name_in_a_script_is_defined(name: str, tmp_path: Path) -> None:
    _, _, source = scripts.load(name).text.partition("\n")
    (tmp_path / "script.lua").write_text(source)
    listing = subprocess.run(
        [str(COMPILER), "-l", "-p", tmp_path / "script.lua"], capture_output=True, text=True, check=True, timeout=60
    )
    assert set(re.findall(r"[GS]ETGLOBAL\s.*; (\w+)", listing.stdout)) <= GIVEN


def test_an_include_comes_once_and_after_what_it_needs(lua: Path) -> None:
    write(lua, "-- include: side\n" + SCRIPT, side="-- Needs: base.\n", top="-- Needs: base, side.\n")
    assert text(lua) == ["", "-- Needs: base.", "", "-- Needs: base, side.", "", "return 1"]


def test_only_exports_of_an_include_are_seen(lua: Path) -> None:
    write(lua, SCRIPT, top="-- Exports: one two\none, two = 1, 2\n")
    assert text(lua)[1:] == [
        "local one, two", "do", "-- Exports: one two", "one, two = 1, 2", "end", "", "return 1",
    ]  # fmt: skip


def test_what_is_included_when_needed_brings_what_only_it_needs(lua: Path) -> None:
    top = "-- Needs: base, own.\n-- Exports: f\nf = g\n"
    write(lua, "-- include when needed: top\nreturn 1\n", own="-- Exports: g\ng = 1\n", top=top)
    assert text(lua)[1:] == [
        "local f", "local function load_top()", "if f then return end",
        "local g", "do", "-- Exports: g", "g = 1", "end",
        *top.splitlines(), "end", "",
        "return 1",
    ]  # fmt: skip


def test_what_two_may_need_is_loaded_by_both(lua: Path) -> None:
    own, top, side = "-- Exports: g\n", "-- Needs: own.\n-- Exports: f\n", "-- include when needed: own\n"
    script = "-- include: side\n-- include when needed: top\nreturn 1\n"
    write(lua, script, own=own, top=top, side=side)
    loads_own = ["local g", "local function load_own()", "if g then return end", "-- Exports: g", "end"]
    loads_top = ["local f", "local function load_top()", "if f then return end", "load_own()", *top.splitlines(), "end"]
    assert [line for line in text(lua) if line] == [*loads_own, *loads_top, "return 1"]


def test_what_is_there_anyway_is_loaded_by_nobody(lua: Path) -> None:
    own, side = "-- Exports: g\n", "-- include when needed: own\n"
    write(lua, "-- include: own\n-- include: side\nreturn 1\n", own=own, side=side)
    assert [line for line in text(lua) if line] == [
        "local g", "do", "-- Exports: g", "end", "local function load_own() end", "return 1",
    ]  # fmt: skip


def test_what_an_include_loads_is_there_for_all_that_follow(lua: Path) -> None:
    own, top = "-- Exports: g\n", "-- Loads: own.\n-- Exports: f\n"
    write(lua, "-- include: top\n-- include: side\nreturn 1\n", own=own, top=top, side="-- Needs: own.\n")
    assert [line for line in text(lua) if line] == [
        "local g", "local function load_own()", "if g then return end", "-- Exports: g", "end",
        "local f", "do", *top.splitlines(), "end", "load_own()", "-- Needs: own.", "return 1",
    ]  # fmt: skip


def test_what_an_include_defines_among_its_own_names_is_there_for_nobody_else(lua: Path) -> None:
    own, top = "-- Exports: g\n", "-- Exports: f\n-- include when needed: own\n"
    write(lua, "-- include: top\n-- include when needed: own\nreturn 1\n", own=own, top=top)
    loads_own = ["local g", "local function load_own()", "if g then return end", "-- Exports: g", "end"]
    assert [line for line in text(lua) if line] == [
        "local f", "do", "-- Exports: f", *loads_own, "end", *loads_own, "return 1",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("script", "top", "error"),
    [
        ("-- include when needed: top\n", "-- exports nothing\n", "top exports nothing"),
        ("-- include when needed: top\n-- include: top\n", "-- Exports: f\nf = 1\n", "top is there when needed only"),
    ],
)
def test_includes_that_make_no_sense(lua: Path, script: str, top: str, error: str) -> None:
    write(lua, script, top=top)
    with pytest.raises(TypeError, match=error):
        scripts.load("s")
