"""What sentences are about, learned from all texts of a job, and where a text turns to another matter.

For the document process only. TF-IDF and a truncated SVD give each sentence a vector; neighbours are then joined as
long as Ward's distance between them stays below the threshold, which never joins what is not next to each other. The
SVD is learned from windows of sentences: in a single one too few words meet to tell which belong together.
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
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer
from sklearn.preprocessing import normalize
from threadpoolctl import threadpool_limits

from worker.jobs.document_processing.measure import Span
from worker.jobs.document_processing.statements import statements
from worker.jobs.document_processing.task import FitTask
from worker.jobs.shared.workspace import storing

MOST_SENTENCES: Final = 200_000
# Sentences on each side that belong to a window.
_REACH: Final = 2
# Sentences that a sample takes in a row, so that there are windows in it.
_RUN: Final = 50
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
        self._counter = _counter(vocabulary=vocabulary) if vocabulary else None
        if self._counter is not None:
            self._weigher = TfidfTransformer(sublinear_tf=True)
            self._weigher.idf_ = weights

    @classmethod
    def fit(cls, texts: Callable[[], Iterator[str]], seed: int) -> Self:
        """`texts`: gives all of them anew at each call, so that they need not be in memory together."""
        total = sum(len(statements(text)) for text in texts())
        many = total >= _MANY_SENTENCES
        counter = _counter(min_df=2 if many else 1, max_df=0.5 if many else 1.0)
        runs: list[int] = []
        try:
            counts = counter.fit_transform(_sample(texts(), total, runs))
        except ValueError:
            # There are no words in them.
            return cls([], np.zeros(0, np.float32), np.zeros((0, 0), np.float32))
        size = min(_COMPONENTS, counts.shape[0] - 1, counts.shape[1] - 1)
        if size < 2:
            return cls([], np.zeros(0, np.float32), np.zeros((0, 0), np.float32))
        windows = _windows(np.array(runs)) @ counts
        weigher = TfidfTransformer(sublinear_tf=True).fit(windows)
        # Windows that are all alike vary by nothing, and the shares of it that nobody reads are no numbers then.
        with threadpool_limits(1), np.errstate(invalid="ignore", divide="ignore"):
            svd = TruncatedSVD(size, random_state=seed).fit(weigher.transform(windows, copy=False))
        return cls(list(counter.get_feature_names_out()), weigher.idf_, svd.components_)

    def borders(self, text: str, threshold: float) -> list[int]:
        """The offsets of the sentences with which another matter begins."""
        spans = statements(text)
        if self._counter is None:
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
        if count < 2 or self._counter is None:
            return [0] * count
        terms = self._weigher.transform(self._counter.transform(text[start:end] for start, end in spans))
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


def _counter(**options: Any) -> Any:
    return CountVectorizer(stop_words="english", max_features=_MOST_TERMS, dtype=np.float32, **options)


def _windows(runs: np.ndarray[Any, np.dtype[np.int64]]) -> Any:
    """(sentences, sentences): which sentences are in the window around each. None reaches into another run."""
    count = len(runs)
    reaches = [reach for reach in range(-_REACH, _REACH + 1) if abs(reach) < count]
    same = [(runs[abs(reach) :] == runs[: count - abs(reach)]).astype(np.float32) for reach in reaches]
    return diags(same, reaches, shape=(count, count), format="csr")


def _sample(texts: Iterator[str], total: int, runs: list[int]) -> Iterator[str]:
    """All sentences, or of very many an even sample. `runs` gets the number of the run that each is from: those of
    one number follow each other in one text."""
    number = run = 0
    for text in texts:
        run += 1
        for start, end in statements(text):
            place = number // _RUN
            if total <= MOST_SENTENCES or place * MOST_SENTENCES // total != (place + 1) * MOST_SENTENCES // total:
                runs.append(run)
                yield text[start:end]
            elif runs and runs[-1] == run:
                run += 1
            number += 1
