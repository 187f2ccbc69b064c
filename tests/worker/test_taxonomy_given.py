"""taxonomy_processing with a taxonomy to begin with, of several levels: what stays, what is added, what is told."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from samples.document_support import FakeContext
from samples.taxonomy_support import SUBJECTS, assigned, given, taxonomy_of, texts

from worker.context import PermanentError
from worker.jobs.taxonomy_processing.parameters import Parameters
from worker.jobs.taxonomy_processing.run import run


def context(folder: Path) -> FakeContext:
    return FakeContext(folder / "job", folder)


def run_with(ctx: FakeContext, parameters: dict[str, Any]) -> dict[str, Any]:
    return run(ctx, Parameters.model_validate(parameters))


BY_HAND = {
    "name": "Mine",
    "description": "by hand",
    "children": [
        {
            "name": "Home",
            "id": "home",
            "description": f"{SUBJECTS['kitchen']} {SUBJECTS['garden']}",
            "children": [
                {"name": "Food", "description": SUBJECTS["kitchen"], "children": [{"name": "Oven"}, {"name": "Soup"}]},
                {"name": "Garden", "description": SUBJECTS["garden"]},
            ],
        },
        {"name": "Quantum", "description": "quarks", "keywords": [{"term": "boson", "weight": 2.0}]},
    ],
}


def names_of(node: dict[str, Any]) -> Any:
    return {child["name"]: names_of(child) for child in node["children"]}


def test_a_base_taxonomy_of_several_levels(tmp_path: Path) -> None:
    ctx = context(tmp_path)
    result = run_with(ctx, given(texts(200), base_taxonomy={"taxonomy": BY_HAND}))
    root = taxonomy_of(ctx)["taxonomy"]
    assert names_of(root) == {"Home": {"Food": {"Oven": {}, "Soup": {}}, "Garden": {}}, "Quantum": {}}
    assert (root["name"], root["description"], result["max_depth"]) == ("Mine", "by hand", 3)
    home, quantum = root["children"]
    assert (home["id"], quantum["size"]) == ("home", 0)
    assert quantum["keywords"] == [{"term": "boson", "weight": 2.0}]
    paths: dict[str, Counter[str]] = {}
    for line in assigned(ctx):
        paths.setdefault(line["chunk_id"].partition(":")[0], Counter())["/".join(line["path"][:2])] += 1
    assert paths["kitchen"]["Home/Food"] >= 45 and paths["garden"]["Home/Garden"] >= 45
    manifest = json.loads((ctx.folder / "manifest.json").read_text())
    assert [read["parameter"] for read in manifest["inputs"]] == ["source", "base_taxonomy"]


def test_weights_count_by_the_largest_of_a_category(tmp_path: Path) -> None:
    """As for extraction, and so however large it is."""
    found = []
    for unit in (1.0, 1e300):
        keywords = [{"term": "ship", "weight": unit}, {"term": "oven", "weight": unit / 2}, {"term": "x", "weight": 0}]
        tree = {"name": "t", "children": [{"name": "Sea", "keywords": keywords}, {"name": "Oven"}]}
        ctx = context(tmp_path)
        run_with(ctx, given(texts(50), base_taxonomy={"taxonomy": tree}))
        found.append([(line["path"], line["similarity"]) for line in assigned(ctx)])
    assert found[0] == found[1]


@pytest.mark.parametrize("depth", [2, 3])
def test_extending_goes_as_deep_as_asked_for(tmp_path: Path, depth: int) -> None:
    ctx = context(tmp_path)
    result = run_with(ctx, given(texts(400), extend_taxonomy={"taxonomy": BY_HAND}, depth=depth))
    names = names_of(taxonomy_of(ctx)["taxonomy"])
    assert (len(names["Home"]["Garden"]) >= 2) == (depth == 3)
    assert names["Home"]["Food"] == {"Oven": {}, "Soup": {}} and list(names) == ["Home", "Quantum"]
    assert ("nothing_divided" in [warning["code"] for warning in result["warnings"]]) == (depth == 2)


def test_too_few_chunks_for_any_category_are_told(tmp_path: Path) -> None:
    for least, is_told in ((100, True), (5, False)):
        result = run_with(context(tmp_path), given(texts(100), min_category_size=least))
        assert (result["categories_count"] == 0) == is_told
        assert ("nothing_divided" in [warning["code"] for warning in result["warnings"]]) == is_told


def test_a_language_without_a_list_of_stop_words_is_told_even_when_it_was_named(tmp_path: Path) -> None:
    for language, is_told in (("de", True), ("en", False)):
        result = run_with(context(tmp_path), given(texts(100), language=language))
        assert ("language_unknown" in [warning["code"] for warning in result["warnings"]]) == is_told


@pytest.mark.parametrize("field", ["base_taxonomy", "extend_taxonomy"])
def test_a_taxonomy_file_with_a_mistake(tmp_path: Path, field: str) -> None:
    (tmp_path / "own.json").write_text('{"name": "x", "children": [{"name": "a"}, {"name": "a"}]}')
    ctx = context(tmp_path)
    with pytest.raises(PermanentError) as caught:
        run_with(ctx, given(texts(50), **{field: {"path": "own.json"}}))
    assert caught.value.code == "schema_mismatch"
    assert str(caught.value).endswith(f"The taxonomy of '{field}', at children.1.name: there are two categories 'a'.")
    assert list(ctx.folder.iterdir()) == []
