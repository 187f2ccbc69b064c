"""What is done for some items at a time, by whichever process it may be: orders and results are files."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Final

import orjson

from worker.jobs.dataset_generation.item_files import read_items
from worker.jobs.dataset_generation.making import Maker
from worker.jobs.dataset_generation.offline import OfflineGenerator
from worker.jobs.dataset_generation.rules import Rules
from worker.jobs.dataset_generation.terms import Weights, terms_in
from worker.jobs.shared.crew import Order
from worker.jobs.shared.workspace import storing

# For a crew: the function below.
FUNCTION: Final = f"{__name__}:do"


def order_to_count(items: Path) -> Order:
    """The result: of each item the keys of its terms, each once, one list a line."""
    return {"do": "count", "items": str(items), "result": str(items.with_suffix(".words"))}


def order_to_make(items: Path, rules: Path, weights: Path) -> Order:
    """The result: `Made`."""
    result = str(items.with_suffix(".made"))
    return {"do": "make", "items": str(items), "result": result, "rules": str(rules), "weights": str(weights)}


def save_rules(rules: Rules, file: Path) -> None:
    """Raises StorageError."""
    with storing():
        file.write_bytes(orjson.dumps(asdict(rules)))


class Worker:
    """For the orders of one job."""

    def __init__(self) -> None:
        self._tools: tuple[Maker, OfflineGenerator] | None = None

    def do(self, order: Order) -> int:
        """How many items there were. Raises StorageError."""
        items, result = read_items(Path(order["items"])), Path(order["result"])
        if order["do"] == "count":
            with storing():
                result.write_bytes(b"".join(_line(set(terms_in(item.text).keys) - {""}) for item in items))
            return len(items)
        if self._tools is None:
            self._tools = _tools(Path(order["rules"]), Path(order["weights"]))
        maker, generator = self._tools
        maker.made(items, generator.drafts(items)).save(result)
        return len(items)


def _tools(rules_file: Path, weights_file: Path) -> tuple[Maker, OfflineGenerator]:
    with storing():
        rules = Rules(**orjson.loads(rules_file.read_bytes()))
    generator = OfflineGenerator(rules.mode, rules.seed, rules.most, Weights.load(weights_file))
    return Maker(rules), generator


def _line(keys: set[str]) -> bytes:
    return orjson.dumps(list(keys), option=orjson.OPT_APPEND_NEWLINE)


do: Final = Worker().do
