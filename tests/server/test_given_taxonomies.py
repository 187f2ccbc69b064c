"""Taxonomies that come with a request: what is wrong with them is refused at submit, with the place of each mistake."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from fake_queue import FakeQueue

from jobqueue import Settings, load_settings

JOBS = "/api/v1/jobs"
CHUNKS = {"chunks": [{"text": "A ship in the harbour."}]}
FIELDS = {
    "base_taxonomy": ("taxonomy_processing", {"source": CHUNKS}),
    "extend_taxonomy": ("taxonomy_processing", {"source": CHUNKS}),
    "taxonomy of extraction": ("extraction", {"source": CHUNKS}),
    "taxonomy of a dataset": ("dataset_generation", {"source": CHUNKS}),
}
DEEP: dict[str, Any] = {"name": "level 11"}
for _level in range(10, -1, -1):
    DEEP = {"name": f"level {_level}", "children": [DEEP]}
MISTAKES: list[tuple[Any, list[Any], str]] = [
    ({"name": "t", "children": [{"name": "a"}, {"name": ""}]}, ["children", 1, "name"], "must not be blank"),
    ({"name": "t", "children": [{"name": " \t"}]}, ["children", 0, "name"], "must not be blank"),
    ({"name": "t", "children": [{"name": "a\nb"}]}, ["children", 0, "name"], "must not have control characters"),
    ({"name": "t\x7f", "children": [{"name": "a"}]}, ["name"], "must not have control characters"),
    ({"name": "t", "children": [{"name": 7}]}, ["children", 0, "name"], "valid string"),
    ({"name": "t", "children": [{"title": "a"}]}, ["children", 0, "name"], "Field required"),
    ({"name": "t", "children": [{"name": "a"}, {"name": "a"}]}, ["children", 1, "name"], "two categories 'a'"),
    (
        {"name": "t", "children": [{"name": "a", "children": [{"name": "b"}, {"name": "c"}, {"name": "b"}]}]},
        ["children", 0, "children", 2, "name"],
        "two categories 'a/b'",
    ),
    (
        {"name": "t", "children": [{"name": "a", "id": "x", "children": [{"name": "b", "id": "x"}]}]},
        ["children", 0, "children", 0, "id"],
        "two categories with the id 'x'",
    ),
    ({"name": "t"}, ["children"], "no_categories: there are no categories"),
    ({"name": "t", "children": []}, ["children"], "no_categories: there are no categories"),
    ({"name": "t", "children": {}}, ["children"], "valid array"),
    ({"name": "t", "children": ["a"]}, ["children", 0], "an object"),
    (
        {"name": "t", "children": [{"name": "a", "keywords": [{"term": 1}]}]},
        ["children", 0, "keywords", 0, "term"],
        "valid string",
    ),
    (
        {"name": "t", "children": [{"name": "a", "confidence_threshold": 2}]},
        ["children", 0, "confidence_threshold"],
        "less than or equal to 1",
    ),
    (DEEP, ["children", 0] * 11, "more than 10 levels deep"),
    ({"schema_version": 1, "taxonomy": {"name": "t", "children": [{}]}}, ["taxonomy", "children", 0, "name"], "requ"),
    ("names", [], "an object"),
]


@pytest.fixture
def api_settings(tmp_path: Path) -> Settings:
    (tmp_path / "config.toml").touch()
    return load_settings(tmp_path / "config.toml", {})


@pytest.mark.parametrize("field", FIELDS)
async def test_a_mistake_is_refused_with_its_place(api: Any, fake: FakeQueue, field: str) -> None:
    job_type, given = FIELDS[field]
    name = field.partition(" ")[0]
    for taxonomy, place, words in MISTAKES:
        parameters = {**given, name: {"taxonomy": taxonomy}}
        status, body = await api.post(f"{JOBS}/submit", {"job_type": job_type, "parameters": parameters})
        assert (status, body["error"]) == (400, "InvalidParameterError"), taxonomy
        told = {tuple(detail["loc"]): detail["msg"] for detail in body["details"]}
        where = ("parameters", name, "taxonomy", *place)
        assert told.keys() == {where} and words in told[where], body
        assert ".".join(map(str, where))[:40] in body["message"]
    assert not fake.new


async def test_all_mistakes_are_told_at_once(api: Any) -> None:
    taxonomy = {"name": "t", "children": [{"name": ""}, {"name": "b", "confidence_threshold": -1}, {"name": 1}]}
    parameters = {"source": CHUNKS, "taxonomy": {"taxonomy": taxonomy}, "seed": -1}
    _, body = await api.post(f"{JOBS}/submit", {"job_type": "extraction", "parameters": parameters})
    inside = ["parameters", "taxonomy", "taxonomy", "children"]
    assert [detail["loc"] for detail in body["details"]] == [
        ["parameters", "seed"],
        [*inside, 0, "name"],
        [*inside, 1, "confidence_threshold"],
        [*inside, 2, "name"],
    ]


@pytest.mark.parametrize(
    ("given", "above"),
    [(lambda tree: tree, []), (lambda tree: {"taxonomy": tree}, ["taxonomy"])],
    ids=["itself", "as a source"],
)
async def test_a_pipeline_tells_each_mistake_once(api: Any, fake: FakeQueue, given: Any, above: list[str]) -> None:
    tree = {"name": "t", "children": [{"name": "a"}, {"name": "a"}]}
    status, body = await api.post(
        f"{JOBS}/pipeline", {"documents": [{"text": "x", "name": "x"}], "taxonomy": given(tree)}
    )
    assert status == 400 and not fake.new
    assert [detail["loc"] for detail in body["details"]] == [["taxonomy", *above, "children", 1, "name"]]


SEA = {"name": "t", "children": [{"name": "Sea"}, {"name": "Food", "children": [{"name": "Fish"}]}]}
INWARD = "http://127.0.0.1:9/v1"
LLM = {"base_url": "https://example.org/v1", "model": "m"}


@pytest.mark.parametrize(
    ("job_type", "more", "loc", "words"),
    [
        ("extraction", {"selected_categories": ["Sea", "Fisch"]}, ["selected_categories", 1], "Did you mean 'Fish'"),
        (
            "extraction",
            {"selected_categories": ["Fish"], "extraction_depth": 1},
            ["selected_categories", 0],
            "deeper than extraction_depth",
        ),
        ("extraction", {"only_validated": True}, ["only_validated"], "needs enable_validation_stage"),
        ("extraction", {"entity_patterns": ["email"]}, ["entity_patterns"], "needs the extraction_type"),
        ("extraction", {"fuzzy_keywords": True}, ["fuzzy_keywords"], "needs the extraction_type"),
        ("extraction", {"prefilter": 3}, ["prefilter"], "is for mode 'llm'"),
        ("extraction", {"mode": "llm", "llm": LLM, "extraction_type": "ner"}, ["extraction_type"], "without a model"),
        ("extraction", {"mode": "llm", "llm": LLM, "granularity": "sentence"}, ["granularity"], "mode 'offline'"),
        (
            "extraction",
            {"mode": "llm", "llm": LLM, "enable_validation_stage": True, "validation_llm": {**LLM, "base_url": INWARD}},
            ["validation_llm", "base_url"],
            "validation_llm.base_url has the port",
        ),
        ("extraction", {"validation_llm": LLM}, ["validation_llm"], "needs mode 'llm' and enable_validation_stage"),
        ("taxonomy_processing", {"depth": 3, "category_limits": [3]}, ["category_limits"], "each of the 3 levels"),
        ("taxonomy_processing", {"extend_taxonomy": {"taxonomy": SEA}}, ["extend_taxonomy"], "not both"),
        ("taxonomy_processing", {"name": " "}, ["name"], "must not be blank"),
        ("taxonomy_processing", {"name": "a\tb"}, ["name"], "must not have control characters"),
        ("dataset_generation", {"generation_mode": "classification"}, ["generation_mode"], "labels_required: "),
        ("dataset_generation", {"selected_categories": ["Sea"]}, ["selected_categories"], "labels_required: "),
        ("dataset_generation", {"data_source": "chunks", "only_validated": True}, ["only_validated"], "extractions"),
        (
            "dataset_generation",
            {"fail_below_quality": True, "analyze_quality": False},
            ["fail_below_quality"],
            "analyze_quality",
        ),
    ],
)
async def test_parameters_that_do_not_go_together_are_refused_by_the_field(
    api: Any, job_type: str, more: dict[str, Any], loc: list[Any], words: str
) -> None:
    taxonomy = "base_taxonomy" if job_type == "taxonomy_processing" else "taxonomy"
    parameters = {"source": CHUNKS, taxonomy: {"taxonomy": SEA}, **more}
    status, body = await api.post(f"{JOBS}/submit", {"job_type": job_type, "parameters": parameters})
    (detail,) = body["details"]
    assert (status, detail["loc"]) == (400, ["parameters", *loc]) and words in detail["msg"]


async def test_names_that_several_categories_have(api: Any) -> None:
    children = [{"name": name, "children": [{"name": "Other"}]} for name in ("Sea", "Food")]
    parameters = {"source": CHUNKS, "taxonomy": {"taxonomy": {"name": "t", "children": children}}}
    parameters["selected_categories"] = ["Sea", "other", "See/Othr"]
    _, body = await api.post(f"{JOBS}/submit", {"job_type": "extraction", "parameters": parameters})
    first, second = body["details"]
    assert first["loc"] == ["parameters", "selected_categories", 1]
    assert first["msg"].startswith("ambiguous_category: 'other' is the name of several categories: 'Food/Other', 'Sea/")
    assert second["loc"] == ["parameters", "selected_categories", 2]
    assert second["msg"].startswith("unknown_category: There is no category 'See/Othr'. Did you mean 'Sea/Other'")


async def test_a_selection_of_many_that_there_are_not_gets_few_suggestions(api: Any) -> None:
    """Each takes a look at all names, and the server has others to answer."""
    parameters = {"source": CHUNKS, "taxonomy": {"taxonomy": SEA}, "selected_categories": ["Sia"] * 50}
    _, body = await api.post(f"{JOBS}/submit", {"job_type": "extraction", "parameters": parameters})
    assert [detail["loc"][-1] for detail in body["details"]] == list(range(50))
    assert ["Did you mean 'Sea'" in detail["msg"] for detail in body["details"]] == [True] * 3 + [False] * 47


async def submit_large(api: Any, count: int) -> tuple[int, Any]:
    tree = {"name": "t", "children": [{"name": f"{n} {'x' * 240}"} for n in range(count)]}
    body = {"job_type": "extraction", "parameters": {"source": CHUNKS, "taxonomy": {"taxonomy": tree}}}
    data, headers = io.BytesIO(json.dumps(body).encode()), {"Content-Type": "application/json"}
    status, answer, _ = await api.call("POST", f"{JOBS}/submit", data=data, headers=headers)
    return status, answer


async def test_what_is_too_large_is_told_so(api: Any, start: Any, tmp_path: Path, fake: FakeQueue) -> None:
    status, answer = await submit_large(api, 1100)
    assert (status, answer["error"]) == (413, "PayloadTooLargeError") and "name a file instead" in answer["message"]
    variables = {"JOBQUEUE_SERVER_MAX_PARAMETERS_BYTES": "4000000", "JOBQUEUE_SERVER_MAX_BODY_BYTES": "4000000"}
    large = await start(load_settings(tmp_path / "config.toml", variables), fake)
    status, answer = await submit_large(large, 4400)
    (detail,) = answer["details"]
    assert (status, detail["loc"]) == (400, ["parameters", "taxonomy", "taxonomy"])
    assert detail["msg"].startswith("source_too_large: is larger than 1,048,576 bytes; put it into a file")
    assert (await submit_large(large, 4000))[0] == 202


async def test_a_file_that_is_too_large_is_refused_by_its_path(api: Any, tmp_path: Path, start: Any) -> None:
    settings = load_settings(tmp_path / "config.toml", {"JOBQUEUE_STORAGE_INPUT_ROOT": str(tmp_path)})
    with (tmp_path / "large.json").open("wb") as file:
        file.truncate(64 * 1024 * 1024 + 1)
    reading = await start(settings, FakeQueue())
    for field, (job_type, given) in FIELDS.items():
        name = field.partition(" ")[0]
        parameters = {**given, name: {"path": "large.json"}}
        status, body = await reading.post(f"{JOBS}/submit", {"job_type": job_type, "parameters": parameters})
        assert (status, body["details"][0]["loc"]) == (400, ["parameters", name, "path"])
        assert body["details"][0]["msg"] == "source_too_large: larger than 67,108,864 bytes"
