"""What can be asked of a text so that the answer stands in it. Each task yields drafts, best first."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Final

from worker.jobs.dataset_generation.model import Draft, Item
from worker.jobs.dataset_generation.sentences import is_whole, without_torn_ends
from worker.jobs.dataset_generation.templates import TEMPLATES
from worker.jobs.dataset_generation.terms import Term, Weights, Words, ranked, terms_by_sentence
from worker.jobs.shared.sentences import sentences_of
from worker.jobs.shared.words import texts_of_words, words_of

BLANK: Final = "____"
_MOST_TERMS: Final = 20
_LISTED_TERMS: Final = 6
_FEWEST_TERMS: Final = 3
_LONG_TEXT: Final = 6
_SHORTEST_CLOZE: Final = 6
# Sentences of a text beyond these are neither key points nor asked about.
_MOST_SENTENCES: Final = 500
_WORD: Final = re.compile(r"\w+")


class Reading:
    """An item's text with its sentences and terms, worked out when first asked for."""

    def __init__(self, item: Item, weights: Weights, chance: random.Random) -> None:
        self.item = item
        self.text = item.text
        self._weights = weights
        self._chance = chance

    def asks(self, task: str, topic: str = "") -> str:
        return self._chance.choice(TEMPLATES[task]).format(topic=topic, heading=topic, kind=topic)

    @cached_property
    def places(self) -> list[tuple[int, int]]:
        return sentences_of(self.text)

    @cached_property
    def sentences(self) -> list[str]:
        """Whole ones, in order."""
        return [self.text[start:end] for start, end in map(self.places.__getitem__, self._whole)]

    @cached_property
    def _whole(self) -> list[int]:
        numbers = [number for number, (start, end) in enumerate(self.places) if is_whole(self.text[start:end])]
        return numbers[:_MOST_SENTENCES]

    @cached_property
    def words_of_sentences(self) -> list[set[str]]:
        """In small letters."""
        return [set(map(str.lower, texts_of_words(sentence))) for sentence in self.sentences]

    @cached_property
    def _words(self) -> tuple[list[Words], Words]:
        return terms_by_sentence(self.text, self.places)

    @cached_property
    def _vector(self) -> dict[str, float]:
        return self._weights.vector(self._words[1])

    @cached_property
    def ranking(self) -> list[int]:
        """Numbers of sentences, best first."""
        of_each = self._words[0]
        return ranked(self._weights, [of_each[number] for number in self._whole], self._vector)

    @cached_property
    def terms(self) -> list[Term]:
        return self._weights.terms(self._words[1], self._vector, _MOST_TERMS)

    def best(self, most: int) -> list[str]:
        """The best sentences, in the order of the text."""
        return [self.sentences[number] for number in sorted(self.ranking[:most])]


def classification(reading: Reading) -> Iterator[Draft]:
    labels = tuple(label.text for label in reading.item.labels)
    if labels:
        asked = reading.asks("classification")
        yield Draft("classification", asked, reading.text, "\n".join(labels), (), labels=labels)


def about(reading: Reading, template: str = "about") -> Iterator[Draft]:
    """What was extracted for a category, then sentences about the category, then about terms of the text."""
    used: set[str] = set()
    for topic, answer in _statements(reading):
        if answer not in used:
            used.add(answer)
            yield Draft("about", reading.asks(template, topic), reading.text, answer, (answer,), answer)


def about_question(reading: Reading) -> Iterator[Draft]:
    return about(reading, "about_question")


def _statements(reading: Reading) -> Iterator[tuple[str, str]]:
    told = set()
    for span in reading.item.spans:
        if not span.is_entity:
            told.add(span.path)
            yield span.path[-1], span.text
    topics = [label.path[-1] for label in reading.item.labels if label.path not in told]
    topics += [term.text for term in reading.terms]
    best = reading.ranking[:_MOST_TERMS]
    if len(best) > 1:
        for topic in topics:
            words = {word.lower() for word in _WORD.findall(topic) if len(word) > 2}
            yield from ((topic, reading.sentences[n]) for n in best if words and words <= reading.words_of_sentences[n])


def heading(reading: Reading) -> Iterator[Draft]:
    """The section under a heading, as far as it is in the chunk in which it begins."""
    headings = reading.item.headings
    if not headings or not reading.item.begins_section:
        return
    body = _without_headings(reading.text, headings)
    answer = without_torn_ends(body, sentences_of(body)) if body else ""
    if answer:
        topic = headings[-1] if len(headings) == 1 else f"{headings[-1]} ({headings[0]})"
        yield Draft("heading", reading.asks("heading", topic), "", answer, (answer,))


def _without_headings(text: str, headings: Sequence[str]) -> str:
    rest = text.lstrip()
    while rest:
        line, _, after = rest.partition("\n")
        if not line.startswith("#") and line.strip() not in headings:
            break
        rest = after.lstrip()
    return rest.rstrip()


def key_points(reading: Reading) -> Iterator[Draft]:
    count = len(reading.sentences)
    if count >= 3:
        points = reading.best(2 if count < _LONG_TEXT else 3)
        asked = reading.asks("key_points")
        yield Draft("key_points", asked, reading.text, _listed(points), tuple(points))


def summary(reading: Reading) -> Iterator[Draft]:
    """A sentence, and a few of them where the text has enough."""
    count = len(reading.sentences)
    if count >= 2:
        gist = reading.best(1)
        yield Draft("sentence", reading.asks("sentence"), reading.text, gist[0], tuple(gist))
    if count >= 3:
        points = reading.best(2 if count < _LONG_TEXT else 3)
        yield Draft("summary", reading.asks("summary"), reading.text, " ".join(points), tuple(points))


def terms(reading: Reading) -> Iterator[Draft]:
    listed = sorted(reading.terms[:_LISTED_TERMS], key=lambda term: term.place)
    if len(listed) >= _FEWEST_TERMS:
        texts = [term.text for term in listed]
        yield Draft("terms", reading.asks("terms"), reading.text, _listed(texts), tuple(texts))


def entities(reading: Reading) -> Iterator[Draft]:
    kinds: dict[str, dict[str, None]] = {}
    for span in reading.item.spans:
        if span.is_entity:
            kinds.setdefault(span.path[-1].replace("_", " "), {})[span.text] = None
    for kind, texts in kinds.items():
        yield Draft("entities", reading.asks("entities", kind), reading.text, _listed(list(texts)), tuple(texts))


def cloze(reading: Reading) -> Iterator[Draft]:
    used: set[str] = set()
    for term in reading.terms:
        for number in reading.ranking:
            sentence = reading.sentences[number]
            # No pattern: making one for each term costs more than all else.
            if term.text not in sentence or sentence in used or len(words_of(sentence)) < _SHORTEST_CLOZE:
                continue
            gap = with_gaps(sentence, term.text)
            if gap != sentence:
                used.add(sentence)
                yield Draft("cloze", reading.asks("cloze"), gap, sentence, (sentence,), sentence)
                break


def with_gaps(sentence: str, term: str) -> str:
    """Blanks in the places where the term stands, not as a part of a longer word."""
    parts, done, place = [], 0, sentence.find(term)
    while place >= 0:
        end = place + len(term)
        if _is_word(sentence[max(place - 1, 0) : place]) or _is_word(sentence[end : end + 1]):
            place = sentence.find(term, place + 1)
        else:
            parts += [sentence[done:place], BLANK]
            done, place = end, sentence.find(term, end)
    return "".join([*parts, sentence[done:]])


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"


def completion(reading: Reading) -> Iterator[Draft]:
    text = without_torn_ends(reading.text, reading.places)
    cut = _middle(text)
    if 0 < cut < len(text):
        begun, rest = text[:cut], text[cut:]
        yield Draft("completion", reading.asks("completion"), begun, rest, (rest,))


def _middle(text: str) -> int:
    """Where, nearest to the middle, a sentence begins; else a word; else the middle."""
    half = len(text) // 2
    starts = [start for start, _ in sentences_of(text)[1:]]
    starts = starts or [match.start() for match in re.finditer(r"(?<=\s)\S", text)]
    return min(starts, key=lambda start: abs(start - half), default=half)


def _listed(texts: Sequence[str]) -> str:
    return "\n".join(f"- {text}" for text in texts)
