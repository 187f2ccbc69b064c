"""taxonomy_processing as a whole: trees of made-up subjects, what others read of them, and every refusal."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from samples.document_support import ContextThatDoes, FakeContext
from samples.taxonomy_support import COMMON, SUBJECTS, assigned, given, taxonomy_of, texts

from worker.context import JobCancelled, PermanentError, RetryableError
from worker.jobs.shared.source import SourceJob
from worker.jobs.shared.taxonomy import root_of
from worker.jobs.taxonomy_processing import build, names, smooth
from worker.jobs.taxonomy_processing.corpus import Corpus
from worker.jobs.taxonomy_processing.names import free_name
from worker.jobs.taxonomy_processing.parameters import Parameters
from worker.jobs.taxonomy_processing.run import run
from worker.jobs.taxonomy_processing.tree import Category
from worker.jobs.taxonomy_processing.vectors import Space

TESTS = Path(__file__).parents[1]
ROOT = TESTS.parent


def context(folder: Path, **more: Any) -> FakeContext:
    return FakeContext(folder / "job", folder, **more)


def run_with(ctx: FakeContext, parameters: dict[str, Any]) -> dict[str, Any]:
    return run(ctx, Parameters.model_validate(parameters))


@pytest.mark.parametrize("count", [20, 40, 100, 200, 400])
def test_subjects_are_told_apart(tmp_path: Path, count: int) -> None:
    ctx = context(tmp_path)
    result = run_with(ctx, given(texts(count), depth=1, category_limits=[4]))
    by_category: dict[str, Counter[str]] = {}
    for line in assigned(ctx):
        by_category.setdefault(line["category_id"], Counter())[line["chunk_id"].partition(":")[0]] += 1
    pure = sum(max(subjects.values()) for subjects in by_category.values())
    # Twenty chunks are enough for two categories.
    assert pure >= (0.9 if count >= 40 else 0.4) * count
    assert result["chunks_used"] == count and result["unassigned"] == 0
    assert ("small_corpus" in [warning["code"] for warning in result["warnings"]]) == (count < 200)


def test_what_the_files_and_the_result_hold(tmp_path: Path) -> None:
    ctx = context(tmp_path)
    result = run_with(ctx, given(texts(200), name="Subjects", description="made up", keywords_per_category=7))
    taxonomy = taxonomy_of(ctx)
    assert (taxonomy["name"], taxonomy["description"], taxonomy["mode"]) == ("Subjects", "made up", "offline")
    lines, nodes = assigned(ctx), {}

    def walk(node: dict[str, Any], path: list[str]) -> None:
        for child in node["children"]:
            nodes[child["id"]] = (child, [*path, child["name"]])
            walk(child, [*path, child["name"]])

    walk(taxonomy["taxonomy"], [])
    assert result["categories_count"] == len(nodes) and result["max_depth"] == max(
        len(path) for _, path in nodes.values()
    )
    chunk_ids = {f"{subject}:{n}" for n, (subject, _) in enumerate(texts(200))}
    for node, path in nodes.values():
        assert 1 <= len(node["keywords"]) <= 7 and node["keywords"][0]["weight"] == 1.0
        assert node["name"] and node["description"] and node["size"] > 0
        assert 1 <= len(node["examples"]) <= 5 and set(node["examples"]) <= chunk_ids
        names = [child["name"] for child in node["children"]]
        assert len(names) == len(set(names)) and sum(child["size"] for child in node["children"]) in (0, node["size"])
        assert path
    for line in lines:
        node, path = nodes[line["category_id"]]
        assert line["path"] == path and not node["children"] and -1 <= line["similarity"] <= 1
    assert {line["chunk_id"] for line in lines} == chunk_ids
    assert set(result["quality"]) == {"npmi", "diversity", "silhouette"} and 0 <= result["confidence_score"] <= 1
    manifest = json.loads((ctx.folder / "manifest.json").read_text())
    assert [file["path"] for file in manifest["files"]] == ["taxonomy.json", "assignments.jsonl"]
    assert len(json.dumps(result)) < 64_000


def test_chunks_beyond_the_sample_go_to_the_nearest_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smooth, "MOST", 250)
    ctx = context(tmp_path)
    result = run_with(ctx, given(texts(800), depth=1, category_limits=[4]))
    by_category: dict[str, Counter[str]] = {}
    for line in assigned(ctx):
        by_category.setdefault(line["category_id"], Counter())[line["chunk_id"].partition(":")[0]] += 1
    assert sum(max(subjects.values()) for subjects in by_category.values()) >= 0.9 * 800
    assert result["chunks_used"] == 800 and result["unassigned"] == 0 and len(by_category) == 4


def test_two_runs_are_equal_to_the_byte(tmp_path: Path) -> None:
    contents = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        ctx = context(tmp_path / name)
        run_with(ctx, given(texts(150)))
        contents.append([(ctx.folder / file).read_bytes() for file in ("taxonomy.json", "assignments.jsonl")])
    assert contents[0] == contents[1]


ELSEWHERE = """
import sys
from pathlib import Path
from samples.document_support import ContextThatDoes, FakeContext
from samples.taxonomy_support import given, texts
from worker.jobs.taxonomy_processing.parameters import Parameters
from worker.jobs.taxonomy_processing.run import run
folder = Path(sys.argv[1])
run(FakeContext(folder, folder), Parameters.model_validate(given(texts(400))))
"""


def test_runs_in_different_processes_are_equal_to_the_byte(tmp_path: Path) -> None:
    """Sets of words have another order in each."""
    contents = set()
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join([str(ROOT), str(TESTS)])}
        subprocess.run([sys.executable, "-c", ELSEWHERE, str(tmp_path / seed)], env=environment, check=True)
        contents.add((tmp_path / seed / "taxonomy.json").read_bytes())
    assert len(contents) == 1


def test_duplicates_count_once_and_go_where_the_first_goes(tmp_path: Path) -> None:
    found = texts(60)
    ctx = context(tmp_path)
    result = run_with(ctx, given([*found, *found[:10]], depth=1))
    assert (result["total_chunks"], result["chunks_used"], result["duplicates"]) == (70, 60, 10)
    where = {line["chunk_id"].partition(":")[2]: line["category_id"] for line in assigned(ctx)}
    assert all(where[str(60 + n)] == where[str(n)] for n in range(10))


def test_of_long_texts_the_beginning_is_kept_for_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[str] = []

    def namer(space: Space, corpus: Corpus, root: Category) -> names.Namer:
        made = names.Namer(space, corpus, root)
        kept.extend(chunk.text for chunk in made.examples(root))
        return made

    monkeypatch.setattr(names, "_LONGEST_TEXT", 50)
    monkeypatch.setattr(build, "Namer", namer)
    found = texts(40)
    run_with(context(tmp_path), given(found))
    assert len(kept) == names.EXAMPLES and set(kept) <= {text[:50] for _, text in found}


def test_fast_looks_at_a_sample(tmp_path: Path) -> None:
    ctx = context(tmp_path)
    result = run_with(ctx, given(texts(200), processing_mode="fast", sample_size=80))
    assert (result["total_chunks"], result["chunks_used"]) == (200, 80)
    assert len(assigned(ctx)) == 80


def test_limits_levels_and_sizes(tmp_path: Path) -> None:
    ctx = context(tmp_path)
    run_with(ctx, given(texts(400), depth=3, category_limits=[3, 2, 2], min_category_size=20))

    def check(node: dict[str, Any], level: int) -> None:
        assert len(node["children"]) <= [3, 2, 2, 0][level]
        for child in node["children"]:
            assert child["size"] >= 20
            check(child, level + 1)

    check(taxonomy_of(ctx)["taxonomy"], 0)


@pytest.mark.parametrize("length", [121, 300])
def test_texts_with_words_that_are_none_make_a_taxonomy_that_can_be_read(tmp_path: Path, length: int) -> None:
    ctx = context(tmp_path)
    hashes = {subject: " ".join(f"{subject}{n}".ljust(length, "x") for n in range(3)) for subject in SUBJECTS}
    run_with(ctx, given([(subject, f"{text} {hashes[subject]}") for subject, text in texts(100)]))
    root = root_of(taxonomy_of(ctx))
    assert root.children and max(len(term.term) for _, node in root.walk() for term in node.keywords) < 60


def test_a_name_does_not_grow_without_end() -> None:
    terms = [(f"{number:060}", 1.0) for number in range(100)]
    category, taken = Category(np.arange(1), keywords=terms), {"a"}
    for _ in range(50):
        name = free_name("a", category, taken)
        assert name not in taken and len(name) <= 255
        taken.add(name)


def test_more_specific_means_more_categories() -> None:
    counts = [Parameters.model_validate(given(texts(1), specificity_level=level)).limits for level in (1, 3, 5)]
    assert counts == [[12, 6], [18, 9], [24, 12]]


HAND = {
    "name": "Mine",
    "children": [
        {"name": "Sea", "description": "ship harbour sailor", "confidence_threshold": 0.4},
        {"name": "Food", "description": "oven flour recipe"},
    ],
}


def test_a_base_taxonomy_is_filled_and_not_changed(tmp_path: Path) -> None:
    ctx = context(tmp_path)
    result = run_with(ctx, given(texts(200), base_taxonomy={"taxonomy": HAND}))
    children = taxonomy_of(ctx)["taxonomy"]["children"]
    assert [(child["name"], child["confidence_threshold"]) for child in children] == [("Sea", 0.4), ("Food", None)]
    sea = [line["chunk_id"] for line in assigned(ctx) if line["path"] == ["Sea"]]
    assert len(sea) >= 45 and sum(chunk.startswith("sea") for chunk in sea) >= 0.9 * len(sea)
    assert result["unassigned"] > 0 and all(not child["children"] for child in children)


def test_an_extended_taxonomy_keeps_its_nodes_and_divides_the_lowest(tmp_path: Path) -> None:
    ctx = context(tmp_path)
    wide = {"name": "Mine", "children": [{"name": "All", "description": " ".join(SUBJECTS.values())}]}
    run_with(ctx, given(texts(200), extend_taxonomy={"taxonomy": wide}, depth=2))
    (only,) = taxonomy_of(ctx)["taxonomy"]["children"]
    assert only["name"] == "All" and len(only["children"]) >= 2


def test_other_languages_get_their_own_stop_words(tmp_path: Path) -> None:
    words = [(s, w.replace("the", "og").replace("and", "av").replace("of", "til")) for s, w in texts(120)]
    stripped = [(s, " ".join(x for x in w.split() if x not in COMMON) + " og") for s, w in words]
    ctx = context(tmp_path)
    result = run_with(ctx, given(stripped))
    assert "language_unknown" in [warning["code"] for warning in result["warnings"]]
    terms = {word["term"] for child in taxonomy_of(ctx)["taxonomy"]["children"] for word in child["keywords"]}
    assert "og" not in terms


@pytest.mark.parametrize(
    ("parameters", "code", "words"),
    [
        (given(texts(19)), "no_chunks", "19 different chunks"),
        (given([("a", "same words here")] * 100), "no_chunks", "1 different chunks"),
        (given([("a", f"x{n} y{n} z{n} unique{n}") for n in range(50)]), "not_enough_variety", "0 words"),
        ({"source": {"job_id": "gone"}}, "source_failed", "has left no files"),
        ({"source": {"path": "none.jsonl"}}, "file_not_found", "no such file"),
    ],
)
def test_refusals_leave_nothing(tmp_path: Path, parameters: dict[str, Any], code: str, words: str) -> None:
    ctx = context(tmp_path)
    with pytest.raises(PermanentError, match=words) as caught:
        run_with(ctx, parameters)
    assert caught.value.code == code
    assert list(ctx.folder.iterdir()) == []


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"depth": 5}, "less than or equal to 4"),
        ({"depth": 2, "category_limits": [3]}, "number for each of the 2 levels"),
        ({"category_limits": [1, 2]}, "greater than or equal to 2"),
        ({"specificity_level": 0}, "greater than or equal to 1"),
        ({"language": "English"}, "match pattern"),
        ({"base_taxonomy": {"taxonomy": HAND}, "extend_taxonomy": {"taxonomy": HAND}}, "not both"),
        ({"keywords_per_category": 4}, "greater than or equal to 5"),
        ({"colour": "red"}, "not permitted"),
        ({"domain": "x" * 2001}, "at most 2000"),
    ],
)
def test_parameters_that_make_no_sense(more: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Parameters.model_validate(given(texts(1), **more))


def test_the_server_learns_what_to_wait_for(tmp_path: Path) -> None:
    parameters = Parameters.model_validate({"source": {"job_id": "a"}, "base_taxonomy": {"path": "t.json"}})
    assert parameters.source_jobs == (SourceJob(("source", "job_id"), "a", ("document_processing",)),)
    assert parameters.names_files
    assert parameters.check_inputs(tmp_path) == [
        (("base_taxonomy", "path"), "source_not_found: not found in the input folder")
    ]


def test_chunks_that_are_changed_while_the_job_runs(tmp_path: Path) -> None:
    file = tmp_path / "chunks.jsonl"
    chunks = given(texts(40))["source"]["chunks"]
    lines = [json.dumps({"document_id": "d", **chunk}) + "\n" for chunk in chunks]
    file.write_text("".join(lines))
    ctx = ContextThatDoes(tmp_path / "job", tmp_path, "Weighing words", lambda: file.write_text("".join(lines[:20])))
    with pytest.raises(RetryableError, match="source: The file was changed") as caught:
        run_with(ctx, {"source": {"path": "chunks.jsonl"}})
    assert caught.value.code == "file_changed" and list(ctx.folder.iterdir()) == []


def test_progress_is_honest_and_a_cancel_ends_it_at_any_stage(tmp_path: Path) -> None:
    ctx = context(tmp_path)
    run_with(ctx, given(texts(200)))
    fractions = [note[0] for note in ctx.notes]
    assert fractions == sorted(fractions) and fractions[-1] == 1.0
    steps = {note[1] for note in ctx.notes}
    assert {"Read the chunks", "Finding categories", "Naming categories", "Writing", "Done"} <= steps
    for number in range(1, 6):
        calls = iter(range(number))

        def stop(calls: Any = calls) -> None:
            if next(calls, None) is None:
                raise JobCancelled

        ended = context(tmp_path, stop_when=stop, fence=number + 1)
        with pytest.raises(JobCancelled):
            run_with(ended, given(texts(200)))
        assert list(ended.folder.iterdir()) == []
