"""Which tests prove which statement of the API, read from their names; run as a program it prints the table."""

from __future__ import annotations

import ast
import functools
import re
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))

from api_statements import STATEMENTS

TESTS = Path(__file__).parents[1]

# One or several ids follow `api_`; an id of another page begins anew, as in `api_A4_sec_A13`.
NAMED = re.compile(r"api((?:_[A-Z]\d+)+)(?=_|$)")


def names() -> Iterator[tuple[Path, str]]:
    """Functions, also methods of state machines, that a runner calls as tests."""
    for path in sorted(TESTS.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name.startswith("test_"):
                yield path.relative_to(TESTS), node.name


def ids_of(name: str) -> list[str]:
    return [statement for group in NAMED.findall(name) for statement in group.strip("_").split("_")]


@functools.cache
def proofs() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {statement: [] for statement in STATEMENTS}
    for path, name in names():
        for statement in ids_of(name):
            found.setdefault(statement, []).append(f"{path}::{name}")
    return found


def test_ids_are_read_from_names() -> None:
    assert ids_of("test_api_D2_D7_other_status") == ["D2", "D7"]
    assert ids_of("test_api_A4_sec_A13_bad") == ["A4"]
    assert ids_of("test_sec_A13_api_A4") == ["A4"]
    assert ids_of("test_api_A4") == ["A4"]
    assert ids_of("test_api_Answer") == ids_of("test_rapid_A4s") == []


def test_every_statement_has_a_test() -> None:
    without = [f"{statement} {STATEMENTS[statement]}" for statement in STATEMENTS if not proofs()[statement]]
    assert not without, "\n".join(without)


def test_no_test_names_a_statement_that_there_is_not() -> None:
    assert not set(proofs()) - set(STATEMENTS)


def main() -> None:
    found = proofs()
    for statement, title in STATEMENTS.items():
        print(f"{statement:4} {title}")
        for test in found[statement]:
            print(f"       {test}")
    without = [statement for statement in STATEMENTS if not found[statement]]
    print(f"\nwithout a test ({len(without)}): {' '.join(without) or 'none'}")


if __name__ == "__main__":
    main()
