"""extraction: entities by keyword and by pattern, at their exact places."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, get_args

import pytest
from samples.extraction_support import TAXONOMY, Job, corpus, one

from worker.context import PermanentError
from worker.jobs.extraction import patterns as patterns_module
from worker.jobs.extraction.keywords import Hit, Keywords
from worker.jobs.extraction.parameters import BuiltIn
from worker.jobs.extraction.patterns import Patterns

EXAMPLES: dict[BuiltIn, tuple[str, list[str]]] = {
    "email": (
        "Mail jo.doe+x@mail.example.org, or a@b; not x@y. But ü@example.com!",
        ["jo.doe+x@mail.example.org", "ü@example.com"],
    ),
    "url": (
        "See https://example.org/a_(b)?q=1#c. Or (www.example.com), not http.",
        ["https://example.org/a_(b)?q=1#c", "www.example.com"],
    ),
    "date": (
        "On 2024-01-31, 31.01.2024, 1/31/24, 3 March 2024, March 5th, 1987 and Sept 1999; not 2024-13-01 or 1.2.3.",
        ["2024-01-31", "31.01.2024", "1/31/24", "3 March 2024", "March 5th, 1987", "Sept 1999"],
    ),
    "number_unit": (
        "It ran 3.5 km in 12 minutes, 1,250.5 kg at -4 °C for $4.5 million, 30% or 7 pct, not 5 kmx or 12.",
        ["3.5 km", "12 minutes", "1,250.5 kg", "-4 °C", "$4.5 million", "30%", "7 pct"],
    ),
    "version": (
        "From v2 and v1.2.3-rc1 to 10.4.0, not 3.14 or 10.0.0.1.",
        ["v2", "v1.2.3-rc1", "10.4.0"],
    ),
    "ip": (
        "Hosts 10.0.0.1, 2001:db8::1 and ::1, not 300.1.1.1, 1.2.3.4.5 or 12:30.",
        ["10.0.0.1", "2001:db8::1", "::1"],
    ),
    "acronym": ("NASA, the U.S. and H2O met AT&T; not A, Nasa or IMPORTANT.", ["NASA", "U.S.", "H2O", "AT&T"]),
    "proper_name": (
        "The Bank of England paid John F. Kennedy in Weston-super Mare, he said. In London Jean-Luc Picard won.",
        ["Bank of England", "John F. Kennedy", "London Jean-Luc Picard"],
    ),
}


def test_there_is_an_example_of_each_pattern() -> None:
    assert EXAMPLES.keys() == set(get_args(BuiltIn))


@pytest.mark.parametrize("name", EXAMPLES)
def test_built_in_patterns(name: BuiltIn) -> None:
    text, expected = EXAMPLES[name]
    assert [text[start:end] for _, start, end in Patterns([name]).find(text)] == expected


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize("piece", ["a", "A", "1", "1.", "a.", "A.", "a@", ":", "a-", "Aa ", "A ", "www.", "1,"])
def test_built_in_patterns_are_fast_on_any_text(name: BuiltIn, piece: str) -> None:
    begun = time.monotonic()
    list(Patterns([name]).find(piece * 10_000 + "!"))
    assert time.monotonic() - begun < 3


def found_by(tmp_path: Path, text: str, **values: Any) -> list[tuple[str, str, str]]:
    job = Job(tmp_path, one(text), **{"extraction_type": "entity", **values})
    assert all(text[line["start"] : line["end"]] == line["text"] for line in job.lines)
    return [(line["type"], "/".join(line["category_path"]), line["text"]) for line in job.lines]


def test_keywords_and_patterns_of_a_chunk(tmp_path: Path) -> None:
    text = "İ wrote to a@b.org on ASTRONOMY, gastronomy and sailing-boats; cooking\noil costs 5 kg."
    taxonomy = {
        "name": "t",
        "children": [*TAXONOMY["children"], {"name": "oil", "keywords": [{"term": "cooking oil"}]}],
    }
    own = {"name": "word", "pattern": r"\bwr\w+"}
    found = found_by(tmp_path, text, taxonomy={"taxonomy": taxonomy}, entity_patterns=["email", own])
    assert found == [
        ("keyword", "Astronomy", "ASTRONOMY"),
        ("keyword", "Sailing", "sailing"),
        ("keyword", "Cooking", "cooking"),
        ("keyword", "oil", "cooking\noil"),
        ("email", "email", "a@b.org"),
        ("word", "word", "wrote"),
    ]
    line = Job(tmp_path, one(text), "again", extraction_type="ner", entity_patterns=["email"]).lines[-1]
    assert (line["category_id"], line["confidence"], line["method"]) == ("entity:email", 1.0, "pattern")


def test_entities_without_patterns(tmp_path: Path) -> None:
    text = "Sailing to a@b.org on 2024-01-31."
    assert {kind for kind, _, _ in found_by(tmp_path, text, entity_patterns=[])} == {"keyword"}
    assert {kind for kind, _, _ in found_by(tmp_path, text)} == {"keyword", "email", "date"}


def test_offsets_are_those_of_the_document(tmp_path: Path) -> None:
    chunks = one("Sailing is on 2024-01-31.", start=100, end=125)
    places = {x["type"]: (x["start"], x["end"]) for x in Job(tmp_path, chunks, extraction_type="both").lines}
    assert places == {"whole_text": (100, 125), "keyword": (100, 107), "date": (114, 124)}


def test_what_two_chunks_share_is_told_once(tmp_path: Path) -> None:
    text = "Write to a@b.org today. Or to c@d.org."
    pieces = [(0, 24), (9, 38)]
    chunks = [
        {"chunk_id": f"d:{n}", "document_id": "d", "text": text[a:b], "start": a, "end": b}
        for n, (a, b) in enumerate(pieces)
    ]
    star = {"name": "t", "children": [{"name": "write"}]}
    values = {"taxonomy": {"taxonomy": star}, "extraction_type": "entity", "entity_patterns": ["email"]}
    assert [line["text"] for line in Job(tmp_path, chunks, **values).lines] == ["Write", "a@b.org", "c@d.org"]
    # Without a known place in the document each chunk stands for itself.
    for chunk in chunks:
        del chunk["start"], chunk["end"]
    assert [line["text"] for line in Job(tmp_path, chunks, "apart", **values).lines].count("a@b.org") == 2


def test_fuzzy_keywords(tmp_path: Path) -> None:
    children = [{"name": "astronomy"}, {"name": "moons"}]
    values = {"taxonomy": {"taxonomy": {"name": "t", "children": children}}, "entity_patterns": []}
    texts = one("He studied astronnomy and moonss; astronomy too.")
    exact = Job(tmp_path, texts, "a", extraction_type="entity", **values).lines
    fuzzy = Job(tmp_path, texts, "b", extraction_type="entity", fuzzy_keywords=True, **values).lines
    assert [line["text"] for line in exact] == ["astronomy"]
    # Five letters are too few to be sure.
    assert [(line["text"], line["method"]) for line in fuzzy] == [
        ("astronnomy", "fuzzy_keyword"),
        ("astronomy", "keyword"),
    ]
    assert 0.9 <= fuzzy[0]["confidence"] < 1
    strict = Job(tmp_path, texts, "c", extraction_type="entity", fuzzy_keywords=True, confidence_threshold=1, **values)
    assert [line["text"] for line in strict.lines] == ["astronomy"]


def test_hits_of_one_category_do_not_overlap() -> None:
    keywords = Keywords([["interest", "interest rate", "rate cut"], ["rate"]], is_fuzzy=True)
    assert keywords.find("the interest rate cut") == [Hit(4, 17, 0, 1.0), Hit(13, 17, 1, 1.0)]
    assert keywords.find("an intrest rate, an interest") == [
        Hit(3, 15, 0, pytest.approx(0.96, abs=0.01)),
        Hit(11, 15, 1, 1.0),
        Hit(20, 28, 0, 1.0),
    ]


def test_words_of_scripts_without_blanks() -> None:
    assert Keywords([["天文"]], is_fuzzy=False).find("現代天文学の歴史") == [Hit(2, 4, 0, 1.0)]
    assert Keywords([[" "], []], is_fuzzy=True).find("nothing to find") == []


def test_keywords_of_a_child_need_its_parent(tmp_path: Path) -> None:
    """Contextual: 'bank' means money only where the text is about finance."""
    finance = {"name": "Finance", "description": "Money loan credit interest", "children": [{"name": "Bank"}]}
    tree = {"name": "t", "children": [finance, {"name": "River", "description": "Water shore flood stream"}]}
    chunks = [*one("The bank gave a loan of money at interest."), *one("The bank of the stream: water, shore, flood.")]
    chunks[1]["chunk_id"] = "d:1"
    values = {"taxonomy": {"taxonomy": tree}, "extraction_type": "entity", "entity_patterns": []}
    contextual = Job(tmp_path, chunks, "a", **values).lines
    everywhere = Job(tmp_path, chunks, "b", extraction_mode="document_wide", **values).lines
    assert [x["chunk_id"] for x in contextual if x["text"] == "bank"] == ["d:0"]
    assert [x["chunk_id"] for x in everywhere if x["text"] == "bank"] == ["d:0", "d:1"]


def test_only_keywords_of_selected_categories(tmp_path: Path) -> None:
    found = found_by(tmp_path, "Sailing and cooking.", selected_categories=["Cooking"], entity_patterns=[])
    assert found == [("keyword", "Cooking", "cooking")]


def test_an_evil_pattern_ends_the_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patterns_module, "TIMEOUT", 0.2)
    evil = {"name": "evil", "pattern": "(a|aa)+$"}
    with pytest.raises(PermanentError, match="'evil' took more than") as caught:
        Job(tmp_path, one("the moon " + "a" * 80 + "b"), extraction_type="both", entity_patterns=[evil])
    assert caught.value.code == "pattern_timeout"
    assert list((tmp_path / "job").iterdir()) == []


def test_a_pattern_that_matches_everything_is_stopped(tmp_path: Path) -> None:
    values = {"extraction_type": "entity", "entity_patterns": [{"name": "any", "pattern": r"\w"}]}
    job = Job(tmp_path, one("moon " * 1000), **values)
    assert job.result["by_type"]["any"] == 1000
    assert "too_many_matches" in job.warnings


def test_types(tmp_path: Path) -> None:
    chunks = [chunk | {"text": f"{chunk['text']} Astronomy."} for chunk in corpus(30)]
    types = {
        kind: set(Job(tmp_path, chunks, kind, extraction_type=kind).result["by_type"])
        for kind in ("whole_text", "entity", "ner", "both")
    }
    assert types["whole_text"] == {"whole_text"}
    assert types["entity"] == types["ner"] == {"keyword"}
    assert types["both"] == {"whole_text", "keyword"}
