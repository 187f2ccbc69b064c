"""What a cleanup knows of a key from its name."""

from __future__ import annotations

import pytest

from jobqueue.key_types import single, type_of
from jobqueue.keys import STATES, Keys

KEYS = Keys("rq")
INDEXES = {
    KEYS.damaged: "set", KEYS.deadlines: "zset", KEYS.unique: "hash", KEYS.user_jobs("ann"): "zset",
    KEYS.live("ann"): "set",
    KEYS.parked("ann"): "zset", KEYS.line("ann", "ocr"): "zset", KEYS.places("ocr"): "set", KEYS.waiters("ocr"): "zset",
    KEYS.limiter_allowed("user:ann"): "zset", KEYS.limiter_waiting("user:ann"): "zset", KEYS.wip("q"): "zset",
    KEYS.finished("q"): "zset", KEYS.failed("q"): "zset", KEYS.scheduled("q"): "zset", KEYS.deferred("q"): "zset",
    KEYS.canceled("q"): "zset", **{KEYS.state(state): "zset" for state in STATES},
}  # fmt: skip


@pytest.mark.parametrize("key", list(INDEXES))
def test_each_index_has_a_type(key: str) -> None:
    what = KEYS.describe(key)
    assert what is not None and what[0] not in ("job", "leftover")
    assert type_of(KEYS, key) == INDEXES[key]


def test_every_kind_of_index_is_among_these() -> None:
    kinds = {kind for kind, _, _ in KEYS._kinds()} - {"job", "leftover"}
    described = {what[0] for key in INDEXES if (what := KEYS.describe(key))}
    assert kinds <= described


@pytest.mark.parametrize("key", [KEYS.job("a"), "rq:queue:q:intermediate:first_seen:a", "rq:x:events", "other:key"])
def test_what_may_be_anything_has_none(key: str) -> None:
    assert type_of(KEYS, key) is None and key not in single(KEYS)
