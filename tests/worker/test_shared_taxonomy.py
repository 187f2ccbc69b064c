"""Taxonomies of files: every mistake is told when the job runs, in a sentence with field and place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from samples.document_support import FakeContext

from worker.context import PermanentError
from worker.jobs.shared import reading
from worker.jobs.shared.refusals import MOST_TOLD
from worker.jobs.shared.source import TaxonomySource
from worker.jobs.shared.taxonomy import MOST_LEVELS, TaxonomyError, root_of


def chain(levels: int) -> dict[str, Any]:
    """So many categories, one below the other, below a root."""
    node: dict[str, Any] = {"name": str(levels)}
    for level in range(levels - 1, -1, -1):
        node = {"name": str(level), "children": [node]}
    return node


@pytest.fixture
def ctx(tmp_path: Path) -> FakeContext:
    return FakeContext(tmp_path / "own", tmp_path)


def error_of(ctx: FakeContext, text: bytes) -> PermanentError:
    (ctx.input_root / "t.json").write_bytes(text)
    with pytest.raises(PermanentError) as caught:
        reading.taxonomy(ctx, TaxonomySource(path="t.json"), "base_taxonomy")
    return caught.value


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        (b"{", "schema_mismatch", " is not JSON."),
        (b"[" * 100_000, "schema_mismatch", " is not JSON."),
        (b"\xff\xfe\xfd", "schema_mismatch", " is not JSON."),
        (b'{"name": NaN}', "schema_mismatch", " is not JSON."),
        (b"[1]", "schema_mismatch", ": Input should be an object."),
        (b'{"name": "t"}', "no_categories", ", at children: there are no categories below the root."),
        (
            b'{"taxonomy": {"name": "t"}}',
            "no_categories",
            ", at taxonomy.children: there are no categories below the root.",
        ),
        (b'{"children": [{"name": "a"}]}', "schema_mismatch", ", at name: Field required."),
        (b'{"name": "t", "children": [{"name": "  "}]}', "schema_mismatch", ", at children.0.name: must not be blank."),
        (
            b'{"name": "t", "children": [{"name": "a/b"}, {"name": "a", "children": [{"name": "b"}]}]}',
            "schema_mismatch",
            ", at children.1.children.0.name: there are two categories 'a/b'.",
        ),
    ],
)
def test_a_mistake_in_a_file_is_told_with_field_and_place(ctx: FakeContext, text: bytes, code: str, said: str) -> None:
    error = error_of(ctx, text)
    assert (error.code, str(error)) == (code, f"{code}: The taxonomy of 'base_taxonomy'{said}")


def test_depth_has_a_limit(ctx: FakeContext) -> None:
    assert len(list(root_of(chain(MOST_LEVELS)).walk())) == MOST_LEVELS
    error = error_of(ctx, json.dumps(chain(MOST_LEVELS + 1)).encode())
    assert str(error).endswith(f"{'children.0.' * MOST_LEVELS}children.0: categories lie more than 10 levels deep.")
    with pytest.raises(TaxonomyError, match="more than 10 levels"):
        root_of(chain(400))


@pytest.mark.parametrize("depth", [250, 900, 1020])
def test_what_else_is_nested_too_deeply(ctx: FakeContext, depth: int) -> None:
    text = '{"name": "t", "children": [{"name": "a"}], "more": ' + "[" * depth + "]" * depth + "}"
    assert error_of(ctx, text.encode()).code == "schema_mismatch"


def test_a_file_that_is_too_large(ctx: FakeContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TaxonomySource, "most_bytes", 20)
    error = error_of(ctx, b'{"name": "a taxonomy"}')
    assert (error.code, str(error)) == (
        "source_too_large",
        "source_too_large: base_taxonomy: The file t.json is larger than 20 bytes.",
    )


def test_an_artefact_that_is_too_large(ctx: FakeContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TaxonomySource, "most_bytes", 20)
    before = ctx.folder.parent / "before"
    before.mkdir()
    (before / "manifest.json").write_text('{"job_type": "taxonomy_processing"}')
    (before / "taxonomy.json").write_text('{"name": "a taxonomy"}')
    with pytest.raises(PermanentError, match="The taxonomy of 'taxonomy' is larger than 20 bytes") as caught:
        reading.taxonomy(ctx, TaxonomySource(job_id="before"), "taxonomy")
    assert caught.value.code == "source_too_large"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_encodings_and_halves_of_characters(ctx: FakeContext, encoding: str) -> None:
    (ctx.input_root / "t.json").write_bytes('{"name": "t", "children": [{"name": "é\\ud83d"}]}'.encode(encoding))
    (child,) = reading.taxonomy(ctx, TaxonomySource(path="t.json"), "taxonomy").children
    assert child.name == "é?"


def test_what_else_is_in_a_node_is_of_no_matter() -> None:
    node = {"name": "a", "size": 3, "examples": ["x"], "confidence_threshold": None}
    root = root_of({"schema_version": 1, "analytics": {"x": [1]}, "taxonomy": {"name": "t", "children": [node]}})
    assert [path for path, _ in root.walk()] == [("a",)]


@pytest.mark.parametrize(
    ("children", "last"),
    [
        ([1] * 500, (MOST_TOLD - 1,)),
        ([{"name": "a"}] * 500, (MOST_TOLD, "name")),
        ([{"name": str(number), "id": "a"} for number in range(500)], (MOST_TOLD, "id")),
    ],
)
def test_of_many_mistakes_the_first_are_told(children: list[Any], last: tuple[Any, ...]) -> None:
    """A request may have hundreds of thousands, and the server has others to answer."""
    with pytest.raises(TaxonomyError) as caught:
        root_of({"name": "t", "children": children})
    assert len(caught.value.mistakes) == MOST_TOLD
    assert caught.value.mistakes[-1].place == ("children", *last)
