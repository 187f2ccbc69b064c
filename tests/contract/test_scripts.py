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
    (lua / "s.lua").write_text(HEAD + script)
    for name, text in includes.items():
        (lua / "include" / f"{name}.lua").write_text(text)


def text(lua: Path) -> list[str]:
    return scripts.load("s").text.removeprefix("#!lua\nlocal ITEMS = 2\n").splitlines()[2:]


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
    write(lua, "-- include: side\n" + SCRIPT, base="-- b\n", side="-- Needs: base.\n", top="-- Needs: base, side.\n")
    assert text(lua) == ["-- b", "-- Needs: base.", "", "-- Needs: base, side.", "", "return 1"]


def test_only_exports_of_an_include_are_seen(lua: Path) -> None:
    write(lua, SCRIPT, top="-- Exports: one two\none, two = 1, 2\n")
    assert text(lua)[:3] == ["local one, two", "do", "-- Exports: one two"]
    assert text(lua)[4:6] == ["end", ""]


def test_what_is_included_when_needed_brings_what_only_it_needs(lua: Path) -> None:
    script = "-- include: base\n-- include when needed: top\nreturn 1\n"
    top = "-- Needs: base, own.\n-- Exports: f\nf = g\n"
    write(lua, script, base="-- b\n", own="-- Exports: g\ng = 1\n", top=top)
    assert text(lua) == [
        "-- b", "",
        "local f", "local function load_top()", "if f then return end",
        "local g", "do", "-- Exports: g", "g = 1", "end",
        *top.splitlines(), "end", "",
        "return 1",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("script", "top"),
    [
        ("-- include when needed: top\n", "-- exports nothing\n"),
        ("-- include: top\n-- include when needed: top\n", "-- Exports: f\nf = 1\n"),
    ],
)
def test_includes_that_make_no_sense(lua: Path, script: str, top: str) -> None:
    write(lua, script, top=top)
    with pytest.raises(TypeError, match="top exports nothing or is there already"):
        scripts.load("s")
