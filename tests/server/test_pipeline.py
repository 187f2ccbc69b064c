"""All four stages with one body: all or none, joined by the server, shown as a chain; statements R2 and R3."""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path
from typing import Any

import pytest
from chain_parameters import CHAIN_TYPES, STAGES
from conftest import ValkeyServer, settings_for
from fake_queue import FakeQueue
from working_hand import WorkingHand, get

from jobqueue import Completed, Failed, JobQueue, Settings, load_settings
from jobqueue.errors import DuplicateJob, QueueFull

JOBS = "/api/v1/jobs"
PIPELINE = f"{JOBS}/pipeline"
TEXTS = [{"text": "one"}, {"text": "two"}]
JOB = str(uuid.UUID(int=1))


@pytest.fixture
def api_settings(tmp_path: Path) -> Settings:
    (tmp_path / "config.toml").write_text(CHAIN_TYPES)
    return load_settings(tmp_path / "config.toml", {"JOBQUEUE_SERVER_TICK_SECONDS": "0.05"})


@pytest.fixture
def settings(valkey: ValkeyServer, tmp_path: Path) -> Settings:
    # One of the types has options of its own, so that not all travel in one call.
    (tmp_path / "config.toml").write_text(CHAIN_TYPES + "timeout_seconds = 7\n")
    return settings_for(valkey.url, tmp_path)


async def submit(api: Any, key: str | None = None, **body: Any) -> tuple[int, Any]:
    headers = {} if key is None else {"Idempotency-Key": key}
    return await api.post(PIPELINE, {"documents": TEXTS, **body}, headers=headers)  # type: ignore[no-any-return]


def parameters(fake: FakeQueue, job_id: str) -> dict[str, Any]:
    return dict(fake.new[job_id].args[1])


async def test_api_R2_four_ids_each_reads_what_those_before_it_left(api: Any, fake: FakeQueue) -> None:
    status, body, response = await api.call("POST", PIPELINE, json={"documents": TEXTS, "user_id": "ann"})
    ids = body["jobs"]
    documents, taxonomy, extraction, dataset = ids.values()
    assert (status, tuple(ids)) == (202, STAGES)
    assert body == {"jobs": ids, "job_id": dataset, "status": "pending", "message": "Pipeline submitted"}
    assert response.headers["Location"] == f"{JOBS}/status/{dataset}"
    assert parameters(fake, documents) == {"documents": TEXTS}
    assert parameters(fake, taxonomy) == {"source": {"job_id": documents}}
    assert parameters(fake, extraction) == {"source": {"job_id": documents}, "taxonomy": {"job_id": taxonomy}}
    assert parameters(fake, dataset) == {"source": {"job_id": extraction}, "taxonomy": {"job_id": taxonomy}}
    assert [list(fake.new[job_id].depends_on) for job_id in ids.values()] == [
        [], [documents], [documents, taxonomy], [documents, taxonomy, extraction]
    ]  # fmt: skip
    assert {job.user_id for job in fake.new.values()} == {"ann"}
    assert fake.bulks == [tuple(ids.values())], "in one call"


async def test_api_R2_parameters_of_stages_labels_and_options(api: Any, fake: FakeQueue) -> None:
    _, body = await submit(
        api, document_processing={"seed": 1}, taxonomy_processing={"seed": 2, "name": "own"}, extraction={"seed": 3},
        dataset_generation={"seed": 4}, project_id="p", name="n", priority="high", delay_seconds=60,
    )  # fmt: skip
    jobs = [fake.new[job_id] for job_id in body["jobs"].values()]
    seen = [dict(job.args[1]) for job in jobs]
    assert [values["seed"] for values in seen] == [1, 2, 3, 4]
    # Only those that a stage has a parameter for.
    assert [values.get("project_id") for values in seen] == [None, "p", "p", None]
    assert [values.get("name") for values in seen] == ["n", "own", None, "n"]
    assert {job.priority for job in jobs} == {"high"}
    assert [job.delay_seconds for job in jobs] == [60, None, None, None]


async def test_api_R2_a_later_time_is_that_of_the_first(api: Any, fake: FakeQueue) -> None:
    status, body = await submit(api, scheduled_time="2099-01-01T00:00:00Z")
    assert (status, body["status"], body["message"]) == (202, "pending", "Pipeline scheduled")
    assert [fake.jobs[job_id].state for job_id in body["jobs"].values()] == ["scheduled", *["pending"] * 3]


@pytest.mark.parametrize(
    ("given", "inside"),
    [
        ({"name": "mine", "children": []}, {"taxonomy": {"name": "mine", "children": []}}),
        ({"taxonomy": {"name": "mine"}}, {"taxonomy": {"name": "mine"}}),
        ({"path": "mine.json"}, {"path": "mine.json"}),
        ({"path": "a", "name": "b"}, {"taxonomy": {"path": "a", "name": "b"}}),
    ],
)
async def test_api_R2_a_taxonomy_of_ones_own(api: Any, fake: FakeQueue, given: Any, inside: Any) -> None:
    status, body = await submit(api, taxonomy=given)
    assert (status, tuple(body["jobs"])) == (202, ("document_processing", "extraction", "dataset_generation"))
    documents, extraction, dataset = body["jobs"].values()
    assert parameters(fake, extraction) == {"source": {"job_id": documents}, "taxonomy": inside}
    assert parameters(fake, dataset) == {"source": {"job_id": extraction}, "taxonomy": inside}


async def test_api_R2_the_taxonomy_of_an_earlier_job(api: Any, fake: FakeQueue) -> None:
    status, body = await submit(api, taxonomy={"job_id": JOB})
    assert (status, [detail["loc"] for detail in body["details"]]) == (400, [["taxonomy", "job_id"]])
    fake.add(JOB, "failed", job_type="taxonomy_processing")
    status, body = await submit(api, taxonomy={"job_id": JOB})
    assert (status, body["error"], body["details"][0]["loc"]) == (409, "SourceFailedError", ["taxonomy", "job_id"])
    assert not fake.new
    fake.change(JOB, "completed")
    status, body = await submit(api, taxonomy={"job_id": JOB})
    assert status == 202
    assert JOB in fake.new[body["jobs"]["extraction"]].depends_on


@pytest.mark.parametrize(
    ("given", "loc"),
    [
        ({"documents": None}, ["documents"]),
        ({"documents": [{"colour": 1}]}, ["documents", 0, "colour"]),
        ({"document_processing": {"documents": []}}, ["document_processing", "documents"]),
        ({"document_processing": {"seed": -1}}, ["document_processing", "seed"]),
        ({"document_processing": []}, ["document_processing"]),
        ({"taxonomy_processing": {"source": {"job_id": JOB}}}, ["taxonomy_processing", "source"]),
        ({"extraction": {"source": {"job_id": JOB}}}, ["extraction", "source"]),
        ({"extraction": {"taxonomy": {"job_id": JOB}}}, ["extraction", "taxonomy"]),
        ({"dataset_generation": {"source": None}}, ["dataset_generation", "source"]),
        ({"dataset_generation": {"taxonomy": None}}, ["dataset_generation", "taxonomy"]),
        ({"dataset_generation": {"colour": 1}}, ["dataset_generation", "colour"]),
        ({"taxonomy": {"name": "x"}, "taxonomy_processing": {}}, ["taxonomy"]),
        ({"taxonomy": "mine.json"}, ["taxonomy"]),
        ({"taxonomy": {"taxonomy": 7}}, ["taxonomy", "taxonomy"]),
        ({"scheduled_time": "soon"}, ["scheduled_time"]),
        ({"scheduled_time": "2099-01-01T00:00:00Z", "delay_seconds": 1}, ["delay_seconds"]),
        ({"user_id": "a b"}, ["user_id"]),
        ({"name": ""}, ["name"]),
        ({"colour": 1}, ["colour"]),
    ],
)
async def test_api_R2_Q12_refused_by_its_field_and_nothing_is_stored(
    api: Any, fake: FakeQueue, given: dict[str, Any], loc: list[Any]
) -> None:
    status, body = await submit(api, **given)
    assert (status, body["error"]) == (400, "InvalidParameterError")
    assert loc in [detail["loc"] for detail in body["details"]], body
    assert not fake.new


async def test_api_R2_all_that_is_wrong_in_all_stages_is_told_at_once(api: Any) -> None:
    bad = {"seed": -1}
    _, body = await submit(api, **dict.fromkeys(STAGES, bad), documents=[{"x": 1}])
    assert {detail["loc"][0] for detail in body["details"]} == {"documents", *STAGES}


async def test_api_R2_a_stage_that_is_not_configured(start: Any, tmp_path: Path, fake: FakeQueue) -> None:
    (tmp_path / "other.toml").write_text(CHAIN_TYPES.partition("[job_types.dataset_generation]")[0])
    settings = load_settings(tmp_path / "other.toml", {})
    types = {name: kind for name, kind in settings.job_types.items() if name != "dataset_generation"}
    api = await start(settings.model_copy(update={"job_types": types}), fake)
    status, body = await submit(api)
    assert (status, body["error"]) == (400, "UnknownJobTypeError")
    assert not fake.new


async def test_api_R2_the_same_key_is_the_same_pipeline(api: Any, fake: FakeQueue) -> None:
    first = await submit(api, "k")
    assert first[0] == 202
    fake.change(first[1]["jobs"]["document_processing"], "failed")
    assert await submit(api, "k") == first
    assert len(fake.new) == 4
    other = await submit(api, "k2")
    assert not set(other[1]["jobs"].values()) & set(first[1]["jobs"].values())
    assert not set((await submit(api, "k", user_id="ann"))[1]["jobs"].values()) & set(first[1]["jobs"].values())


@pytest.mark.parametrize(
    "change",
    [{"documents": [{"text": "x"}]}, {"dataset_generation": {"seed": 1}}, {"priority": "low"}, {"delay_seconds": 5}],
)
async def test_api_R2_the_same_key_with_another_body_is_422(api: Any, fake: FakeQueue, change: dict[str, Any]) -> None:
    await submit(api, "k")
    status, body = await submit(api, "k", **change)
    assert (status, body["error"]) == (422, "IdempotencyConflictError")
    assert len(fake.new) == 4


async def test_api_R2_what_a_conflict_left_is_cancelled(api: Any, fake: FakeQueue) -> None:
    """The stage that the first pipeline had not is new, and the next one is another."""
    first = await submit(api, "k", taxonomy={"name": "mine"})
    status, _ = await submit(api, "k")
    assert status == 422
    assert [job.state for job in fake.jobs.values()] == ["pending"] * 3 + ["cancelled"]
    assert await submit(api, "k", taxonomy={"name": "mine"}) == first


async def test_api_R2_one_refused_none_accepted(api: Any, fake: FakeQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    accept = fake.enqueue_many

    async def refuse_last(jobs: Any) -> Any:
        return [*await accept(jobs[:-1]), DuplicateJob(jobs[-1].job_id)]

    monkeypatch.setattr(fake, "enqueue_many", refuse_last)
    assert (await submit(api))[0] == 422
    assert [job.state for job in fake.jobs.values()] == ["cancelled"] * 3


async def test_api_R2_the_queue_away_tells_the_ids(api: Any, fake: FakeQueue) -> None:
    fake.down = QueueFull("full")
    status, body = await submit(api, "k")
    assert (status, body["error"], tuple(body["jobs"])) == (503, "QueueUnavailableError", STAGES)
    fake.down = None
    assert (await submit(api, "k"))[1]["jobs"] == body["jobs"]


async def chain(api: Any, job_id: str) -> list[tuple[str, str]]:
    return [(link["job_type"], link["status"]) for link in (await get(api, job_id))["chain"]]


async def test_api_R3_the_last_shows_the_chain(real: Any, worker: WorkingHand) -> None:
    status, body = await submit(real)
    assert status == 202
    last, expected = body["job_id"], [(stage, "pending") for stage in STAGES[:3]]
    assert await chain(real, last) == expected
    for place, (stage, job_id) in enumerate(body["jobs"].items()):
        claimed = await worker.claim()
        assert claimed.job_id == job_id, "each starts when those before it have completed"
        assert await worker.claim_many() == []
        await worker.progress(claimed, 0.5, "half")
        if place < 3:
            expected[place] = (stage, "running")
            assert await chain(real, last) == expected
            link = (await get(real, last))["chain"][place]
            assert link == {"job_id": job_id, "job_type": stage, "status": "running", "progress": 0.5}
            expected[place] = (stage, "completed")
        await worker.finish(claimed, Completed())
    assert await chain(real, last) == expected
    _, polled = await real.get(f"{JOBS}/status/{last}/poll?timeout=0")
    assert [link["progress"] for link in polled["chain"]] == [1.0] * 3
    assert "chain" not in await get(real, body["jobs"]["document_processing"])


async def test_api_R3_a_failure_is_seen_in_the_chain(real: Any, worker: WorkingHand) -> None:
    _, body = await submit(real)
    await worker.finish(await worker.claim(), Failed("it broke"))
    seen = await get(real, body["job_id"])
    assert seen["status"] == "cancelled"
    assert [link["status"] for link in seen["chain"]] == ["failed", "cancelled", "cancelled"]


async def test_api_R2_on_the_real_queue_keys_survive_what_becomes_of_the_jobs(
    real: Any, worker: WorkingHand, queue: JobQueue
) -> None:
    first, again = await asyncio.gather(submit(real, "k"), submit(real, "k"))
    assert first == again and first[0] == 202
    assert (await queue.inspector.stats()).counts["pending"] == 4
    await worker.finish(await worker.claim(), Failed("it broke"))
    for job_id in first[1]["jobs"].values():
        await queue.producer.remove(job_id)
    assert await submit(real, "k") == first
    assert (await submit(real, "k", priority="low"))[0] == 422
    assert sum((await queue.inspector.stats()).counts.values()) == 0


async def test_api_R3_one_read_for_a_pipeline_and_none_for_other_jobs(api: Any, fake: FakeQueue) -> None:
    ids = [str(uuid.UUID(int=n)) for n in range(4)]
    for n, (job_id, stage) in enumerate(zip(ids, STAGES, strict=True)):
        fake.add(job_id, job_type=stage, depends_on=tuple(ids[:n]))
    fake.reads.clear()
    assert len((await get(api, ids[3]))["chain"]) == 3
    assert [set(read) for read in fake.reads] == [{ids[3]}, set(ids[:3])]
    fake.reads.clear()
    await get(api, ids[0])
    fake.add("plain", job_type="something", depends_on=(ids[0],))
    assert "chain" not in await get(api, "plain")
    assert fake.reads == [(ids[0],), ("plain",)]


async def test_api_R3_jobs_submitted_one_by_one_are_a_chain_too(api: Any, fake: FakeQueue) -> None:
    for job_id, parents in {"a": (), "b": ("a",), "c": ("a", "b"), "d": ("c", "gone")}.items():
        fake.add(job_id, job_type="extraction", depends_on=parents)
    assert [link["job_id"] for link in (await get(api, "d"))["chain"]] == ["a", "b", "c"]
    fake.add("x", job_type="extraction", depends_on=("y",))
    fake.add("y", job_type="extraction", depends_on=("x",))
    assert [link["job_id"] for link in (await get(api, "x"))["chain"]] == ["y"], "a circle that somebody wrote"
