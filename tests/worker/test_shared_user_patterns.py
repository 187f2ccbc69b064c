"""Patterns of users: those whose making alone would take memory or time are refused before anything is made."""

from __future__ import annotations

from typing import Any, NoReturn

import pytest
import regex
from pydantic import BaseModel, ValidationError

from worker.jobs.document_processing.rules import SchemaDefinition
from worker.jobs.extraction.parameters import Parameters
from worker.jobs.shared.user_patterns import compiled, matches_nothing


@pytest.mark.parametrize(
    "value",
    [
        "[a-z]{1000000}",
        "a{1000000,}",
        "(?:(?:[a-z]{1000}){1000}){1000}",
        "(?x)a{1000 000}",
        "a{00001000000}",
        "(?:ab){500}{500}",
        "(?:(?:ab){500})?{500}",
        "(?x)(?:(?:ab){500}) {500}",
        r"(?:(?:\)ab){500}){500}",
        "(?:(?:[)]ab){500}){500}",
        "(?x)(?:(?:ab){500} # )\n ){500}",
        "(?x)a{500#,\n000}",
        "\t{3000000}",
        "( {1000}){1000}",
        "a {1000000}",
        "{a}{3000000}",
        "(?:{%s}){40000}" % ("a" * 400),
        "(?:%s){10000}" % (" " * 400),
    ],
)
def test_what_would_be_written_out_is_refused_unmade(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def not_made(*given: Any) -> NoReturn:
        raise AssertionError("it was made")

    monkeypatch.setattr(regex, "compile", not_made)
    with pytest.raises(ValueError, match="repeats too much"):
        compiled(value)


@pytest.mark.parametrize("value", ["(?R)", "(a?(?1))", "(?<n>a?(?&n))", "(?P<n>a?(?P>n))"])
def test_what_calls_itself_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="must not call itself"):
        compiled(value)


@pytest.mark.parametrize(
    "value",
    [
        r"\b(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[^\W\d]{3}\([a-z]{9}\))\b",
        r"\w{3}[(][^)]{1,9}[)]",
        r"[A-Z]{2}\d{10}-\d{10}-\d{10}-\d{10}-\d{10}-\d{10}",
        "(?:ab){500}(?:cd){500}",
        r"\d{4}-\d{2}-\d{2}",
        r"(?:[0-9a-f]{4}:){7}[0-9a-f]{1,4}",
        r"\p{Lu}{1,5}\d{0,100000}",
        r"(?:[a-z]{1,1000}){1,1000}",
        r"(?:colour){e<=2}",
        r"(?:\w{1,30} {1,4}){3} {2,}\d{6} {20}",
    ],
)
def test_what_people_write_is_taken(value: str) -> None:
    assert compiled(value).fullmatch("") is None


@pytest.mark.parametrize("value", ["(", "[a", "(?P<1>a)", "a{2,1}", "\\p{Nonsense}", "(?<=a"])
def test_what_is_none(value: str) -> None:
    with pytest.raises(ValueError, match="is no regular expression"):
        compiled(value)


def test_lines() -> None:
    assert [len(compiled("^a", by_line=by_line).findall("a\na")) for by_line in (False, True)] == [1, 2]


def test_what_was_made_is_not_kept() -> None:
    """Of a pattern that repeats much the library would keep megabytes."""
    assert compiled("not kept{7}") is not compiled("not kept{7}")


@pytest.mark.parametrize(
    ("model", "given"),
    [
        (
            Parameters,
            {
                "source": {"job_id": "a"},
                "taxonomy": {"job_id": "b"},
                "extraction_type": "entity",
                "entity_patterns": [{"name": f"p{number}", "pattern": "x"} for number in range(28)],
            },
        ),
        (SchemaDefinition, {"rules": [{"type": "pattern", "value": "x"}] * 20}),
    ],
)
def test_as_many_slow_ones_as_are_allowed_hold_the_server_only_shortly(
    monkeypatch: pytest.MonkeyPatch, model: type[BaseModel], given: dict[str, Any]
) -> None:
    allowed: list[float] = []

    class Slow:
        def fullmatch(self, text: str, *, timeout: float) -> NoReturn:
            allowed.append(timeout)
            raise TimeoutError

    monkeypatch.setattr(regex, "compile", lambda *given, **more: Slow())
    with pytest.raises(ValidationError, match="takes too long, even for an empty text"):
        model.model_validate(given)
    assert 0 < sum(allowed) < 0.3


def test_what_is_slow_for_an_empty_text() -> None:
    with pytest.raises(ValueError, match="takes too long"):
        matches_nothing(compiled(r"p{e<=1}\R{i<=2,1d+2s<4}||~(?b)"))
