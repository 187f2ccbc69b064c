"""What sentences are about, learned from all texts of a job, and where a text turns to another matter.

For the document process only. TF-IDF and a truncated SVD give each sentence a vector; neighbours are then joined as
long as Ward's distance between them stays below the threshold, which never joins what is not next to each other.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from scipy.sparse import diags
from sklearn.cluster import AgglomerativeClustering
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import normalize
from threadpoolctl import threadpool_limits

from worker.jobs.document_processing.measure import Span, sentences
from worker.jobs.document_processing.task import FitTask
from worker.jobs.shared.workspace import storing

MOST_SENTENCES: Final = 200_000
_COMPONENTS: Final = 150
_MOST_TERMS: Final = 50_000
# Below it rare words are all that there is.
_MANY_SENTENCES: Final = 1000
# Larger texts are looked at in parts: the memory for joining grows with the number of sentences.
_BLOCK: Final = 10_000
_VOCABULARY, _ARRAYS = "vocabulary.json", "arrays.npz"

Vectors = np.ndarray[Any, np.dtype[np.float32]]


class Topics:
    def __init__(self, vocabulary: list[str], weights: Vectors, components: Vectors) -> None:
        """`weights`: (terms,), `components`: (dimensions, terms)."""
        self._terms, self._weights, self._components = vocabulary, weights, components
        self._vectoriser = _vectoriser(vocabulary=vocabulary) if vocabulary else None
        if self._vectoriser is not None:
            self._vectoriser.idf_ = weights

    @classmethod
    def fit(cls, texts: Callable[[], Iterator[str]], seed: int) -> Self:
        """`texts`: gives all of them anew at each call, so that they need not be in memory together."""
        total = sum(len(sentences(text)) for text in texts())
        many = total >= _MANY_SENTENCES
        vectoriser = _vectoriser(min_df=2 if many else 1, max_df=0.5 if many else 1.0)
        try:
            matrix = vectoriser.fit_transform(_sample(texts(), total))
        except ValueError:
            # There are no words in them.
            return cls([], np.zeros(0, np.float32), np.zeros((0, 0), np.float32))
        size = min(_COMPONENTS, matrix.shape[0] - 1, matrix.shape[1] - 1)
        if size < 2:
            return cls([], np.zeros(0, np.float32), np.zeros((0, 0), np.float32))
        with threadpool_limits(1):
            svd = TruncatedSVD(size, random_state=seed).fit(matrix)
        return cls(list(vectoriser.get_feature_names_out()), vectoriser.idf_, svd.components_)

    def borders(self, text: str, threshold: float) -> list[int]:
        """The offsets of the sentences with which another matter begins."""
        spans = sentences(text)
        if self._vectoriser is None:
            return []
        found: list[int] = []
        with threadpool_limits(1):
            for begin in range(0, len(spans), _BLOCK):
                block = spans[begin : begin + _BLOCK]
                labels = self._labels(text, block, threshold)
                found += [block[0][0]] if begin else []
                turns = zip(pairwise(labels), block[1:], strict=True)
                found += [start for (before, after), (start, _) in turns if before != after]
        return found

    def _labels(self, text: str, spans: list[Span], threshold: float) -> list[int]:
        count = len(spans)
        if count < 2 or self._vectoriser is None:
            return [0] * count
        terms = self._vectoriser.transform(text[start:end] for start, end in spans)
        chain = diags([np.ones(count - 1), np.ones(count - 1)], [1, -1], shape=(count, count))
        joined = AgglomerativeClustering(
            n_clusters=None, linkage="ward", connectivity=chain, distance_threshold=threshold
        ).fit(normalize(terms @ self._components.T))
        labels: list[int] = joined.labels_.tolist()
        return labels

    def save(self, folder: Path) -> None:
        """Raises StorageError."""
        with storing():
            folder.mkdir()
            (folder / _VOCABULARY).write_text(json.dumps(self._terms), "utf-8")
            np.savez(folder / _ARRAYS, weights=self._weights, components=self._components)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Raises StorageError."""
        with storing(), np.load(folder / _ARRAYS) as arrays:
            terms = json.loads((folder / _VOCABULARY).read_text("utf-8"))
            return cls(terms, arrays["weights"], arrays["components"])


def fit(task: FitTask, advance: Callable[[float], None]) -> None:
    """Learn from the texts and leave what was learned in the folder of the task. Raises StorageError."""
    # Read twice: to count, then to learn.
    reads = iter(range(1, 2 * len(task.text_files) + 1))

    def texts() -> Iterator[str]:
        for name in task.text_files:
            with storing():
                text = Path(name).read_bytes().decode("utf-8")
            yield text
            advance(next(reads) / (2 * len(task.text_files)))

    Topics.fit(texts, task.seed).save(Path(task.topics))


def _vectoriser(**options: Any) -> Any:
    return TfidfVectorizer(
        sublinear_tf=True, stop_words="english", max_features=_MOST_TERMS, dtype=np.float32, **options
    )


def _sample(texts: Iterator[str], total: int) -> Iterator[str]:
    """All sentences, or of very many an even sample."""
    number = 0
    for text in texts:
        for start, end in sentences(text):
            if total <= MOST_SENTENCES or number * MOST_SENTENCES // total != (number + 1) * MOST_SENTENCES // total:
                yield text[start:end]
            number += 1
