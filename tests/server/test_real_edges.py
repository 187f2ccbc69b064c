"""Where the parts of a job's life meet each other, through HTTP over the real library, statements Q."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from working_hand import SUBMIT, WorkingHand, get, submit

from jobqueue import Completed, Failed

JOBS = "/api/v1/jobs"


async def change(api: Any, verb: str, body: Any) -> dict[str, Any]:
    status, answer = await api.post(f"{JOBS}/{verb}/bulk", body)
    assert status == 200, answer
    return dict(answer)


async def chain(api: Any, length: int) -> list[str]:
    ids = [await submit(api, user_id="ann")]
    for _ in range(length - 1):
        ids.append(await submit(api, user_id="ann", depends_on=[ids[-1]]))
    return ids


async def test_api_Q3_Q8_jobs_that_depend_on_each_other_restart_together(real: Any, worker: WorkingHand) -> None:
    ids = await chain(real, 5)
    mine = {"filter": {"user": "ann"}}
    counts = {"matched": 5, "changed": 5, "rejected": 0, "dry_run": False, "next_cursor": None}
    assert await change(real, "cancel", mine) == counts
    assert await change(real, "restart", mine) == counts
    for job_id in ids:
        claimed = await worker.claim()
        assert claimed.job_id == job_id
        await worker.finish(claimed, Completed())


async def test_api_Q3_Q8_what_depends_on_others_than_those_matched_is_refused(real: Any, worker: WorkingHand) -> None:
    first, second, third = await chain(real, 3)
    await worker.finish(await worker.claim(), Failed("it broke"))
    only_cancelled = {"filter": {"user": "ann", "status": "cancelled"}}
    answer = await change(real, "restart", only_cancelled)
    assert (answer["matched"], answer["changed"], answer["rejected"]) == (2, 0, 2)
    assert (await change(real, "restart", {"filter": {"user": "ann"}}))["changed"] == 3
    assert [(await get(real, job_id))["status"] for job_id in (first, second, third)] == ["pending"] * 3
    await worker.finish_all()


async def test_api_Q3_Q4_Q8_named_jobs_are_refused_with_the_reason(real: Any, worker: WorkingHand) -> None:
    parent, child = await chain(real, 2)
    held = await submit(real, unique_key="k")
    for job_id in (parent, held):
        assert (await real.post(f"{JOBS}/cancel/{job_id}"))[0] == 200
    holder = await submit(real, unique_key="k")
    answer = await change(real, "restart", {"job_ids": [child, held, parent, child]})
    assert (answer["changed"], answer["rejected"]) == (2, 2)
    first, second, *others = answer["results"]
    assert (first["error"], first["dependency"], first["dependency_status"]) == (
        "DependencyEndedError", parent, "cancelled",
    )  # fmt: skip
    assert f"job {parent}" in first["message"] and "restart that first" in first["message"]
    assert (second["error"], second["live_job_id"]) == ("UniqueKeyTakenError", holder)
    assert [entry["status"] for entry in others] == ["pending", "pending"]
    await worker.finish_all()


async def test_api_Q3_Q12_the_place_of_an_unknown_job_is_that_in_the_body(real: Any, worker: WorkingHand) -> None:
    parent, nobody = await submit(real), str(uuid.uuid4())
    body = {"job_type": "extraction", "depends_on": [parent, parent.upper(), nobody]}
    status, answer = await real.post(SUBMIT, body)
    assert (status, answer["details"][0]["loc"]) == (400, ["depends_on", 2])
    body["depends_on"] = [parent, parent.upper()]
    assert (await get(real, await submit(real, **body)))["depends_on"] == [parent]
    assert (await get(real, parent))["dependents_total"] == 1
    await worker.finish_all()


async def test_api_Q6_Q7_what_is_not_configured_any_more_can_be_taken_back(real: Any, worker: WorkingHand) -> None:
    await worker.queue.control.pause("type", "retired")
    await worker.queue.control.set_limits(types={"retired": 2})
    status, body, _ = await real.call("PATCH", f"{JOBS}/limits", json={"types": {"retired": 3}})
    assert (status, body["details"][0]["loc"]) == (400, ["types", "retired"])
    status, body, _ = await real.call("PATCH", f"{JOBS}/limits", json={"types": {"retired": None}})
    assert (status, body["types"], body["paused"]["types"]) == (200, {}, ["retired"])
    assert (await real.post(f"{JOBS}/pause", {"job_type": "retired"}))[0] == 400
    status, body = await real.post(f"{JOBS}/resume", {"job_type": "retired"})
    assert (status, body) == (200, {"paused": {"queue": False, "users": [], "types": []}, "changed": True})
    assert (await real.post(f"{JOBS}/resume", {"job_type": "retired"}))[0] == 400


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "-0.001", "1e400"])
@pytest.mark.parametrize("field", ["delay_seconds", "backoff_seconds", "backoff_max_seconds", "expires_in"])
async def test_api_Q2_Q12_numbers_that_are_none_are_refused(real: Any, field: str, number: str) -> None:
    body = f'{{"job_type": "extraction", "{field}": {number}}}'
    status, answer = await real.post(SUBMIT, None, data=body, headers={"Content-Type": "application/json"})
    assert status == 400 and answer["error"] in ("InvalidJsonError", "InvalidParameterError")
    assert (await real.get(JOBS))[1]["jobs"] == []
