"""Categories of labelled texts: are they those that people made?"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from bench.quality.corpora import Labelled, Row, reuters_r8, twenty_newsgroups
from samples.document_support import FakeContext
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.metrics import normalized_mutual_info_score

from worker.jobs.taxonomy_processing.parameters import Parameters
from worker.jobs.taxonomy_processing.run import run

TOP = 10


def rows() -> Iterator[Row]:
    news = twenty_newsgroups()
    labels, found, taxonomy = categories(news, 20)
    yield Row("taxonomy, 20 Newsgroups (k = 20), NMI", normalized_mutual_info_score(labels, found), 0.60, 0.65)
    coherence, diversity = of_labels(taxonomy, [text.text for text in news])
    yield Row("label coherence, 20 Newsgroups, document NPMI", coherence, 0.36, 0.40)
    yield Row("label diversity, 20 Newsgroups", diversity, 0.95, 0.97)
    stories = reuters_r8()
    labels, found, _ = categories(stories, 8)
    yield Row("taxonomy, R8 (k = 8), purity", purity(labels, found), 0.84, 0.88)


def categories(texts: Sequence[Labelled], count: int) -> tuple[list[str], list[str], dict[str, Any]]:
    """Labels of people and ours for all texts that got one, by the job itself, one chunk a text."""
    with tempfile.TemporaryDirectory() as name:
        ctx = FakeContext(Path(name) / "job", Path(name))
        with (Path(name) / "chunks.jsonl").open("w") as file:
            for number, text in enumerate(texts):
                line = {"chunk_id": str(number), "document_id": str(number), "text": text.text}
                file.write(json.dumps(line) + "\n")
        given = {"source": {"path": "chunks.jsonl"}, "depth": 1, "category_limits": [count]}
        run(ctx, Parameters.model_validate(given))
        lines = (ctx.folder / "assignments.jsonl").read_text().splitlines()
        assigned = [json.loads(line) for line in lines]
        labels = [texts[int(line["chunk_id"])].label for line in assigned]
        taxonomy = json.loads((ctx.folder / "taxonomy.json").read_text())
    return labels, [line["category_id"] for line in assigned], taxonomy


def purity(labels: Sequence[str], found: Sequence[str]) -> float:
    pairs = list(zip(found, labels, strict=True))
    return sum(
        max(map([label for at, label in pairs if at == group].count, set(labels))) for group in set(found)
    ) / len(pairs)


def of_labels(taxonomy: dict[str, Any], texts: Sequence[str]) -> tuple[float, float]:
    """Mean NPMI of pairs of the ten best words over whole documents, and the share of different words."""
    tops = [[word["term"] for word in node["keywords"][:TOP]] for node in taxonomy["taxonomy"]["children"]]
    words = [word for top in tops for word in top]
    counter = CountVectorizer(vocabulary=sorted(set(words)), binary=True, token_pattern=r"(?u)\b\w\w+\b")
    present = counter.fit_transform(texts).astype(np.float64)
    together = np.asarray((present.T @ present).todense()) / len(texts)
    column = counter.vocabulary_
    found = [npmi(together, column[one], column[other]) for top in tops for one, other in combinations(top, 2)]
    return float(np.mean(found)), len(set(words)) / len(words)


def npmi(together: Any, one: int, other: int) -> float:
    both = together[one, other]
    return -1.0 if both == 0 else float(np.log(both / (together[one, one] * together[other, other])) / -np.log(both))
