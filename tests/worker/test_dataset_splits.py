"""dataset_generation: duplicates, splits that share nothing, and texts of every kind in every format."""

from __future__ import annotations

import csv
import itertools
import json
import re
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pyarrow.parquet as pq
import pytest
from samples import dataset_support as support
from samples.document_support import read_lines

from worker.context import PermanentError
from worker.jobs.dataset_generation.alike import Index
from worker.jobs.dataset_generation.quality import Distinct, Lengths, balance, overall_of
from worker.jobs.dataset_generation.splits import assign
from worker.jobs.dataset_generation.tasks import BLANK, with_gaps
from worker.jobs.shared.duplicates import likeness, shingles_of

TEXTS: dict[str, Any] = {"generation_mode": "completion", "datasets_per_chunk": 1}
THREE = {"train": 0.8, "validation": 0.1, "test": 0.1}


def triples(text: str) -> set[tuple[str, ...]]:
    words = re.findall(r"\w+", text.lower())
    return {tuple(words[n : n + 3]) for n in range(len(words) - 2)}


def alike(one: str, other: str) -> float:
    first, second = triples(one), triples(other)
    return len(first & second) / len(first | second)


def of_texts(texts: list[str], *, document: str = "d{0}") -> dict[str, Any]:
    return {"chunks": [{"text": text, "document_id": document.format(n)} for n, text in enumerate(texts)]}


def changed(text: str, every: int) -> str:
    return " ".join(word if n % every else f"changed{n}" for n, word in enumerate(text.split(), 1))


def test_one_document_is_too_few_for_three_splits(tmp_path: Path) -> None:
    given = {"chunks": support.chunks(1, 12)}
    with pytest.raises(PermanentError, match=r"1 document cannot fill 3 splits.*split_by 'record'") as caught:
        support.generate(tmp_path, given)
    assert caught.value.code == "split_too_small"
    assert list((tmp_path / "jobs" / "own").iterdir()) == []
    assert all(support.generate(tmp_path, given, split_by="record")["splits"].values())
    assert set(support.generate(tmp_path, given, splits={"train": 1})["splits"]) == {"train"}


def test_as_many_documents_as_splits(tmp_path: Path) -> None:
    assert all(support.generate(tmp_path, {"chunks": support.chunks(3)})["splits"].values())


def test_shares_are_kept() -> None:
    sizes = {f"d{n}": 1 + n % 5 for n in range(500)}
    assigned = assign(sizes, THREE, 42, "documents")  # type: ignore[arg-type]
    total = sum(sizes.values())
    for split, share in THREE.items():
        assert abs(sum(size for name, size in sizes.items() if assigned[name] == split) - share * total) <= 5
    assert assign(dict(reversed(sizes.items())), THREE, 42, "documents") == assigned  # type: ignore[arg-type]
    assert assign(sizes, THREE, 43, "documents") != assigned  # type: ignore[arg-type]


def test_records_of_one_chunk_stay_together(tmp_path: Path) -> None:
    given = support.chunks(1, 40)
    support.generate(tmp_path, {"chunks": given}, split_by="record")
    splits: dict[str, set[str]] = {}
    for split, record in support.records(tmp_path / "jobs" / "own"):
        home = [c["chunk_id"] for c in given if record["output"].split("\n")[0].removeprefix("- ") in c["text"]]
        if len(home) == 1 and record["input"]:
            splits.setdefault(home[0], set()).add(split)
    assert len(splits) == 40 and all(len(each) == 1 for each in splits.values())


def test_duplicates_go_and_are_told(tmp_path: Path) -> None:
    texts = [support.text(n, 8) for n in range(20)]
    near = [changed(text, 60) for text in texts[:5]]
    assert all(0.8 <= alike(*pair) < 1 for pair in zip(texts, near, strict=False))
    result = support.generate(tmp_path, of_texts([*texts, *near, *texts[:3]]), **TEXTS)
    assert (result["entries_count"], result["rejected"]["duplicate"]) == (20, 8)
    rejected = read_lines(tmp_path / "jobs" / "own" / "rejected.jsonl")
    assert {line["document_id"] for line in rejected if line["reason"] == "duplicate"} == {
        f"d{n}" for n in range(20, 28)
    }


def test_duplicates_can_be_left_in_and_are_measured(tmp_path: Path) -> None:
    texts = [support.text(n, 8) for n in range(20)]
    given = of_texts([*texts, texts[0], texts[0]], document="d{0}")
    for chunk in given["chunks"][20:]:
        chunk["document_id"] = "d0"
    result = support.generate(tmp_path, given, dedup_threshold=0, **TEXTS)
    assert (result["entries_count"], result["rejected"]["duplicate"]) == (22, 0)
    assert result["quality"]["near_duplicate_share"] == round(2 / 22, 4)


def test_the_threshold_decides(tmp_path: Path) -> None:
    texts = [support.text(n, 8) for n in range(20)]
    given = of_texts([*texts, *(changed(text, 12) for text in texts)])
    for chunk, before in zip(given["chunks"][20:], given["chunks"], strict=False):
        chunk["document_id"] = before["document_id"]
    assert all(0.55 < alike(text, changed(text, 12)) < 0.7 for text in texts)
    for threshold, count in ((0.5, 20), (0.8, 40)):
        result = support.generate(tmp_path, given, f"at{threshold}", dedup_threshold=threshold, **TEXTS)
        assert result["entries_count"] == count


@pytest.mark.parametrize("threshold", [0, 0.8])
def test_nothing_is_alike_in_two_splits(tmp_path: Path, threshold: float) -> None:
    texts = [support.text(n, 8) for n in range(40)]
    given = of_texts([*texts, *(changed(text, 12) for text in texts[:20])])
    result = support.generate(tmp_path, given, dedup_threshold=threshold, **TEXTS)
    records = support.records(tmp_path / "jobs" / "own")
    for (one, first), (other, second) in itertools.combinations(records, 2):
        assert one == other or alike(first["text"], second["text"]) < 0.5
    assert result["rejected"]["leakage"] > 0 and result["quality"]["split_leakage"] == 0
    assert result["splits"]["test"] >= 6 and result["splits"]["validation"] >= 6, "the small splits keep theirs"


def test_splits_that_lose_all_they_have(tmp_path: Path) -> None:
    text = support.text(1, 8)
    given = of_texts([text, changed(text, 12)])
    with pytest.raises(PermanentError, match="too much like those of other splits") as caught:
        support.generate(tmp_path, given, splits={"train": 0.5, "test": 0.5}, **TEXTS)
    assert caught.value.code == "split_too_small"


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.8])
def test_the_index_misses_nothing(threshold: float) -> None:
    texts = [changed(support.text(n % 30, 3 + n % 5), 5 + n) for n in range(120)]
    sets = [shingles_of(text) for text in texts]
    # Only half of them are in it, so that it does not know all hashes that it is asked for.
    index, pairs = Index(sets[::2], threshold), 0
    for one in sets:
        alike = [n for n, other in enumerate(sets[::2]) if likeness(one, other) >= threshold]
        assert index.alike(one) == alike
        pairs += len(alike)
    assert pairs > 60
    assert Index([], threshold).alike(sets[0]) == []


def test_the_index_finds_what_shares_only_the_most_frequent_triples() -> None:
    often, rare = np.arange(100, 108, dtype=np.uint32), np.arange(7, dtype=np.uint32)
    small, large = often, np.concatenate((rare, often))
    assert likeness(small, large) == 8 / 15
    others = [np.concatenate((often, np.arange(1000 * n, 1000 * n + 30, dtype=np.uint32))) for n in range(1, 5)]
    assert Index([small, *others], 8 / 15).alike(large) == [0]
    assert Index([large, *others], 8 / 15).alike(small) == [0]


@pytest.mark.parametrize(
    "text", ["", "One", "one  TWO", "One, two; three four", "Größe und Maß, größe und maß. 東京 と 大阪"]
)
def test_shingles_are_the_triples_of_words(text: str) -> None:
    words = re.findall(r"\w+", text.lower())
    expected = {" ".join(words[n : n + 3]) for n in range(max(1, len(words) - 2))}
    assert shingles_of(text).tolist() == sorted(crc32(each.encode()) for each in expected)


@pytest.mark.parametrize(
    "sentence", ["tank", "Tank tank-wagon tank_1 tanks tank.", "a tank, tanktank tank tank", "tänk tanké tank’s (tank)"]
)
def test_gaps_are_whole_words(sentence: str) -> None:
    assert with_gaps(sentence, "tank") == re.sub(r"(?<!\w)tank(?!\w)", BLANK, sentence)


def test_csv_cells_that_begin_like_formulas(tmp_path: Path) -> None:
    texts = [f"{sign}SUM(A1:A9) is what cell {n} holds. {support.text(n)}" for n, sign in enumerate("=+-@" * 4)]
    for safe in (False, True):
        name = f"safe{safe}"
        support.generate(tmp_path, of_texts(texts), name, formats=["csv", "jsonl"], csv_safe=safe, **TEXTS)
        for split in support.SPLITS:
            with (tmp_path / "jobs" / name / f"{split}.csv").open(encoding="utf-8", newline="") as file:
                cells = [row["text"] for row in csv.DictReader(file)]
            said = [record["text"] for record in read_lines(tmp_path / "jobs" / name / f"{split}.jsonl")]
            assert said and all(text[0] in "=+-@" for text in said)
            assert cells == (["'" + text for text in said] if safe else said)


def test_lists_are_json_in_csv(tmp_path: Path) -> None:
    given = support.extractions(support.chunks(6), category_path=["a, b", 'c "d"'])
    kept = ("text", "category_path", "document_id", "chunk_id")
    source = {"extractions": [{key: line[key] for key in kept} for line in given]}
    support.generate(tmp_path, source, generation_mode="classification", formats=["csv"])
    with (tmp_path / "jobs" / "own" / "train.csv").open(encoding="utf-8", newline="") as file:
        assert {tuple(json.loads(row["labels"])) for row in csv.DictReader(file)} == {('a, b/c "d"',)}


def test_texts_of_every_script(tmp_path: Path) -> None:
    said = [
        "水槽の清掃は毎週月曜日に行います。担当者は手袋を着用してください。作業の後で記録を残します。",
        "Резервуар очищают каждую неделю. Работник надевает перчатки. Затем делается запись.",
        'يتم تنظيف الخزان كل أسبوع. يرتدي العامل القفازات. ثم يكتب تقريرا. "نعم" قال.',
        "Zeile eins.\r\nZeile\u2028zwei; \"drei\", 'vier'.\tFünf 😀 sechs\x00 sieben.",
        "e\u0301te\u0301 a\u200db \U0001f468\u200d\U0001f469\u200d\U0001f467 and more of it. Second. Third one here.",
    ]
    given = of_texts(said)
    result = support.generate(tmp_path, given, formats=["jsonl", "csv", "json", "parquet"], min_output_chars=1, **TEXTS)
    assert result["entries_count"] == 5
    folder = tmp_path / "jobs" / "own"
    texts = {record["text"] for _, record in support.records(folder)}
    assert len(texts) == 5 and all(any(text in source for source in said) for text in texts)
    for split in support.SPLITS:
        lines = read_lines(folder / f"{split}.jsonl")
        assert json.loads((folder / f"{split}.json").read_text("utf-8")) == lines
        assert pq.read_table(folder / f"{split}.parquet").to_pylist() == lines
        with (folder / f"{split}.csv").open(encoding="utf-8", newline="") as file:
            assert list(csv.DictReader(file)) == lines


def test_halves_of_characters_do_no_harm(tmp_path: Path) -> None:
    (tmp_path / "input").mkdir()
    lines = [{**chunk, "text": chunk["text"] + " \ud83d end.", "headings": ["\ud83d"]} for chunk in support.chunks()]
    support.write_lines(tmp_path / "input" / "chunks.jsonl", lines)
    result = support.generate(tmp_path, {"path": "chunks.jsonl"}, formats=["jsonl", "csv", "parquet"])
    assert result["quality"]["groundedness"] == 1.0


def test_huge_texts(tmp_path: Path) -> None:
    texts = [support.text(n, 3) for n in range(4)] + [support.text(100, 20_000), "x" * 1_000_000]
    source = {"path": "chunks.jsonl"}
    (tmp_path / "input").mkdir()
    lines = [{"chunk_id": f"c{n}", "document_id": f"d{n}", "text": text} for n, text in enumerate(texts)]
    support.write_lines(tmp_path / "input" / "chunks.jsonl", lines)
    result = support.generate(tmp_path, source, formats=["jsonl", "csv", "parquet"], split_by="record")
    assert result["quality"]["groundedness"] == 1.0
    longest = max(len(record["input"]) for _, record in support.records(tmp_path / "jobs" / "own"))
    assert longest == len(texts[4]) > 1_000_000
    limited = support.generate(tmp_path, source, "limited", max_record_tokens=1000)
    assert limited["rejected"]["too_long"] > 0


def test_measures() -> None:
    assert balance({"a": 5, "b": 5}) == 1.0 and balance({"a": 5}) is None
    assert 0 < (balance({"a": 9, "b": 1}) or 0) < 0.6
    assert overall_of({"groundedness": 1.0, "split_leakage": 0.0, "label_balance": None, "distinct_1": 0.4}) == 0.8
    words = [str(n % 5_000) for n in range(25_000)]
    distinct = Distinct(1)
    distinct.add(words)
    assert distinct.value() == 0.5
    lengths = Lengths()
    for length in range(1, 101):
        lengths.add(length)
    assert lengths.value() == {"p5": 5, "p25": 25, "p50": 50, "p75": 75, "p95": 95, "p99": 99}
