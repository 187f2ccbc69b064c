"""extraction without examples: names and descriptions of 20 news topics against what editors assigned.

The topics are the 20 most frequent ones of the older stories. Their descriptions were written once, from what the
topics mean, before anything was measured, and have not been changed since.
"""

from __future__ import annotations

import json
import random
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from bench.quality.corpora import Row, Story, reuters
from samples.document_support import FakeContext, read_lines

from worker.jobs.document_processing.parameters import Parameters as DocumentParameters
from worker.jobs.document_processing.run import run as run_documents
from worker.jobs.extraction.parameters import Parameters
from worker.jobs.extraction.run import run

TOPICS = {
    "earn": ("earnings", "Company profit, loss, sales, dividend and results per share for a quarter or year."),
    "acq": ("acquisitions", "Mergers, takeovers, and the buying and selling of companies, stakes and shares."),
    "money-fx": (
        "foreign exchange",
        "Currency markets, exchange rates, and central bank intervention in the money market.",
    ),
    "grain": ("grain", "Cereals such as wheat, maize, barley and rice: harvest, export, shipment and prices."),
    "crude": ("crude oil", "Petroleum production, OPEC, barrels per day, oil prices, refineries and exploration."),
    "trade": (
        "trade",
        "International trade between countries: deficits, surpluses, exports, imports, tariffs and protectionism.",
    ),
    "interest": (
        "interest rates",
        "Lending, prime, discount and deposit rates of banks and central banks, raised or cut.",
    ),
    "wheat": ("wheat", "Wheat crop, sowing, export sales, tenders and prices."),
    "ship": ("shipping", "Ships, vessels, tankers, ports, cargo, freight, seamen and strikes at docks."),
    "corn": ("corn", "Corn or maize crop, acreage, feed use, export sales and prices."),
    "oilseed": ("oilseeds", "Oil-bearing seeds such as soybeans, rapeseed and sunflower: crop, crushing and trade."),
    "sugar": ("sugar", "Sugar cane and beet, raw and white sugar production, quotas, tenders and prices."),
    "coffee": ("coffee", "Coffee beans, growers, roasters, export quotas and the international coffee organization."),
    "dlr": ("US dollar", "The value of the dollar against the yen, the mark and other currencies."),
    "gnp": (
        "gross national product",
        "Growth of the economy measured by gross national or domestic product, GNP and GDP.",
    ),
    "gold": ("gold", "Gold mines, ore, ounces, bullion and gold prices."),
    "money-supply": ("money supply", "Monetary aggregates M1, M2 and M3 and their weekly or monthly growth."),
    "veg-oil": ("vegetable oil", "Edible oils such as palm oil, soybean oil, rapeseed oil and coconut oil."),
    "livestock": ("livestock", "Cattle, hogs, pigs, sheep and other farm animals: herds, slaughter and prices."),
    "soybean": ("soybeans", "Soybean crop, planting, crushing, meal and export sales."),
}
DOCUMENTS, STORIES = 200, 10

# From, to before, topics.
Place = tuple[int, int, set[str]]


def rows() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        return [*story_rows(Path(folder) / "stories"), *span_rows(Path(folder) / "spans")]


def story_rows(folder: Path) -> list[Row]:
    """Each story is a chunk."""
    stories = [story for story in reuters() if story.is_test and TOPICS.keys() & set(story.topics)]
    folder.mkdir()
    lines = [
        {"chunk_id": f"{story.id}:0", "document_id": str(story.id), "text": f"{story.title}\n\n{story.body}"}
        for story in stories
    ]
    write_lines(folder / "chunks.jsonl", lines)
    at_half = found_in(folder, "half", confidence_threshold=0.5)
    # All confidences, for their calibration.
    every = found_in(folder, "all", confidence_threshold=0.0)
    micro, macro = f1_of(stories, at_half)
    return [
        Row("extraction: micro F1 of 20 topics", micro, 0.78, 0.82),
        Row("extraction: macro F1 of 20 topics", macro, 0.71, 0.76),
        Row("extraction: calibration error", calibration_error(stories, every), 0.07, 0.05, is_upper=True),
    ]


def found_in(folder: Path, name: str, **values: Any) -> list[dict[str, Any]]:
    given = {"source": {"path": "chunks.jsonl"}, "taxonomy": {"taxonomy": taxonomy()}, **values}
    ctx = FakeContext(folder / name, folder)
    run(ctx, Parameters.model_validate(given))
    return read_lines(ctx.folder / "extractions.jsonl")


def taxonomy() -> dict[str, Any]:
    nodes = [{"id": topic, "name": name, "description": text} for topic, (name, text) in TOPICS.items()]
    return {"name": "news", "children": nodes}


def write_lines(file: Path, lines: Sequence[dict[str, Any]]) -> None:
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def f1_of(stories: Sequence[Story], found: Sequence[dict[str, Any]]) -> tuple[float, float]:
    """Over all decisions, and the mean of the topics."""
    right = {(str(story.id), topic) for story in stories for topic in story.topics if topic in TOPICS}
    told = {(line["document_id"], line["category_id"]) for line in found}
    by_topic = [f1({pair for pair in right if pair[1] == t}, {pair for pair in told if pair[1] == t}) for t in TOPICS]
    return f1(right, told), sum(by_topic) / len(by_topic)


def f1(right: set[Any], told: set[Any]) -> float:
    return 2 * len(right & told) / max(1, len(right) + len(told))


def calibration_error(stories: Sequence[Story], found: Sequence[dict[str, Any]]) -> float:
    """How far confidence and share of right answers are apart, over ten bins of the best label of each story."""
    topics = {str(story.id): story.topics for story in stories}
    best: dict[str, dict[str, Any]] = {}
    for line in found:
        if line["confidence"] > best.get(line["document_id"], {"confidence": -1})["confidence"]:
            best[line["document_id"]] = line
    confidence = np.array([line["confidence"] for line in best.values()])
    is_right = np.array([line["category_id"] in topics[document] for document, line in best.items()])
    bins = np.minimum((confidence * 10).astype(int), 9)
    parts = [(bins == number) for number in range(10)]
    return float(
        sum(part.mean() * abs(confidence[part].mean() - is_right[part].mean()) for part in parts if part.any())
    )


def span_rows(folder: Path) -> list[Row]:
    """Documents of ten stories each: which characters get the topic of their story?"""
    folder.mkdir()
    truth = write_documents(folder)
    documents = FakeContext(folder / "documents", folder)
    given = {"documents": [{"path": f"{name}.txt"} for name in truth], "chunk_strategy": "semantic"}
    run_documents(documents, DocumentParameters.model_validate(given))
    names = {line["document_id"]: line["name"] for line in read_lines(documents.folder / "documents.jsonl")}
    return [_span_row(folder, truth, names, granularity) for granularity in ("chunk", "sentence")]


def _span_row(folder: Path, truth: dict[str, list[Place]], names: dict[str, str], granularity: str) -> Row:
    found = found_in(folder, granularity, source={"job_id": "documents"}, granularity=granularity)
    for line in found:
        line["document_id"] = names[line["document_id"]].removesuffix(".txt")
    measure = f"extraction: F1 of characters, documents of 10 stories, semantic chunks, by {granularity}"
    return Row(measure, span_f1(truth, found), 0.66, 0.70)


def write_documents(folder: Path) -> dict[str, list[Place]]:
    """Where the stories of each document lie, and what they are about."""
    stories = [s for s in reuters() if s.is_test and TOPICS.keys() & set(s.topics)]
    chosen = random.Random(42).sample(stories, DOCUMENTS * STORIES)
    truth = {}
    for number in range(DOCUMENTS):
        text, places = "", []
        for story in chosen[number * STORIES : (number + 1) * STORIES]:
            own = f"{story.title.strip()}\n\n{story.body.strip()}\n\n"
            places.append((len(text), len(text) + len(own), TOPICS.keys() & set(story.topics)))
            text += own
        (folder / f"{number:03d}.txt").write_text(text, encoding="utf-8")
        truth[f"{number:03d}"] = places
    return truth


def span_f1(truth: dict[str, list[Place]], found: Sequence[dict[str, Any]]) -> float:
    """Over all characters and their topics."""
    spans = defaultdict(list)
    for line in found:
        spans[line["document_id"], line["category_id"]].append((line["start"], line["end"]))
    right = told = both = 0
    for name, places in truth.items():
        for topic in TOPICS:
            is_right, is_told = np.zeros((2, places[-1][1]), dtype=bool)
            for start, end, topics in places:
                is_right[start:end] |= topic in topics
            for start, end in spans[name, topic]:
                is_told[start:end] = True
            right, told, both = right + is_right.sum(), told + is_told.sum(), both + (is_right & is_told).sum()
    return float(2 * both / max(1, right + told))
