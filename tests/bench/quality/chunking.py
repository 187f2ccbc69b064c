"""Where the strategy `semantic` cuts documents of ten joined news stories, beside where the stories meet.

Pk: how often two places half a story apart are wrongly said to be in the same part, or wrongly not; 0 is right
everywhere, and cutting into parts of equal length gives nearly 0.5.
"""

from __future__ import annotations

import json
import random
import re
import tempfile
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, Final

from bench.quality.corpora import Row, reuters
from samples.document_support import FakeContext

from worker.jobs.document_processing.parameters import Parameters
from worker.jobs.document_processing.run import run

DOCUMENTS: Final = 100
STORIES: Final = 10
SEED: Final = 42
# As the paragraphs of the stories are set apart: the layout tells of no border.
BETWEEN: Final = "\n    "
# Many stories are two lines of figures, which nobody could tell apart from their neighbours.
LONG_STORY: Final = 500
# Of the agency, at the end of each story: it would give the border away.
END: Final = re.compile(r"\s*Reuter\s*\x03?\s*$", re.I)
# Larger than any story, so that no chunk is cut for its size.
WHOLE: Final = {"chunk_size": 8000, "overlap": 0}


def rows() -> list[Row]:
    long, any_length = joined(LONG_STORY), joined(1)
    figures = "news Pk, semantic, with stories of two lines of figures too"
    return [
        Row("news Pk, semantic", pk(long, chunk_strategy="semantic", **WHOLE), 0.12, 0.10, is_upper=True),
        Row("news Pk, semantic, chunks of 512 tokens at most", pk(long, chunk_strategy="semantic", overlap=0)),
        Row(figures, pk(any_length, chunk_strategy="semantic", **WHOLE)),
        Row("news Pk, token", pk(long, chunk_strategy="token", overlap=0)),
    ]


def joined(shortest: int) -> list[list[str]]:
    """The stories of each document, of at least that many characters."""
    stories = [story for story in (END.sub("", story.body).strip() for story in reuters()) if len(story) >= shortest]
    chance = random.Random(SEED)
    return [chance.sample(stories, STORIES) for _ in range(DOCUMENTS)]


def pk(documents: Sequence[Sequence[str]], **values: Any) -> float:
    """Of the job type's own chunks, the mean over all documents."""
    given = [{"name": f"{number}.txt", "text": BETWEEN.join(stories)} for number, stories in enumerate(documents, 1)]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        run(FakeContext(folder / "job", folder), Parameters.model_validate({"documents": given, **values}))
        records = [json.loads(line) for line in (folder / "job" / "documents.jsonl").open(encoding="utf-8")]
        starts: dict[str, list[int]] = {record["document_id"]: [] for record in records}
        for line in (folder / "job" / "chunks.jsonl").open(encoding="utf-8"):
            chunk = json.loads(line)
            starts[chunk["document_id"]].append(chunk["start"])
        texts = [(folder / "job" / record["text_file"]).read_bytes().decode("utf-8") for record in records]
    assert texts == [document["text"] for document in given], "the borders are counted in the texts as they were"
    found = zip(documents, texts, starts.values(), strict=True)
    return sum(pk_of_one(stories, text, cuts) for stories, text, cuts in found) / len(documents)


def pk_of_one(stories: Sequence[str], text: str, cuts: Sequence[int]) -> float:
    """In words."""
    borders = list(accumulate((len(story) + len(BETWEEN) for story in stories), initial=0))[:-1]
    words = [match.start() for match in re.finditer(r"\S+", text)]
    gold = [bisect_right(borders, word) for word in words]
    said = [bisect_right(cuts, word) for word in words]
    apart = round(len(words) / len(stories) / 2)
    pairs = range(len(words) - apart)
    return sum((gold[n] == gold[n + apart]) != (said[n] == said[n + apart]) for n in pairs) / len(pairs)
