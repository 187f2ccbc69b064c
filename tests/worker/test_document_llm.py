"""document_processing in mode `llm`, against a stand-in for the endpoint: where a model says that texts turn to another
matter, and what is not believed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from samples.document_support import FakeContext, check_chunks, read_lines, texts_of
from samples.llm_stub import HANG, NONSENSE, Answer, Asked, in_turn, llm_stub, refused

from worker.context import JobCancelled, PermanentError, RetryableError
from worker.jobs.document_processing import beginnings
from worker.jobs.document_processing.beginnings import WINDOW, Window, borders_in, windows
from worker.jobs.document_processing.parameters import Parameters
from worker.jobs.document_processing.run import run

MOON = "The moon pulls the water. Twice a day the water rises."
BREAD = "Knead the dough for ten minutes. Let it rest, then bake it."
SHIP = "A ship needs a rudder. Without one it drifts."
TEXT = f"{MOON} {BREAD}\n\n## Ships\n\n{SHIP}\n"
ONE = [{"name": "a.md", "text": TEXT}]
LLM = {"base_url": "https://example.org/v1", "model": "m"}


def begins(*words: str) -> Answer:
    return {"beginnings": list(words)}


class LlmJob:
    """A run of the job against a stand-in that answers so."""

    def __init__(self, tmp_path: Path, answer: Any, name: str = "job", **values: Any) -> None:
        self.ctx = FakeContext(tmp_path / name, tmp_path, values.pop("check", lambda: None))
        options = values.pop("llm", {})
        given = {"documents": ONE, "chunk_strategy": "semantic", "min_chunk_chars": 0, "mode": "llm", **values}
        with llm_stub(answer) as self.stub:
            self.ctx.llm_base_urls = (self.stub.base_url,)
            parameters = Parameters.model_validate({**given, "llm": self.stub.options(**options)})
            self.result: Any = run(self.ctx, parameters)
        texts = texts_of(self.ctx.folder)
        self.chunks = read_lines(self.ctx.folder / "chunks.jsonl")
        for document, text in texts.items():
            check_chunks(text, [chunk for chunk in self.chunks if chunk["document_id"] == document])

    @property
    def texts(self) -> list[str]:
        return [chunk["text"] for chunk in self.chunks]

    @property
    def warnings(self) -> list[list[str]]:
        records = read_lines(self.ctx.folder / "documents.jsonl")
        return [[warning["code"] for warning in record["warnings"]] for record in records]

    def files(self) -> dict[str, bytes]:
        found = [file for file in self.ctx.folder.rglob("*") if file.is_file() and file.name != "manifest.json"]
        return {str(file.relative_to(self.ctx.folder)): file.read_bytes() for file in found}


def offline(tmp_path: Path, documents: list[dict[str, str]], **values: Any) -> list[str]:
    given = {"documents": documents, "chunk_strategy": "semantic", "min_chunk_chars": 0, **values}
    ctx = FakeContext(tmp_path / "offline", tmp_path)
    result = run(ctx, Parameters.model_validate(given))
    assert result["llm"] is None
    return [chunk["text"] for chunk in read_lines(ctx.folder / "chunks.jsonl")]


def test_chunks_begin_where_the_model_says(tmp_path: Path) -> None:
    job = LlmJob(tmp_path, begins("Knead the dough", "Ships"))
    assert job.texts == [MOON, BREAD, f"## Ships\n\n{SHIP}"]
    assert [chunk["headings"] for chunk in job.chunks] == [[], [], ["Ships"]]
    assert {chunk["strategy"] for chunk in job.chunks} == {"semantic"}
    told = job.result["llm"]
    assert (told["model"], told["requests"], told["ungrounded_dropped"], told["fallback_documents"]) == (
        "stub",
        1,
        0,
        0,
    )
    assert job.warnings == [[]]
    (asked,) = job.stub.asked
    assert asked.text.endswith(f"Passage:\n{TEXT}") and "Before the passage" not in asked.text
    schema = asked.body["response_format"]["json_schema"]["schema"]
    assert schema["required"] == ["beginnings"] and schema["additionalProperties"] is False
    manifest = json.loads((job.ctx.folder / "manifest.json").read_text())
    assert manifest["parameters"]["mode"] == "llm" and manifest["parameters"]["llm"]["model"] == "stub"


def test_invented_headings_are_dropped_and_counted(tmp_path: Path) -> None:
    job = LlmJob(tmp_path, begins("Chapter 1: Introduction", "Knead the dough", "The moon pulls", "", "Ships"))
    assert job.texts == [MOON, BREAD, f"## Ships\n\n{SHIP}"]
    # The third stands before the second.
    assert job.result["llm"]["ungrounded_dropped"] == 3


def test_sizes_and_short_pieces_are_as_offline(tmp_path: Path) -> None:
    answer = begins("Knead the dough", "Ships", "Without one")
    joined = LlmJob(tmp_path, answer, "a", min_chunk_chars=40).texts
    assert joined == [MOON, BREAD, f"## Ships\n\n{SHIP}"]
    long = [{"name": "a.txt", "text": f"{MOON} " * 5 + BREAD}]
    small = LlmJob(tmp_path, begins("Knead the dough"), "b", documents=long, chunk_size=32)
    # What is larger is cut, and laps over only there.
    assert len(small.texts) > 3 and small.texts[-1] == BREAD
    assert LlmJob(tmp_path, begins(), "c").texts == [TEXT.strip()]


def test_nonsense_leaves_the_borders_of_offline(tmp_path: Path) -> None:
    documents = [*ONE, {"name": "b.md", "text": "Nothing here is clear. " + TEXT}]

    def answer(asked: Asked) -> Answer:
        return NONSENSE if "Nothing here" in asked.text else begins("Ships")

    job = LlmJob(tmp_path, answer, documents=documents, semantic_threshold=1.2)
    expected = offline(tmp_path, documents, semantic_threshold=1.2)
    first = [chunk["text"] for chunk in job.chunks if chunk["document_id"].startswith("0001")]
    rest = [chunk["text"] for chunk in job.chunks if chunk["document_id"].startswith("0002")]
    assert first == [f"{MOON} {BREAD}", f"## Ships\n\n{SHIP}"]
    assert len(rest) > 1 and rest == expected[-len(rest) :] and len(expected) > len(rest)
    assert job.warnings == [[], ["llm_fallback"]]
    told = job.result["llm"]
    assert (told["fallback_documents"], told["failed_items"]) == (1, 1)
    assert job.result["documents"][1]["warnings"] == ["llm_fallback"] and job.result["failed_documents"] == 0
    message = read_lines(job.ctx.folder / "documents.jsonl")[1]["warnings"][0]["message"]
    assert "'offline'" in message and message.endswith("(llm_bad_reply).")


def test_an_endpoint_that_fails_once_and_a_budget_cost_one_document_each_its_borders(tmp_path: Path) -> None:
    documents = [{"name": f"{n}.md", "text": TEXT} for n in range(4)]
    answer = in_turn(begins("Ships"), refused(503), begins("Ships"))
    job = LlmJob(tmp_path, answer, documents=documents, llm={"concurrency": 1, "max_requests": 3})
    assert job.warnings == [[], ["llm_fallback"], [], ["llm_fallback"]]
    assert len(job.stub.asked) == 3 and job.result["llm"]["budget_spent"] is True


@pytest.mark.parametrize("count", [1, 8])
def test_an_endpoint_that_is_down_can_be_tried_again(tmp_path: Path, count: int) -> None:
    documents = [{"name": f"{n}.md", "text": TEXT} for n in range(count)]
    with pytest.raises(RetryableError) as caught:
        LlmJob(tmp_path, refused(503), documents=documents)
    assert caught.value.code == "llm_unavailable" and not (tmp_path / "job" / "chunks.jsonl").exists()


def test_a_cancelled_job_stops_asking_and_leaves_nothing(tmp_path: Path) -> None:
    asked: list[Asked] = []

    def answer(said: Asked) -> Answer:
        asked.append(said)
        return HANG

    def check() -> None:
        if asked:
            raise JobCancelled

    with pytest.raises(JobCancelled):
        LlmJob(tmp_path, answer, check=check)
    assert not (tmp_path / "job" / "chunks.jsonl").exists() and not (tmp_path / "job" / "manifest.json").exists()


def test_two_runs_leave_the_same(tmp_path: Path) -> None:
    long = "\n\n".join(f"Matter {n} begins. " + f"{MOON} " * 30 for n in range(30))
    documents = [*ONE, {"name": "long.txt", "text": long}]

    def answer(asked: Asked) -> Answer:
        passage = asked.text.partition("Passage:\n")[2]
        return begins(*(line[:20] for line in passage.split("\n") if line.startswith("Matter")), "Invented")

    one, two = (LlmJob(tmp_path, answer, name, documents=documents) for name in ("a", "b"))
    assert one.files() == two.files() and one.result["llm"] == two.result["llm"]


def test_a_long_text_is_asked_about_in_parts(tmp_path: Path) -> None:
    paragraphs = [f"Matter {n} begins. " + f"{MOON} " * 12 for n in range(40)]
    text = "\n\n".join(paragraphs)

    def answer(asked: Asked) -> Answer:
        passage = asked.text.partition("Passage:\n")[2]
        return begins(*(" ".join(line.split()[:3]) for line in passage.split("\n") if line))

    job = LlmJob(tmp_path, answer, documents=[{"name": "a.txt", "text": text}], chunk_size=2000)
    assert job.texts == [paragraph.strip() for paragraph in paragraphs]
    assert len(job.stub.asked) > 2 and all(len(asked.text) < WINDOW + 3000 for asked in job.stub.asked)
    assert sum("Before the passage" in asked.text for asked in job.stub.asked) == len(job.stub.asked) - 1
    notes = [note[0] for note in job.ctx.notes]
    assert notes == sorted(notes) and any(note[1] == "Asking the model" for note in job.ctx.notes)


def test_nothing_but_nonsense_fails_nothing_and_can_be_asked_about_anew(tmp_path: Path) -> None:
    """The warning is about the chunks of its job, and does not go with the texts."""
    first = LlmJob(tmp_path, NONSENSE, "11111111-1111-4111-8111-111111111111")
    assert first.warnings == [["llm_fallback"]] and first.result["processed_documents"] == 1
    values = {"skip_parsing": True, "source": {"job_id": first.ctx.folder.name}}
    ctx = FakeContext(tmp_path / "again", tmp_path)
    with llm_stub(begins("Ships")) as stub:
        ctx.llm_base_urls = (stub.base_url,)
        given = {**values, "chunk_strategy": "semantic", "mode": "llm", "llm": stub.options(), "min_chunk_chars": 0}
        result: Any = run(ctx, Parameters.model_validate(given))
    assert result["llm"]["fallback_documents"] == 0 and result["documents"][0]["warnings"] == []
    assert [chunk["text"] for chunk in read_lines(ctx.folder / "chunks.jsonl")][-1] == f"## Ships\n\n{SHIP}"


@pytest.mark.parametrize("strategy", ["token", "character", "delimiter", "heading", None])
def test_other_strategies_ask_nothing(strategy: str | None) -> None:
    given = {"documents": ONE, "mode": "llm", "llm": LLM} | ({"chunk_strategy": strategy} if strategy else {})
    with pytest.raises(ValidationError) as caught:
        Parameters.model_validate(given)
    (mistake,) = caught.value.errors()
    assert mistake["loc"] == ("mode",) and "chunk_strategy 'semantic'" in mistake["msg"]


@pytest.mark.parametrize(
    "values", [{"mode": "llm"}, {"llm": LLM}, {"mode": "llm", "llm": LLM | {"base_url": "ftp://example.org"}}]
)
def test_refused_combinations(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        Parameters.model_validate({"documents": ONE, "chunk_strategy": "semantic", **values})
    assert [error["loc"][0] for error in caught.value.errors()] == ["llm"]


def test_a_strangers_address_is_refused_at_submit_and_by_the_job(tmp_path: Path) -> None:
    llm = {"base_url": "http://127.0.0.1:9/v1", "model": "m"}
    given = {"documents": ONE, "chunk_strategy": "semantic", "mode": "llm", "llm": llm}
    parameters = Parameters.model_validate(given)
    assert [place for place, _ in parameters.check_llm([])] == [("llm", "base_url")]
    assert parameters.check_llm(["http://127.0.0.1:9/v1"]) == []
    with pytest.raises(PermanentError) as caught:
        run(FakeContext(tmp_path / "job", tmp_path), parameters)
    assert caught.value.code == "llm_base_url_refused"


def borders(text: str, *beginnings: str) -> list[str]:
    """What follows each border, cut short."""
    return [text[place : place + 12] for place in borders_in(Window(0, text, ""), beginnings)[0]]


@pytest.mark.parametrize(
    ("text", "said", "found"),
    [
        ("One two.\n\n### 3.1 Sea level\n\nIt rose.", "Sea level", "### 3.1 Sea "),
        ("One two.\n\n### 3.1 Sea level\n\nIt rose.", "### 3.1 Sea level", "### 3.1 Sea "),
        ("One two.\n- Sea\n  level rose", "Sea level  rose", "- Sea\n  leve"),
        ("One two.\n1. Sea level rose.", "Sea level", "1. Sea level"),
        ('One two. "Sea level", he said.', "Sea level", '"Sea level",'),
        ("One sea. Sea level rose.", "Sea", "Sea level ro"),
        # Inside of a sentence, but too long to be there by chance: the sentence begins there.
        ("One. Later the sea level rose again. So.", "the sea level rose again", "Later the se"),
        ("One. Later the sea level rose again. So.", "the sea levl rose again", "Later the se"),
        ("One. Later the sea level rose again. So.", "the sea", None),
        ("One. Later the sea level rose again. So.", "Lat", None),
        ("海は広い。山は高い。", "山は", "山は高い。"),
        ("One. Two.", " \n", None),
    ],
)
def test_where_a_beginning_is(text: str, said: str, found: str | None) -> None:
    assert borders(text, said) == ([] if found is None else [found])


def test_the_same_words_twice_are_two_places() -> None:
    text = "Sum.\nOne.\nSum.\nTwo."
    assert borders_in(Window(100, text, ""), ["Sum.", "Sum.", "Sum."]) == ([100, 110], 1)


def test_a_reply_that_is_of_no_use_is_not_looked_for_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []
    find = beginnings._Sentences.find

    def find_and_note(self: beginnings._Sentences, said: str, lowest: int) -> int | None:
        looked.append(said)
        return find(self, said, lowest)

    monkeypatch.setattr(beginnings._Sentences, "find", find_and_note)
    text = "Begin. " + "0 " * 5000
    assert borders_in(Window(0, text, ""), ["Begin.", *["Of another book altogether."] * 500]) == ([0], 500)
    assert len(looked) < 20


@pytest.mark.parametrize(
    ("said", "place"),
    [
        (["### 3.1 Sea", "Sea"], 0),
        (["The sea level rose", "sea level rose again and"], 12),
        (["sea level rose again and", "The sea"], 12),
    ],
)
def test_one_sentence_is_one_place(said: list[str], place: int) -> None:
    text = "### 3.1 Sea\nThe sea level rose again and again. So."
    assert borders_in(Window(0, text, ""), said) == ([place], 1)


def test_windows_are_the_text() -> None:
    for text in ("x" * 50_000, "word. " * 9000, "a paragraph\n\n" * 5000, "short", "x\n\n" + " " * 40_000 + "y"):
        parts = list(windows(text))
        assert all(text[part.start : part.start + len(part.text)] == part.text for part in parts)
        assert all(len(part.text) <= WINDOW for part in parts)
        assert "".join(part.text for part in parts).split() == text.split() or "x" * 9 in text
        assert sum(len(part.text.replace(" ", "")) for part in parts) == len(text.replace(" ", ""))
    assert list(windows("")) == [] and list(windows(" \n")) == []
