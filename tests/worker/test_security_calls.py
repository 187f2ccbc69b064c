"""Stored calls by an attacker's hand: what they name is neither loaded, nor imported, nor run."""

from __future__ import annotations

import pickle
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest

from jobqueue import rq_format
from jobqueue.job import Failed
from tests.worker.runner_support import claimed, importable_jobs, outcome_of, settings_with  # noqa: F401

GLOBALS = {
    "GLOBAL": b"cos\nsystem\n(S'true'\ntR.",
    "STACK_GLOBAL": b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R.",
    "INST": b"(S'true'\nios\nsystem\n.",
    "builtins.eval": b"\x80\x02cbuiltins\neval\nX\x04\x00\x00\x001+1q\x85R.",
    "a harmless class": pickle.dumps(Path("x")),
    "an exception": pickle.dumps(ValueError("x")),
    "extension code": b"\x80\x02\x82\x01.",
    "persistent id": b"Pos.system\n.",
}


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "zlib"])
@pytest.mark.parametrize("raw", [pytest.param(raw, id=name) for name, raw in GLOBALS.items()])
def test_sec_B2_every_global_in_a_pickle_is_refused(raw: bytes, packed: bool) -> None:
    # Some begin with what is no pickle to us; then they are no JSON either.
    for data in (raw, b"\x80\x02" + raw):
        with pytest.raises(rq_format.DecodeError):
            rq_format.decode_call(zlib.compress(data) if packed else data)


@pytest.mark.parametrize(
    "name",
    ["os.system", "antigravity.fly", "builtins.eval", "subprocess.run", "", ".", "a..b", "x:y", "plain_for_tests.*"],
)
@pytest.mark.usefixtures("importable_jobs")
async def test_sec_B3_only_functions_of_the_list_are_imported(tmp_path: Path, name: str) -> None:
    before = set(sys.modules)
    outcome: Any = await outcome_of(claimed(name, "true"), settings_with(tmp_path))
    assert isinstance(outcome, Failed) and outcome.permanent
    assert outcome.error.startswith(("FunctionNotAllowed", "FunctionNotFound"))
    assert "antigravity" not in set(sys.modules) - before
