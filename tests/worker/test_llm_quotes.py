"""Quotes are found in the text, or not at all; what is kept is the text's own words."""

from __future__ import annotations

import pytest

from worker.jobs.shared.llm.quotes import find_quote

TEXT = (
    "The pump was inspected on 3 March. Its bearings showed traces of wear,\nbut the seal was tight. "
    "The café next door — a naïve neighbour — complained about the noise."
)


@pytest.mark.parametrize(
    ("quote", "found"),
    [
        ("Its bearings showed traces of wear", "Its bearings showed traces of wear"),
        ("  the seal was tight. ", "the seal was tight."),
        (
            "Its bearings showed traces of wear, but the seal was tight.",
            "Its bearings showed traces of wear,\nbut the seal was tight.",
        ),
        ("its bearing showed traces of wear", "Its bearings showed traces of wear"),
        ("The cafe next door - a naive neighbour", "The café next door — a naïve neighbour"),
        ("Its bearings showd traces of wear", "Its bearings showed traces of wear"),
    ],
)
def test_found(quote: str, found: str) -> None:
    place = find_quote(quote, TEXT)
    assert place is not None and place.text == found
    assert TEXT[place.start : place.end] == place.text


@pytest.mark.parametrize(
    "quote",
    [
        "",
        " \n",
        "The motor was replaced in April",
        "Its bearings were in perfect condition and the seal leaked",
        TEXT + " And then everything burned down, which nobody had expected at all, least of all the neighbour.",
    ],
)
def test_not_found(quote: str) -> None:
    assert find_quote(quote, TEXT) is None


def test_a_short_text_is_not_looked_for_in_a_long_quote() -> None:
    assert find_quote("he said that ab is a letter pair", "ab") is None


def test_a_quote_a_little_longer_than_the_text() -> None:
    place = find_quote("The pump was inspected..", "The pump was inspected.")
    assert place is not None and (place.start, place.end) == (0, 23)


def test_texts_without_blanks_keep_their_borders() -> None:
    text = (
        "水泵于三月三日检查轴承有磨损痕迹但密封完好邻居抱怨噪音很大所以我们更换了轴承并且重新涂了润滑脂然后又测量了一次"
        * 2
    )
    quote = text[10:40].replace("抱", "报")
    place = find_quote(quote, text)
    assert place is not None and text[place.start : place.end] == place.text and len(place.text) == 30
