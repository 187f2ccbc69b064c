"""The rules of this house that a machine can hold: who imports whom, who names keys, how large things may be."""

from __future__ import annotations

import ast
import re
import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobqueue import scripts

ROOT = Path(__file__).parents[2]
PACKAGES = ("jobqueue", "server", "worker")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
LUA = sorted((ROOT / "jobqueue" / "lua").rglob("*.lua"))
FORBIDDEN = {"jobqueue": {"server", "worker"}, "server": {"worker"}, "worker": {"server"}}


def package_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0]


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module or ""


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_one_way(path: Path) -> None:
    used = {name.partition(".")[0] for name in imports(path)}
    assert not used & FORBIDDEN[package_of(path)]
    if package_of(path) != "jobqueue":
        assert "redis" not in used, "only jobqueue talks to Redis"


def test_keys_are_named_in_one_module() -> None:
    for path in SOURCES:
        if path.name == "keys.py" and package_of(path) == "jobqueue":
            continue
        strings = [
            node.value
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        ]
        found = [text for text in strings if re.search(r"^(rq)?:(job|queue|wip|worker|x|rl|results):", text)]
        assert not found, f"{path} spells a Redis key: {found}"


@pytest.mark.parametrize("path", [*SOURCES, *LUA], ids=lambda path: str(path.relative_to(ROOT)))
def test_files_are_small(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 300


def test_functions_are_small() -> None:
    lengths = []
    for path in SOURCES:
        for function in functions(path):
            length = (function.end_lineno or 0) - function.lineno + 1
            assert length <= 50, f"{path}: {function.name} has {length} lines"
            lengths.append(length)
    assert statistics.median(lengths) <= 10


def test_catching_everything_is_for_the_outermost_places() -> None:
    places = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or (isinstance(node.type, ast.Name) and node.type.id in ("Exception", "BaseException")))
    ]
    assert len(places) <= 3, places


def test_every_task_has_a_name() -> None:
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in ("create_task", "ensure_future")
            ):
                assert any(keyword.arg == "name" for keyword in node.keywords), f"{path}:{node.lineno}"


def test_no_file_knows_this_machine() -> None:
    for path in [*SOURCES, *LUA, *(ROOT / "tests").rglob("*.py"), *ROOT.glob("*.md"), ROOT / "Makefile"]:
        assert not re.search(r"(?<![\w.])/(?:work|root|farm)/\w", path.read_text()), path


@pytest.mark.parametrize("name", list(scripts.names()))
def test_every_script_says_what_it_does(name: str) -> None:
    source = (ROOT / "jobqueue" / "lua" / f"{name}.lua").read_text()
    head = source.partition("local prefix")[0]
    flags = {"", " flags=allow-oom", " flags=no-writes,allow-oom"}
    assert head.partition("\n")[0].removeprefix("#!lua") in flags
    assert "-- " in head
    assert "Result:" in head or "Errors:" in head
    # Below the head only a batch's items are read by position.
    positions = re.findall(r"(?:ARGV|KEYS)\[(\d+)\]", source.partition("-- include")[2])
    assert not positions


def test_only_what_adds_jobs_is_refused_when_memory_is_full() -> None:
    refused = {name for name in scripts.names() if scripts.load(name).text.startswith("#!lua\n")}
    assert refused == {"create_schedule", "enqueue", "restart"}
