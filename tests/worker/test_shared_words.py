"""Words without a pattern, and lines by a faster module: what comes out is what the slow way gives."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from itertools import pairwise

import pytest

from worker.jobs.dataset_generation.terms import terms_by_sentence, terms_in
from worker.jobs.shared.files import json_line
from worker.jobs.shared.sentences import sentences_of
from worker.jobs.shared.words import has_foreign_letters, texts_of_words, words_of

PIECES = ["Foo", "bar", " ", " ", ". ", "! ", "B", "a", "é", "’", "'", "-", "3", "_", "\n", "。", "U.S. ", "Dr", "Éa"]
PIECES += ["東京", "ⅷ", "²", "\u0301", "\u2028", "\xa0", "ß", "İ", "\x00", "🙂", "ſ"]
TERM = re.compile(r"[A-Z][\w’'-]*[a-z](?: [A-Z][\w’'-]*[a-z]){1,2}|[^\W\d_][\w’'-]*")


def texts(pieces: list[str], count: int = 4000) -> Iterator[str]:
    chance = random.Random(1)
    return ("".join(chance.choices(pieces, k=chance.randrange(30))) for _ in range(count))


def test_words_are_those_of_the_pattern() -> None:
    for text in [*texts(PIECES), *texts([*PIECES, "\ud800"]), "".join(map(chr, range(0x3100)))]:
        found = re.findall(r"\w+", text)
        assert texts_of_words(text) == found
        assert words_of(text) == [word.encode() for word in found]


def test_words_between_very_many_different_signs() -> None:
    # Each in a pass of its own, as in other texts, would take minutes.
    signs = "".join(f"{chr(sign)} a{sign} " for sign in range(0xF0000, 0x10FFFE))
    for text in (signs, f"{signs}\ud800é’s"):
        assert texts_of_words(text) == re.findall(r"\w+", text)
        assert words_of(text) == [word.encode() for word in re.findall(r"\w+", text)]


@pytest.mark.parametrize(
    ("text", "has_them"), [("plain", False), ("“so”—they’ve", False), ("naïve", True), ("x²", True), ("\ud800", False)]
)
def test_foreign_letters(text: str, has_them: bool) -> None:
    assert has_foreign_letters(text) is has_them


@pytest.mark.parametrize("blank", ["\xa0", "\u2028", "\u2003", " \u2009"])
def test_a_letter_and_a_wide_blank_before_a_full_stop(blank: str) -> None:
    text = f"See A{blank}. The next one."
    assert [text[start:end] for start, end in sentences_of(text)][-1] == "The next one."


@pytest.mark.parametrize("repeated", [10, 1000])
def test_sentences_of_long_texts_stand_where_they_are_said_to_stand(repeated: int) -> None:
    text = "Words are here and so on. " * repeated + "\n\n\n" + "The next\nparagraph. Its end."
    found = [text[start:end] for start, end in sentences_of(text)]
    assert found == ["Words are here and so on."] * repeated + ["The next\nparagraph.", "Its end."]


def cut_anywhere(text: str, chance: random.Random) -> list[tuple[int, int]]:
    """Into parts with no more than blanks between them."""
    cuts = sorted({0, len(text), *(chance.randrange(len(text) + 1) for _ in range(3))})
    places = []
    for start, end in pairwise(cuts):
        part = text[start:end]
        low, high = start + len(part) - len(part.lstrip()), start + len(part.rstrip())
        if low < high:
            places.append((low, high))
    return places


def test_terms_are_found_once_for_a_text_and_its_sentences() -> None:
    chance = random.Random(2)
    spanning = 0
    for text in texts(PIECES):
        places = cut_anywhere(text, chance)
        of_each, whole = terms_by_sentence(text, places)
        assert whole == terms_in(text)
        assert whole.matches == TERM.findall(text)
        assert [words.matches for words in of_each] == [TERM.findall(text[start:end]) for start, end in places]
        spanning += [match for words in of_each for match in words.matches] != whole.matches
    assert spanning > 100


def test_a_line_is_what_the_usual_module_writes() -> None:
    records = [
        {"text": "".join(map(chr, range(0x20))) + '"\\/\x7f é € 🙂', "n": [1, -2, 2**70], "none": None},
        {"shares": [0.0, 1.0, 0.5, 0.1234, 0.0001, 1e15], "flags": [True, False], "pair": (1, {"deep": ["x"]})},
    ]
    for record in records:
        usual = json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
        assert json_line(record) == usual
    assert json_line({"ends": "\u2028\u2029\x85"}) == b'{"ends":"\\u2028\\u2029\\u0085"}\n'
