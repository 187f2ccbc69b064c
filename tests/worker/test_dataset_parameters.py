"""dataset_generation: what is refused at submit, and in which words."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from server.parameters import problems_of
from worker.jobs.dataset_generation.modes import OFFLINE, SCHEMAS, WITH_LLM
from worker.jobs.dataset_generation.parameters import Parameters
from worker.jobs.shared.source import SourceJob

CHUNKS = {"chunks": [{"text": "words"}]}
LLM = {"base_url": "https://endpoint.example/v1", "model": "m"}


def made(**values: Any) -> Parameters:
    return Parameters.model_validate_json(json.dumps({"source": CHUNKS, **values}))


def test_defaults() -> None:
    given = made()
    assert (given.mode, given.seed, given.generation_mode, given.schema_used) == (
        "offline",
        42,
        "instruction",
        "alpaca",
    )
    assert (given.formats, given.shares) == (["jsonl"], {"train": 0.8, "validation": 0.1, "test": 0.1})
    assert (given.split_by, given.datasets_per_chunk, given.min_confidence) == ("document", 3, 0.5)
    assert (given.dedup_threshold, given.min_output_chars, given.max_record_tokens) == (0.8, 20, None)
    assert (given.analyze_quality, given.quality_threshold, given.fail_below_quality) == (True, 0.7, False)
    assert (given.concurrency, given.batch_size, given.version, given.csv_safe) == (None, 50, "1.0.0", False)
    assert given.dataset_name_used == "instruction-dataset"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"mode": "llm"}, "mode 'llm' needs llm, with base_url and model"),
        ({"mode": "llm", "llm": LLM, "generation_mode": "completion"}, "for mode 'llm' there are: instruction, qa"),
        ({"mode": "llm", "llm": LLM, "generation_mode": "classification"}, "for mode 'llm' there are: instruction, qa"),
        ({"mode": "llm", "llm": LLM, "generation_mode": "question", "schema": "qa"}, "'qa' does not fit"),
        ({"llm": LLM}, "llm is for mode 'llm'"),
        ({"fail_fast": True}, "fail_fast is for mode 'llm'"),
        ({"mode": "llm", "llm": {**LLM, "api_key": "sk-1"}}, "not permitted"),
        ({"prompt": "Say {text:>999999999}", "mode": "llm", "llm": LLM}, r"has the placeholder \{text:\}"),
        ({"prompt": "Say {text!r}", "mode": "llm", "llm": LLM}, r"has the placeholder \{text!\}"),
        ({"generation_mode": "question"}, "needs mode 'llm'"),
        ({"generation_mode": "answer"}, "needs mode 'llm'"),
        ({"splits": {"train": 0.5, "test": 0.1}}, r"must sum to 1; 0\.5 \+ 0\.1 is 0\.6"),
        ({"splits": {"train": 0.8, "dev": 0.2}}, "'train', 'validation' or 'test'"),
        ({"splits": {}}, "at least 1"),
        ({"splits": {"train": 1.5, "test": -0.5}}, "less than or equal to 1"),
        ({"dedup_threshold": 0.3}, "must be 0"),
        ({"prompt": "Say {word}"}, r"has the placeholder \{word\}; there are: \{text\}"),
        ({"prompt": "Say {text.__class__} {text}"}, "has the placeholder"),
        ({"prompt": "Say {text"}, "is not a template"),
        ({"prompt": "Say it"}, r"has no \{text\}"),
        ({"prompt": "Say {text}"}, "is for mode 'llm'"),
        ({"version": "1.0"}, "pattern"),
        ({"dataset_name": "My Data"}, "pattern"),
        ({"fail_below_quality": True, "analyze_quality": False}, "needs analyze_quality"),
        ({"datasets_per_chunk": 21}, "20"),
        ({"formats": []}, "at least 1"),
        ({"formats": ["xlsx"]}, "'jsonl', 'csv', 'parquet' or 'json'"),
        ({"selected_categories": [" "], "source": {"job_id": "a"}}, "is blank"),
        ({"only_validated": True, "data_source": "chunks"}, "only_validated is for extractions"),
        ({"record_schema": "alpaca"}, "not permitted"),
        ({"taxonomy": {"taxonomy": {"name": "a", "children": [{}]}}}, r"children\.0\.name\s+schema_mismatch"),
        ({"source": {}}, "give one of job_id, path"),
        ({"source": {"job_id": "a", "path": "b"}}, "give one of job_id, path"),
        ({"source": {"path": "/etc/passwd"}}, "relative to the input folder"),
        ({"source": {"assignments": [{"chunk_id": "a", "path": ["b"]}]}}, "assignments have no texts"),
    ],
)
def test_what_is_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        made(**values)


@pytest.mark.parametrize(
    ("source", "place", "words"),
    [
        ({"chunks": [{"text": "a"}, {"text": ""}]}, ("chunks", 1, "text"), "at least 1 character"),
        ({"chunks": [{"text": "a", "chunk_id": "b"}] * 2}, ("chunks", 1, "chunk_id"), "schema_mismatch: there are two"),
        ({"chunks": []}, ("chunks",), "at least 1 item"),
        ({"extractions": [7]}, ("extractions", 0), "Input should be an object"),
        ({"assignments": [{"chunk_id": "a", "path": [""]}]}, ("assignments", 0, "path", 0), "at least 1 character"),
        ({"chunks": {"chunks": [{"text": ""}]}}, ("chunks", "chunks", 0, "text"), "at least 1 character"),
        ({"chunks": [{"text": "a" * 1024**2}]}, ("chunks",), "source_too_large: is larger"),
        ({"chunks": {"path": "/a"}}, ("chunks", "path"), "must be relative"),
    ],
)
def test_a_mistake_in_what_was_sent_along_is_told_with_its_place(
    source: dict[str, Any], place: tuple[Any, ...], words: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        made(source=source)
    ((found, message),) = problems_of(caught.value)
    assert found == ("source", *place) and words in message and "error" not in message


@pytest.mark.parametrize(
    ("mode", "more"),
    [*((mode, {}) for mode in OFFLINE), *((mode, {"mode": "llm", "llm": LLM}) for mode in WITH_LLM)],
)
@pytest.mark.parametrize("schema", ["alpaca", "messages", "qa", "classification", "text"])
def test_the_schema_fits_the_mode(mode: str, more: dict[str, Any], schema: str) -> None:
    values = {"generation_mode": mode, "schema": schema, "source": {"job_id": "a"}, **more}
    if schema in SCHEMAS[mode]:
        assert made(**values).schema_used == schema
    else:
        with pytest.raises(ValidationError, match=f"'{schema}' does not fit generation_mode '{mode}', which has: "):
            made(**values)


@pytest.mark.parametrize(
    "values",
    [
        {"generation_mode": "classification"},
        {"generation_mode": "classification", "source": {"job_id": "a"}, "data_source": "chunks"},
        {"generation_mode": "classification", "source": {"path": "a"}},
        {"generation_mode": "classification", "taxonomy": {"taxonomy": {"name": "a", "children": [{"name": "b"}]}}},
        {"selected_categories": ["a"]},
        {"data_source": "extract"},
        {"data_source": "taxonomy", "source": {"path": "a"}},
    ],
)
def test_labels_required(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="needs categories: give an extraction job") as caught:
        made(**values)
    (error,) = caught.value.errors()
    field = next(name for name in ("selected_categories", "generation_mode", "data_source") if name in values)
    assert (error["type"], error["loc"]) == ("labels_required", (field,))


@pytest.mark.parametrize(
    ("values", "is_taken"),
    [
        ({}, False),
        ({"taxonomy": {"job_id": "t"}}, False),
        ({"source": {"path": "a"}}, False),
        ({"source": {"assignments": {"job_id": "t"}}}, False),
        ({"source": {"path": "a"}, "data_source": "extract"}, True),
        ({"source": {"job_id": "a"}}, True),
        ({"source": {"extractions": {"job_id": "a"}}}, True),
    ],
)
def test_only_validated_needs_extractions(values: dict[str, Any], is_taken: bool) -> None:
    if is_taken:
        assert made(only_validated=True, **values)
        return
    with pytest.raises(ValidationError) as caught:
        made(only_validated=True, **values)
    (error,) = caught.value.errors()
    assert (error["type"], error["loc"]) == ("labels_required", ("only_validated",))
    assert error["msg"] == "labels_required: only_validated needs extractions, which the source does not have."


EXTRACTIONS = [
    {"text": "a", "category_path": ["pumps", "other"]},
    {"text": "b", "category_path": ["tanks", "other"], "category_id": "t1"},
]


def test_a_selection_from_what_came_with_the_request() -> None:
    source = {"extractions": EXTRACTIONS}
    assert made(source=source, selected_categories=["pumps", "t1", "pumps/other"])
    given = {"source": source, "selected_categories": ["pumps", "pumsp", "other", "valves"]}
    with pytest.raises(ValidationError) as caught:
        made(**given)
    told = [(error["loc"], error["msg"]) for error in caught.value.errors()]
    assert [place for place, _ in told] == [("selected_categories", n) for n in (1, 2, 3)]
    assert told[0][1] == "unknown_category: There is no category 'pumsp'. Did you mean 'pumps', 'pumps/other'?"
    assert told[1][1].startswith("ambiguous_category: 'other' is the name of several categories: 'pumps/other', ")
    more = {"taxonomy": {"taxonomy": {"name": "t", "children": [{"name": "valves"}]}}}
    with pytest.raises(ValidationError) as caught:
        made(**given, **more)
    assert [error["loc"][1] for error in caught.value.errors()] == [1, 2]
    # What the others have is known when they are there.
    assert made(**given, taxonomy={"job_id": "t"})
    assert made(**{**given, "source": {"job_id": "e"}})
    lines = [{"chunk_id": "c", "path": ["pumps"]}]
    with pytest.raises(ValidationError, match=r"selected_categories\.0"):
        made(source={"assignments": lines, "chunks": [{"text": "x"}]}, selected_categories=["valves"])


def test_what_may_have_labels_is_taken() -> None:
    for source in ({"job_id": "a"}, {"extractions": [{"text": "a", "category_path": ["b"]}]}):
        assert made(source=source, generation_mode="classification")
    assert made(source={"path": "a"}, data_source="extract", generation_mode="classification")
    assert made(taxonomy={"job_id": "t"}, generation_mode="classification")


def test_the_server_learns_of_jobs_and_files(tmp_path: Path) -> None:
    given = made(source={"job_id": "e", "chunks": {"job_id": "d"}}, taxonomy={"job_id": "t"}, data_source="extract")
    assert given.source_jobs == (
        SourceJob(("source", "job_id"), "e", ("extraction",)),
        SourceJob(("source", "chunks", "job_id"), "d", ("document_processing",)),
        SourceJob(("taxonomy", "job_id"), "t", ("taxonomy_processing",)),
    )
    assert not given.names_files
    (job,) = made(source={"job_id": "e"}).source_jobs
    assert set(job.job_types) == {"extraction", "document_processing", "taxonomy_processing"}
    files = made(source={"extractions": {"path": "a"}, "chunks": {"path": "b"}}, taxonomy={"path": "c"})
    (tmp_path / "b").touch()
    assert files.names_files
    assert [place for place, _ in files.check_inputs(tmp_path)] == [
        ("source", "extractions", "path"),
        ("taxonomy", "path"),
    ]


def test_what_the_server_stores_is_read_again() -> None:
    given = made(schema="messages", splits={"train": 0.5, "test": 0.5})
    stored = given.model_dump(mode="json", exclude_unset=True)
    assert stored["schema"] == "messages"
    assert Parameters.model_validate(stored) == given


def test_concurrency_is_that_of_the_model_unless_given() -> None:
    both = {"mode": "llm", "llm": {**LLM, "concurrency": 7}}
    assert [given.llm_used.concurrency for given in (made(**both), made(**both, concurrency=2)) if given.llm_used] == [
        7,
        2,
    ]
    assert made().llm_used is None


def test_names_and_shares() -> None:
    assert made(name="Tank Farm: manuals").dataset_name_used == "tank-farm-manuals"
    assert made(name="槽", dataset_name="tanks").dataset_name_used == "tanks"
    assert list(made(splits={"test": 0.5, "train": 0.5, "validation": 0}).shares) == ["train", "test"]
    assert made(splits={"train": 0.7, "validation": 0.2, "test": 0.1}).shares["validation"] == 0.2


def test_the_server_needs_nothing_heavy() -> None:
    code = (
        "import sys, worker.jobs.dataset_generation.parameters as p;"
        "heavy = {'openai', 'numpy', 'sklearn', 'pyarrow', 'rensa', 'sentencex', 'rapidfuzz'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
