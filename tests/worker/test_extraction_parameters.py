"""extraction: what is refused at submit, and which categories a selection means."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from samples.document_support import FakeContext
from samples.extraction_support import TAXONOMY, Job, corpus, one

from jobqueue.config import BUILT_IN_JOB_TYPES
from worker.context import PermanentError
from worker.jobs.extraction.categories import categories_of
from worker.jobs.extraction.parameters import BUILT_IN, Parameters
from worker.jobs.extraction.run import run
from worker.jobs.shared.errors import InputError
from worker.jobs.shared.source import SourceJob
from worker.jobs.shared.taxonomy import root_of

GIVEN = {"source": {"chunks": [{"text": "a star"}]}, "taxonomy": {"taxonomy": TAXONOMY}}
LLM = {"base_url": "https://example.org/v1", "model": "m"}
TREE = {
    "name": "root",
    "children": [
        {
            "id": "n1",
            "name": "Animals",
            "children": [{"name": "Other"}, {"name": "Cats", "children": [{"name": "Lions"}]}],
        },
        {"name": "Plants", "children": [{"name": "Other"}, {"name": "Trees"}]},
    ],
}

ROOT = root_of(TREE)


def made(**values: Any) -> Parameters:
    return Parameters.model_validate({**GIVEN, **values})


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"mode": "large"}, "Input should be 'offline' or 'llm'"),
        ({"mode": "llm"}, "mode 'llm' needs llm"),
        ({"llm": LLM}, "llm is for mode 'llm'"),
        ({"mode": "llm", "llm": {**LLM, "key": "secret"}}, "not permitted"),
        ({"mode": "llm", "llm": LLM, "prefilter": 0}, "greater than or equal to 1"),
        ({"mode": "llm", "llm": LLM, "prefilter": 101}, "less than or equal to 100"),
        ({"prefilter": 5}, "prefilter is for mode 'llm'"),
        ({"mode": "llm", "llm": LLM, "granularity": "sentence"}, "granularity is for mode 'offline'"),
        ({"mode": "llm", "llm": LLM, "extraction_type": "ner"}, "entities are found without a model"),
        ({"fail_fast": True}, "fail_fast is for mode 'llm'"),
        ({"max_error_rate": 0.5}, "max_error_rate is for mode 'llm'"),
        ({"mode": "llm", "llm": LLM, "max_error_rate": 1.5}, "less than or equal to 1"),
        ({"more": 1}, "not permitted"),
        ({"source": None}, "should be a valid dictionary"),
        ({"taxonomy": {}}, "exactly one of job_id, path, taxonomy"),
        ({"taxonomy": {"taxonomy": {"name": "t"}}}, "no_categories: there are no categories"),
        ({"taxonomy": {"taxonomy": {"name": "t", "children": [{"title": "x"}]}}}, "children.0.name.*schema_mismatch: "),
        ({"selected_categories": ["Sailling"]}, "unknown_category: There is no category 'Sailling'.*'Sailing'"),
        ({"selected_categories": []}, "at least 1"),
        ({"selected_categories": [" "]}, "number 1 is blank"),
        ({"extraction_type": "words"}, "extraction_type"),
        ({"extraction_mode": "all"}, "extraction_mode"),
        ({"extraction_depth": 0}, "greater than or equal to 1"),
        ({"extraction_depth": 6}, "less than or equal to 5"),
        ({"confidence_threshold": 1.1}, "less than or equal to 1"),
        ({"confidence_threshold": -0.1}, "greater than or equal to 0"),
        ({"max_labels_per_chunk": 0}, "greater than or equal to 1"),
        ({"max_labels_per_chunk": 21}, "less than or equal to 20"),
        ({"granularity": "word"}, "granularity"),
        ({"only_validated": True}, "needs enable_validation_stage"),
        ({"fuzzy_keywords": True}, "needs the extraction_type"),
        ({"entity_patterns": ["email"]}, "needs the extraction_type"),
        ({"extraction_type": "ner", "entity_patterns": ["emails"]}, "entity_patterns"),
        ({"extraction_type": "ner", "entity_patterns": ["email", "email"]}, "listed twice"),
        ({"extraction_type": "ner", "entity_patterns": [{"name": "a", "pattern": "("}]}, "is no regular expression"),
        ({"extraction_type": "ner", "entity_patterns": [{"name": "a", "pattern": "x{300000}"}]}, "repeats too much"),
        ({"extraction_type": "ner", "entity_patterns": [{"name": "a", "pattern": "(a?(?1))"}]}, "must not call itself"),
        ({"extraction_type": "ner", "entity_patterns": [{"name": "a", "pattern": "x*"}]}, "matches the empty text"),
        ({"extraction_type": "ner", "entity_patterns": [{"name": "a b", "pattern": "x"}]}, "match pattern"),
        ({"extraction_type": "ner", "entity_patterns": [{"name": "ip", "pattern": "x"}]}, "built-in"),
        ({"extraction_type": "ner", "entity_patterns": [{"name": "a", "pattern": "x" * 501}]}, "at most 500"),
        ({"batch_size": 0}, "greater than or equal to 1"),
        ({"max_chunks": 0}, "greater than or equal to 1"),
        ({"seed": -1}, "greater than or equal to 0"),
    ],
)
def test_what_is_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=f"(?s){words}"):
        made(**values)


@pytest.mark.parametrize(
    ("pattern", "place", "words"),
    [
        ({"name": "a", "pattern": "(a"}, ("pattern",), "is no regular expression"),
        ({"name": "ip", "pattern": "x"}, ("name",), "built-in"),
        ({"pattern": "x"}, ("name",), "Field required"),
        ("emails", (), "Input should be 'email'"),
        (7, (), "Input should be an object"),
    ],
)
def test_a_bad_pattern_is_told_once_and_in_its_place(pattern: Any, place: tuple[str, ...], words: str) -> None:
    text = json.dumps({**GIVEN, "extraction_type": "ner", "entity_patterns": ["url", pattern]})
    with pytest.raises(ValidationError) as caught:
        Parameters.model_validate_json(text)
    (mistake,) = caught.value.errors()
    assert mistake["loc"] == ("entity_patterns", 1, *place) and words in mistake["msg"]


def test_defaults() -> None:
    given = made()
    assert given.model_dump(exclude={"source", "taxonomy"}) == {
        "mode": "offline",
        "llm": None,
        "fail_fast": False,
        "max_error_rate": 1.0,
        "seed": 42,
        "project_id": None,
        "name": None,
        "selected_categories": None,
        "extraction_type": "whole_text",
        "extraction_mode": "contextual",
        "extraction_depth": 3,
        "confidence_threshold": 0.5,
        "max_labels_per_chunk": 3,
        "granularity": "chunk",
        "prefilter": 5,
        "entity_patterns": None,
        "fuzzy_keywords": False,
        "enable_validation_stage": False,
        "validation_llm": None,
        "only_validated": False,
        "infer_relations": False,
        "batch_size": 500,
        "max_chunks": 200_000,
    }
    assert given.patterns == []
    assert made(extraction_type="both").patterns == list(BUILT_IN)


def test_jobs_and_files_for_the_server(tmp_path: Path) -> None:
    given = made(source={"job_id": "d"}, taxonomy={"job_id": "t"})
    assert given.source_jobs == (
        SourceJob(("source", "job_id"), "d", ("document_processing",)),
        SourceJob(("taxonomy", "job_id"), "t", ("taxonomy_processing",)),
    )
    assert not given.names_files
    files = made(source={"path": "c.jsonl"}, taxonomy={"path": "t.json"})
    assert files.names_files
    assert [place for place, _ in files.check_inputs(tmp_path)] == [("source", "path"), ("taxonomy", "path")]


@pytest.mark.parametrize("job_type", BUILT_IN_JOB_TYPES)
def test_nothing_heavy_is_imported_at_submit(job_type: str) -> None:
    module = BUILT_IN_JOB_TYPES[job_type]["parameters"].partition(":")[0]
    heavy = {"numpy", "sklearn", "rapidfuzz", "regex", "openai", "httpx"}
    code = f"import sys, {module}; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_tree_as_a_list() -> None:
    found = categories_of(ROOT, None, 3)
    assert ["/".join(category.path) for category in found] == [
        "Animals",
        "Animals/Other",
        "Animals/Cats",
        "Animals/Cats/Lions",
        "Plants",
        "Plants/Other",
        "Plants/Trees",
    ]
    assert [category.parent for category in found] == [None, 0, 0, 2, None, 4, 4]
    assert found[0].id == "n1"
    assert len({category.id for category in found}) == 7
    assert found == categories_of(root_of({"schema_version": 1, "taxonomy": TREE}), None, 3)
    assert len(categories_of(ROOT, None, 1)) == 2


@pytest.mark.parametrize(
    ("wanted", "paths"),
    [
        ("n1", ["Animals", "Animals/Other", "Animals/Cats", "Animals/Cats/Lions"]),
        ("Plants/Other", ["Plants/Other"]),
        ("cats", ["Animals/Cats", "Animals/Cats/Lions"]),
        ("Plants", ["Plants", "Plants/Other", "Plants/Trees"]),
    ],
)
def test_a_selection_has_all_below_it(wanted: str, paths: list[str]) -> None:
    found = categories_of(ROOT, [wanted], 3)
    assert ["/".join(category.path) for category in found if category.is_selected] == paths


@pytest.mark.parametrize(
    ("wanted", "code", "words"),
    [
        ("Other", "ambiguous_category", "'Animals/Other', 'Plants/Other'"),
        ("Plant", "unknown_category", "Did you mean 'Plants'"),
        ("qqqqqq", "unknown_category", "no category 'qqqqqq'.$"),
        ("Lions", "unknown_category", "deeper than extraction_depth"),
    ],
)
def test_a_selection_of_what_there_is_not(wanted: str, code: str, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        categories_of(ROOT, [wanted], 2)
    assert caught.value.code == code


def test_a_taxonomy_of_a_job_and_of_a_file(tmp_path: Path) -> None:
    folder = tmp_path / "before"
    folder.mkdir()
    (folder / "manifest.json").write_text('{"job_type": "taxonomy_processing"}')
    for file in (folder / "taxonomy.json", tmp_path / "own.json"):
        file.write_text(json.dumps({"schema_version": 1, "taxonomy": TAXONOMY}))
    results = [
        Job(tmp_path, corpus(30), name, taxonomy=source).result
        for name, source in (("a", {"job_id": "before"}), ("b", {"path": "own.json"}), ("c", GIVEN["taxonomy"]))
    ]
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize(
    ("text", "wanted", "code"),
    [
        ("[1]", None, "schema_mismatch"),
        ("{", None, "schema_mismatch"),
        ('{"name": "t"}', None, "no_categories"),
        (json.dumps(TAXONOMY), "Sailling", "unknown_category"),
    ],
)
def test_what_is_wrong_with_a_taxonomy_file(tmp_path: Path, text: str, wanted: str | None, code: str) -> None:
    (tmp_path / "t.json").write_text(text)
    with pytest.raises(PermanentError) as caught:
        Job(tmp_path, one("a star"), taxonomy={"path": "t.json"}, selected_categories=wanted and [wanted])
    assert caught.value.code == code


def test_an_own_pattern_is_looked_at_again_by_the_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server without the libraries lets it pass."""
    monkeypatch.setitem(sys.modules, "regex", None)
    given = made(extraction_type="entity", entity_patterns=[{"name": "a", "pattern": "("}])
    monkeypatch.undo()
    with pytest.raises(PermanentError, match="'a' is no regular expression") as caught:
        run(FakeContext(tmp_path / "job", tmp_path), given)
    assert caught.value.code == "invalid_pattern"
