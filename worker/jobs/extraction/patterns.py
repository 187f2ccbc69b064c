"""Entities that are told by their form: the built-in patterns and those of the request, each with a time limit."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, Final, NamedTuple

import regex

from worker.context import PermanentError
from worker.jobs.extraction.parameters import BuiltIn, OwnPattern, pattern_problem
from worker.jobs.shared.user_patterns import compiled

TIMEOUT: Final = 5.0
# A pattern that matches each letter says nothing about the text, and would fill the disk.
MOST_PER_CHUNK: Final = 1000

_MONTH = (
    r"(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sep(?:t(?:ember)?)?|"
    r"Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?)\.?"
)
_YEAR = r"(?:1[5-9]|20|21)\d\d"
_UNIT = (
    r"%|‰|°[CF]|(?:percent|per\ cent|pct|dollars?|euros?|pounds?|yen|marks?|francs?|cents?|cts?|USD|EUR|GBP|JPY|"
    r"(?:[kcmµn]?m|[kmµ]?g|[mcdh]?l|[kMGTP]i?B|[kMG]?Hz|[kMG]?Wh?|[km]?V|m?A|[kM]?Pa|[mµn]?s|h|min|mph|km/h|m/s|"
    r"[mck]m[²³]|ha|dpi|px|kJ|kcal|mol)|"
    r"(?:kilo|centi|milli|nano)?(?:met(?:er|re)s?|grams?|lit(?:er|re)s?|watts?|hertz)|bytes?|tons?|tonnes?|miles?|feet|"
    r"foot|inch(?:es)?|acres?|hectares?|ounces?|barrels?|bpd|bushels?|gallons?|seconds?|minutes?|hours?|days?|weeks?|"
    r"months?|years?|degrees?)(?!\w)"
)
_SCALE = r"(?:\s(?:thousand|million|billion|trillion|mln|bln))?"
_NUMBER = r"\d++(?:[.,]\d++)*+"
_NO_NAME = (
    r"(?:The|This|That|These|Those|A|An|In|On|At|By|For|From|To|With|Of|And|But|Or|If|It|Its|He|She|They|We|You|I|His|"
    r"Her|Their|Our|Your|My|As|When|While|Where|There|Then|After|Before|Since|Until|All|Some|Any|No|Not|See|Note|Also|"
    r"However|Each|Every|Both|Most|Many|Such|Is|Are|Was|Were|Will|Can|May|Do|Does|Did|What|Which|Who|How|Why)"
)
_SOURCES: Final[dict[BuiltIn, str]] = {
    "email": r"(?<![\w.+-])[\w+-]++(?:\.[\w+-]++)*+@[\w-]++(?:\.[\w-]++)*\.\p{L}{2,63}(?![\w-])",
    "url": r"(?<!\w)(?:(?:https?|ftp)://|www\.)[^\s<>\"'`{}|\\^\[\]]*(?<=[^\s.,;:!?)])",
    "date": (
        rf"(?<![\w.-])(?:{_YEAR}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])(?:T\d\d:\d\d(?::\d\d)?Z?)?|"
        rf"\d{{1,2}}([./-])\d{{1,2}}\1(?:{_YEAR}|\d\d)|"
        rf"\d{{1,2}}(?:st|nd|rd|th|\.)?\ (?:of\ )?{_MONTH},?(?:\ {_YEAR})?|"
        rf"{_MONTH}\ \d{{1,2}}(?:st|nd|rd|th)?(?!\d)(?:,?\ {_YEAR})?|{_MONTH},?\ {_YEAR})(?![\w-])"
    ),
    "number_unit": rf"(?<![\w.,])(?:[$€£¥]\s?{_NUMBER}{_SCALE}|[+-]?{_NUMBER}{_SCALE}[\ -]?(?:{_UNIT}))",
    "version": (
        r"(?<![\w.])(?:v\d+(?:\.\d+)*|\d+(?:\.\d+){2,})(?:[-+~](?:alpha|beta|rc|dev|[a-z]*\d)[\w.]*)?"
        r"(?!\w|\.\d)"
    ),
    "ip": r"(?<![\w.:])(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7})(?![\w:]|\.\d)",
    "acronym": r"(?<![\w-])(?:\p{Lu}[\d&]?\p{Lu}[\p{Lu}\d&]{0,4}|(?:\p{Lu}\.){2,6})(?![\w-])",
    "proper_name": (
        rf"(?<![\w-])(?!{_NO_NAME}\ )\p{{Lu}}\p{{Ll}}+(?:-\p{{Lu}}\p{{Ll}}+)*"
        r"(?:\ (?:(?:of|de|da|di|van|von|der|den|la|le)\ ){0,2}(?:\p{Lu}\.\ )*\p{Lu}\p{Ll}+(?:-\p{Lu}\p{Ll}+)*)+(?!\w)"
    ),
}


class Match(NamedTuple):
    name: str
    start: int
    end: int


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


_CHECKS: Final[dict[str, Callable[[str], bool]]] = {
    "ip": _is_address,
    "version": lambda text: not _is_address(text),
}


class Patterns:
    """Raises PermanentError `invalid_pattern`."""

    def __init__(self, wanted: Sequence[BuiltIn | OwnPattern]) -> None:
        self._compiled: list[tuple[str, Any, bool]] = []
        self.cut_short = 0
        for pattern in wanted:
            if isinstance(pattern, str):
                self._compiled.append((pattern, regex.compile(_SOURCES[pattern]), True))
            else:
                self._compiled.append((pattern.name, _compile(pattern), False))

    def find(self, text: str) -> Iterator[Match]:
        """In the order of the patterns, and of the text. Raises PermanentError `pattern_timeout`."""
        for name, pattern, is_built_in in self._compiled:
            check = _CHECKS.get(name) if is_built_in else None
            found = 0
            for start, end in _spans(name, pattern, text):
                if check is None or check(text[start:end]):
                    yield Match(name, start, end)
                found += 1
            self.cut_short += found == MOST_PER_CHUNK


def _spans(name: str, pattern: Any, text: str) -> list[tuple[int, int]]:
    try:
        matches = pattern.finditer(text, timeout=TIMEOUT)
        return [match.span() for match in islice(matches, MOST_PER_CHUNK) if match.end() > match.start()]
    except TimeoutError:
        message = (
            f"The pattern '{name}' took more than {TIMEOUT:g} s for one chunk; write it without nested repetition."
        )
        raise PermanentError("pattern_timeout", message) from None


def _compile(pattern: OwnPattern) -> Any:
    problem = pattern_problem(pattern.pattern)
    if problem is not None:
        raise PermanentError("invalid_pattern", f"The pattern '{pattern.name}' {problem}.")
    return compiled(pattern.pattern)
