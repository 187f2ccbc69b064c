"""What `make demo` draws: a line a stage that moves, and tables of what came out. Pure functions but for `Screen`."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

BAR: Final = 24
MOST_ROWS: Final = 20
MOST_FIELD: Final = 240

Json = Mapping[str, Any]


@dataclass
class Row:
    """One job's line on the screen."""

    name: str
    job_id: str
    status: str = "pending"
    progress: float = 0.0
    step: str = ""
    error: str | None = None
    result: dict[str, Any] = field(default_factory=dict)

    def take(self, event: Json) -> None:
        self.status = event["status"]
        self.progress = event.get("progress", self.progress)
        self.step = event.get("current_step") or ""
        self.error = event.get("error")
        self.result = event.get("result") or {}

    def line(self) -> str:
        full = round(self.progress * BAR)
        text = f"  {self.name:20} [{'#' * full:.<{BAR}}] {self.progress:4.0%} {self.status:9} {self.step}"
        return text[: width()]


class Screen:
    """Redraws the lines in place on a terminal; elsewhere prints a line when it changed."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self._rows = rows
        self._drawn = False
        self._last: dict[str, str] = {}

    def draw(self) -> None:
        if sys.stdout.isatty():
            if self._drawn:
                sys.stdout.write(f"\x1b[{len(self._rows)}F")
            sys.stdout.writelines(f"\x1b[2K{row.line()}\n" for row in self._rows)
            self._drawn = True
        else:
            for row in self._rows:
                if self._last.get(row.name) != row.line():
                    self._last[row.name] = row.line()
                    sys.stdout.write(f"{row.line().rstrip()}\n")
        sys.stdout.flush()


def width() -> int:
    return shutil.get_terminal_size((110, 24)).columns - 1


def documents_table(result: Json) -> Iterator[str]:
    yield f"\n  {'document':34} {'type':10} {'pages':>5} {'chunks':>6} {'seconds':>7}"
    for row in result.get("documents", []):
        name = row["name"].rpartition("/")[2][:34]
        if row.get("error"):
            yield f"  {name:34} failed: {row['error']}"
        else:
            pages = row.get("pages") or "-"
            yield f"  {name:34} {row['type'] or '-':10} {pages:>5} {row['chunks']:>6} {row['seconds']:7.2f}"
    for error in result.get("errors", []):
        yield f"  {error['name'].rpartition('/')[2][:34]}: {error['message']}"


def categories_table(taxonomy: Json) -> Iterator[str]:
    """Of `taxonomy.json`: a line a category, indented by its depth."""
    yield f"\n  {'category':40} {'chunks':>6}  words"
    nodes = list(_nodes(taxonomy.get("taxonomy", taxonomy).get("children", []), 0))
    for depth, node in nodes[:MOST_ROWS]:
        words = ", ".join(keyword["term"] for keyword in node.get("keywords", [])[:5])
        yield f"  {'  ' * depth + node['name']:40.40} {node.get('size', '-'):>6}  {words}"[: width()]
    yield from _more(nodes)


def _nodes(nodes: Iterable[Json], depth: int) -> Iterator[tuple[int, Json]]:
    for node in nodes:
        yield depth, node
        yield from _nodes(node.get("children", []), depth + 1)


def extractions_table(result: Json) -> Iterator[str]:
    yield f"\n  {'extracted as':58} {'texts':>6}"
    found = sorted(result.get("by_category", {}).items(), key=lambda item: (-item[1], item[0]))
    for name, count in found[:MOST_ROWS]:
        yield f"  {name:58.58} {count:>6}"
    yield from _more(found)


def splits_table(result: Json) -> Iterator[str]:
    yield f"\n  {'split':14} {'records':>7}"
    for split, records in result.get("splits", {}).items():
        yield f"  {split:14} {records:>7}"
    quality = result.get("quality") or {}
    if "overall" in quality:
        yield f"  quality {quality['overall']:.2f}, {'passed' if quality.get('passed') else 'not passed'}"


def first_records(lines: Iterable[bytes]) -> Iterator[str]:
    """Of a file of one JSON object a line; long texts are cut."""
    for line in lines:
        yield from (f"  {name}: {_short(value)}" for name, value in orjson.loads(line).items())
        yield ""


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    text = " ".join(text.split())
    return text if len(text) <= MOST_FIELD else f"{text[: MOST_FIELD - 2]} …"


def _more(rows: Sequence[Any]) -> Iterator[str]:
    if len(rows) > MOST_ROWS:
        yield f"  ... and {len(rows) - MOST_ROWS} more"
