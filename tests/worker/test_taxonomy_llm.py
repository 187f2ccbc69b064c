"""taxonomy_processing in mode `llm`, against a stand-in for the endpoint: what it is asked, and which names count."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from samples.document_support import FakeContext, read_lines
from samples.llm_stub import HANG, NONSENSE, Answer, Asked, in_turn, llm_stub, refused
from samples.taxonomy_support import SUBJECTS, assigned, given, taxonomy_of, texts

from worker.context import JobCancelled, PermanentError, RetryableError
from worker.jobs.shared.taxonomy import Node
from worker.jobs.taxonomy_processing.parameters import Parameters
from worker.jobs.taxonomy_processing.run import run

Tree = dict[str, Any]
WITHIN, TAKEN = "The category lies within", "Names that are taken"
WIDE = {"name": "Mine", "children": [{"id": "own", "name": "All", "description": " ".join(SUBJECTS.values())}]}


def part(asked: Asked, title: str) -> list[str]:
    """The lines below a title of what the model is told; what stands beside it comes first."""
    found = asked.text.partition(f"\n{title}:")[2].partition("\n\n")[0]
    return [line.strip().removeprefix("- ") for line in found.splitlines() if line.strip()]


def is_about_all(asked: Asked) -> bool:
    return "You name a taxonomy" in asked.text


def keyword(asked: Asked) -> str:
    return part(asked, "Keywords")[0].partition(",")[0].strip()


def named(name: str, description: str = "It says so.") -> Tree:
    return {"name": name, "description": description}


def writes(asked: Asked) -> Answer:
    """A model that gives each category another name, made of its first keyword."""
    if is_about_all(asked):
        return named("All of it", "Of all.")
    word = "Part" if part(asked, WITHIN) else "Word"
    return named(f"{word} {keyword(asked)}", keyword(asked))


class LlmJob:
    """A run of the job against a stand-in that answers so."""

    def __init__(
        self,
        folder: Path,
        answer: Callable[[Asked], Answer] | Answer = writes,
        place: str = "job",
        llm: Tree | None = None,
        check: Callable[[], None] = lambda: None,
        **values: Any,
    ) -> None:
        self.ctx = FakeContext(folder / place, folder, check)
        with llm_stub(answer) as self.stub:
            self.ctx.llm_base_urls = (self.stub.base_url,)
            options = self.stub.options(**(llm or {}))
            wanted = {"depth": 1, "category_limits": [4], **values}
            parameters = given(texts(200), mode="llm", llm=options, **wanted)
            self.result: Any = run(self.ctx, Parameters.model_validate(parameters))
        self.taxonomy = taxonomy_of(self.ctx)
        self.root = self.taxonomy["taxonomy"]

    @property
    def names(self) -> list[str]:
        return [child["name"] for child in self.root["children"]]

    @property
    def errors(self) -> list[Tree]:
        return read_lines(self.ctx.folder / "errors.jsonl")


def nodes(root: Tree, above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Tree]]:
    for child in root["children"]:
        path = (*above, child["name"])
        yield path, child
        yield from nodes(child, path)


@pytest.fixture(scope="module")
def offline(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    """The tree of the same chunks without a model."""
    folder = tmp_path_factory.mktemp("offline")
    ctx = FakeContext(folder / "job", folder)
    run(ctx, Parameters.model_validate(given(texts(200), depth=1, category_limits=[4])))
    root: Tree = taxonomy_of(ctx)["taxonomy"]
    return root


def test_the_model_names_what_was_found_offline(tmp_path: Path, offline: Tree) -> None:
    job = LlmJob(tmp_path)
    same = ("keywords", "examples", "size")
    assert [[child[key] for key in same] for child in job.root["children"]] == [
        [child[key] for key in same] for child in offline["children"]
    ]
    assert job.names == [f"Word {child['keywords'][0]['term']}" for child in offline["children"]]
    assert all(child["description"] == child["keywords"][0]["term"] for child in job.root["children"])
    assert (job.taxonomy["mode"], job.taxonomy["name"], job.taxonomy["description"]) == ("llm", "All of it", "Of all.")
    told = job.result["llm"]
    assert (told["model"], told["requests"], told["repaired"], told["failed_items"]) == ("stub", 5, 0, 0)
    assert told["prompt_tokens"] > told["completion_tokens"] > 0 and not told["budget_spent"]
    assert (job.result["failed_categories"], job.result["errors"], job.errors) == (0, [], [])
    assert job.result["taxonomy"]["name"] == "All of it" and job.result["artifacts"]["errors"] == "errors.jsonl"
    manifest = json.loads((job.ctx.folder / "manifest.json").read_text())
    files = {file.name for file in job.ctx.folder.iterdir()}
    assert {file["path"] for file in manifest["files"]} == files - {"manifest.json"}
    assert manifest["parameters"]["llm"]["model"] == "stub" and manifest["versions"]["openai"]


def test_assignments_and_ids_are_those_of_the_new_names(tmp_path: Path) -> None:
    job = LlmJob(tmp_path, depth=2, category_limits=[4, 3])
    found = dict(nodes(job.root))
    assert max(map(len, found)) == 2
    assert all(node["id"] == Node.stable_id(path) for path, node in found.items())
    for line in assigned(job.ctx):
        assert line["category_id"] == found[tuple(line["path"])]["id"]
    assert len(assigned(job.ctx)) == 200
    assert {path[-1][:5] for path in found if len(path) == 1} == {"Word "}
    assert {path[-1][:5] for path in found if len(path) == 2} == {"Part "}


def test_what_the_model_is_told_of_a_category(tmp_path: Path, offline: Tree) -> None:
    job = LlmJob(tmp_path, domain="Old ships", description="Letters of sailors", llm={"concurrency": 1})
    chunks = {f"{subject}:{n}": text for n, (subject, text) in enumerate(texts(200))}
    *asked, last = job.stub.asked
    for number, (said, child) in enumerate(zip(asked, offline["children"], strict=True)):
        assert said.body["response_format"]["json_schema"]["schema"]["required"] == ["name", "description"]
        assert part(said, "Domain") == ["Old ships"] and part(said, "About the texts") == ["Letters of sailors"]
        terms = [word["term"] for word in child["keywords"]]
        assert part(said, "Keywords") == [", ".join(terms[:20])]
        assert part(said, TAKEN) == job.names[:number]
        others = [" ".join(w["term"] for w in other["keywords"][:3]) for other in offline["children"][number + 1 :]]
        assert part(said, "Beside it, without a name yet, by their keywords") == others
        examples = [f"{n}. {chunks[chunk_id]}" for n, chunk_id in enumerate(child["examples"], 1)]
        assert part(said, "Example passages") == examples and len(examples) == 5
    assert is_about_all(last) and "Old ships" in last.text and "Letters of sailors" in last.text
    assert part(last, "Categories") == [f"{child['name']}: {child['description']}" for child in job.root["children"]]


def test_long_examples_are_shortened_and_a_lower_category_is_told_its_path(tmp_path: Path) -> None:
    long = [(subject, f"{text}\n\n" * 9) for subject, text in texts(200)]
    values = {"source": given(long)["source"], "depth": 2, "category_limits": [2, 2]}
    job = LlmJob(tmp_path, **values)
    assert all(len(line) < 510 and line.endswith("…") for line in part(job.stub.asked[0], "Example passages"))
    (below,) = {tuple(part(said, WITHIN)) for said in job.stub.asked} - {(), (job.names[1],)}
    assert below == (job.names[0],)
    (first, *_) = [said for said in job.stub.asked if tuple(part(said, WITHIN)) == below]
    assert part(first, "Names that are taken") == [job.names[0]], "what says no more than the one above"


def test_two_runs_are_equal_whatever_ends_first(tmp_path: Path) -> None:
    """With nonsense and duplicates among the replies."""

    def answer(asked: Asked) -> Answer:
        if is_about_all(asked):
            return writes(asked)
        word = keyword(asked)
        return NONSENSE if len(word) == 4 else named("Same" if len(word) == 5 else f"Word {word}")

    values: Tree = {"depth": 3, "category_limits": [4, 3, 2]}
    jobs = [LlmJob(tmp_path, answer, f"at{n}", {"concurrency": n}, **values) for n in (1, 4, 4)]
    assert jobs[0].stub.most_at_once == 1 < jobs[1].stub.most_at_once <= 4
    assert 0 < jobs[0].result["failed_categories"] < jobs[0].result["categories_count"]
    assert jobs[0].result == jobs[1].result == jobs[2].result
    for file in ("taxonomy.json", "assignments.jsonl", "errors.jsonl"):
        assert len({(job.ctx.folder / file).read_bytes() for job in jobs}) == 1, file


def test_nonsense_leaves_the_name_of_its_category_as_it_is_offline(tmp_path: Path, offline: Tree) -> None:
    second = offline["children"][1]
    word = second["keywords"][0]["term"]

    def answer(asked: Asked) -> Answer:
        return NONSENSE if not is_about_all(asked) and keyword(asked) == word else writes(asked)

    job = LlmJob(tmp_path, answer)
    kept = job.root["children"][1]
    assert all(kept[key] == second[key] for key in ("id", "name", "description"))
    assert [name.startswith("Word ") for name in job.names] == [True, False, True, True]
    assert (job.result["failed_categories"], job.result["llm"]["failed_items"]) == (1, 1)
    (error,) = job.result["errors"]
    assert job.errors == [error] and error["code"] == "llm_bad_reply" and not error["retryable"]
    assert (error["stage"], error["category_id"], error["category"]) == ("name", second["id"], second["name"])


@pytest.mark.parametrize(
    "bad", [named(" '*' "), named("x", " "), named("long " * 20), {"name": "x"}, {**named("x"), "y": 1}]
)
def test_names_of_no_use_are_asked_for_once_more(tmp_path: Path, bad: Tree) -> None:
    job = LlmJob(tmp_path, lambda asked: writes(asked) if asked.is_repair else bad)
    assert (job.result["failed_categories"], job.result["llm"]["repaired"]) == (0, 5)
    assert job.taxonomy["name"] == "All of it"


def test_names_are_cleaned(tmp_path: Path) -> None:
    def answer(asked: Asked) -> Answer:
        if is_about_all(asked):
            return named("“A\ud800 whole”", "x" * 600)
        return named(f'**"{keyword(asked)} / and\n\tthe e\u0301lan".**', " It\x00  says\u2028so. ")

    job = LlmJob(tmp_path, answer)
    assert job.taxonomy["name"] == "A whole" and job.taxonomy["description"] == "x" * 499 + "…"
    assert all(name.endswith("-and the élan") and name[0].isalpha() for name in job.names)
    assert {child["description"] for child in job.root["children"]} == {"It says so."}


def test_a_name_that_a_sibling_has_is_asked_for_once_more(tmp_path: Path) -> None:
    """Capitals make no difference."""

    def answer(asked: Asked) -> Answer:
        if is_about_all(asked) or asked.is_repair:
            return writes(asked)
        return named("SAME" if part(asked, TAKEN) else "Same")

    job = LlmJob(tmp_path, answer)
    assert job.names[0] == "Same" and all(name.startswith("Word ") for name in job.names[1:])
    assert (job.result["failed_categories"], job.result["llm"]["repaired"]) == (0, 3)
    complaints = [asked.body["messages"][-1]["content"] for asked in job.stub.asked if asked.is_repair]
    assert "'SAME' is taken" in complaints[0] and f": Same; {job.names[1]}." in complaints[1]


def test_a_name_that_a_sibling_has_twice_gives_way_to_the_offline_one(tmp_path: Path, offline: Tree) -> None:
    taken = offline["children"][1]["name"].upper()
    job = LlmJob(tmp_path, lambda asked: writes(asked) if is_about_all(asked) else named(taken))
    assert job.names[0] == taken and [*job.names[2:]] == [child["name"] for child in offline["children"][2:]]
    # The model has given the first one the offline name of the second.
    assert job.names[1].startswith(f"{offline['children'][1]['name']}, ")
    assert job.result["failed_categories"] == 3 and job.result["llm"]["repaired"] == 0
    assert {error["code"] for error in job.errors} == {"llm_bad_reply"}
    assert all(f"'{taken}'" in error["message"] for error in job.errors)
    assert [error["category_id"] for error in job.errors] == [child["id"] for child in job.root["children"][1:]]


def test_the_name_of_the_category_above_is_none_for_one_below(tmp_path: Path) -> None:
    answer = in_turn(named("ALL"), named("Sea"), named("all"), named("All"))
    values = {"extend_taxonomy": {"taxonomy": WIDE}, "depth": 2, "category_limits": [2, 2]}
    job = LlmJob(tmp_path, answer, llm={"concurrency": 1}, **values)
    first, second = job.root["children"][0]["children"]
    assert first["name"] == "Sea" and second["name"] not in ("All", "all", "Sea")
    assert (job.result["failed_categories"], job.result["llm"]["repaired"]) == (1, 1)


def test_names_that_were_given_stay(tmp_path: Path) -> None:
    values = {"depth": 2, "category_limits": [4, 4]}
    job = LlmJob(tmp_path, extend_taxonomy={"taxonomy": WIDE}, **values)
    (only,) = job.root["children"]
    assert (only["id"], only["name"], only["description"]) == ("own", "All", WIDE["children"][0]["description"])
    assert (job.taxonomy["name"], job.result["warnings"]) == ("Mine", [])
    assert len(only["children"]) == len(job.stub.asked) >= 2
    assert all(child["name"].startswith("Part ") for child in only["children"])
    assert {tuple(part(asked, WITHIN)) for asked in job.stub.asked} == {("All",)}


def test_with_all_names_given_nothing_is_asked(tmp_path: Path) -> None:
    job = LlmJob(tmp_path, base_taxonomy={"taxonomy": WIDE})
    assert job.stub.asked == [] and job.names == ["All"] and job.result["llm"]["requests"] == 0
    assert [warning["code"] for warning in job.result["warnings"]] == ["nothing_to_name"]


def test_the_callers_name_and_description_of_the_whole_count(tmp_path: Path) -> None:
    job = LlmJob(tmp_path, place="a", description="My own.")
    assert (job.taxonomy["name"], job.taxonomy["description"]) == ("All of it", "My own.")
    job = LlmJob(tmp_path, place="b", name="Mine")
    assert (job.taxonomy["name"], job.taxonomy["description"]) == ("Mine", "")
    assert not any(map(is_about_all, job.stub.asked)) and len(job.stub.asked) == job.result["categories_count"] == 4


def test_a_whole_that_gets_no_name_is_told_of(tmp_path: Path) -> None:
    job = LlmJob(tmp_path, lambda asked: NONSENSE if is_about_all(asked) else writes(asked))
    assert job.taxonomy["name"] == "Taxonomy" and job.result["failed_categories"] == 1
    assert [(error["category_id"], error["category"]) for error in job.errors] == [(job.root["id"], "")]


def test_the_budget_is_kept(tmp_path: Path, offline: Tree) -> None:
    job = LlmJob(tmp_path, llm={"max_requests": 2})
    assert len(job.stub.asked) == 2 and job.result["llm"]["budget_spent"]
    assert [name.startswith("Word ") for name in job.names] == [True, True, False, False]
    assert job.names[2:] == [child["name"] for child in offline["children"][2:]]
    assert [error["code"] for error in job.errors] == ["llm_budget_spent"] * 3


def test_nothing_but_nonsense_fails_the_job(tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match="All 5 items failed") as caught:
        LlmJob(tmp_path, NONSENSE)
    assert caught.value.code == "llm_bad_reply" and list((tmp_path / "job").iterdir()) == []


@pytest.mark.parametrize("limit", [2, 12])
def test_an_endpoint_that_is_down_can_be_tried_again(tmp_path: Path, limit: int) -> None:
    with pytest.raises(RetryableError) as caught:
        LlmJob(tmp_path, refused(503), category_limits=[limit], min_category_size=2)
    assert caught.value.code == "llm_unavailable" and list((tmp_path / "job").iterdir()) == []


def test_an_endpoint_that_goes_down_leaves_nothing(tmp_path: Path) -> None:
    values = {"depth": 2, "category_limits": [4, 4], "min_category_size": 2}
    with pytest.raises(RetryableError, match="5 items in a row"):
        LlmJob(tmp_path, lambda asked: writes(asked) if asked.number < 4 else refused(503), **values)
    assert list((tmp_path / "job").iterdir()) == []


def test_a_cancelled_job_stops_asking_and_leaves_nothing(tmp_path: Path) -> None:
    hangs = threading.Event()

    def answer(asked: Asked) -> Answer:
        hangs.set()
        return HANG

    def check() -> None:
        if hangs.is_set():
            raise JobCancelled

    with pytest.raises(JobCancelled):
        LlmJob(tmp_path, answer, check=check)
    assert list((tmp_path / "job").iterdir()) == []


def test_progress_tells_how_many_are_named(tmp_path: Path) -> None:
    job = LlmJob(tmp_path)
    notes = job.ctx.notes
    assert [note[0] for note in notes] == sorted(note[0] for note in notes) and notes[-1][0] == 1
    steps = [(step, done, total) for _, step, done, total in notes if step.startswith("Naming categories ")]
    assert [*dict.fromkeys(steps)] == [(f"Naming categories {n}/5", n, 5) for n in range(6)]
    # Most of the time passes here.
    assert next(fraction for fraction, step, _, _ in notes if step == "Naming categories 0/5") < 0.4


@pytest.mark.parametrize(
    ("more", "field", "words"),
    [
        ({"mode": "llm"}, ("llm",), "mode 'llm' needs llm"),
        ({"llm": {"base_url": "http://a.example/v1", "model": "m"}}, ("llm",), "llm is for mode 'llm'"),
        ({"mode": "large"}, ("mode",), "'offline' or 'llm'"),
        ({"mode": "llm", "llm": {"base_url": "http://a.example/v1"}}, ("llm", "model"), "required"),
    ],
)
def test_parameters_that_make_no_sense(more: Tree, field: tuple[str, ...], words: str) -> None:
    with pytest.raises(ValidationError, match=words) as caught:
        Parameters.model_validate(given(texts(1), **more))
    assert [error["loc"] for error in caught.value.errors()] == [field]


def test_an_address_is_refused_at_submit_and_by_the_job(tmp_path: Path) -> None:
    llm = {"base_url": "http://127.0.0.1:9/v1", "model": "m"}
    parameters = Parameters.model_validate({"source": {"path": "none.jsonl"}, "mode": "llm", "llm": llm})
    assert [place for place, _ in parameters.check_llm(())] == [("llm", "base_url")]
    assert parameters.check_llm(("http://127.0.0.1:9/v1",)) == []
    with pytest.raises(PermanentError) as caught:
        run(FakeContext(tmp_path / "job", tmp_path), parameters)
    assert caught.value.code == "llm_base_url_refused"
