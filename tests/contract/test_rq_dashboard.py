"""rq-dashboard 0.9.0 over what we write (checks 19 to 23)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import flask
import pytest
import rq_dashboard
from flask.testing import FlaskClient
from hands import Hands
from rq import Retry
from rq.results import Result
from rq_dashboard.web import config as dashboard_config
from rq_dashboard.web import setup_rq_connection
from rq_support import Site, until

from jobqueue import Completed, Failed, JobQueue

REGISTRIES = ("queued", "started", "finished", "failed", "deferred", "scheduled", "canceled")


class Dashboard:
    def __init__(self, client: FlaskClient) -> None:
        self.client = client

    def get(self, path: str) -> dict[str, Any]:
        answer = self.client.get(path)
        assert answer.status_code == 200, (path, answer.status_code)
        found: dict[str, Any] = answer.get_json()
        return found

    def post(self, path: str) -> dict[str, Any]:
        found: dict[str, Any] = self.client.post(path).get_json()
        return found

    def listed(self, registry: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.get(f"/0/data/jobs/default/{registry}/10/asc/1.json")["jobs"]
        return found


@pytest.fixture
def dashboard(site: Site) -> Iterator[Dashboard]:
    app = flask.Flask("dashboard")
    app.config.from_object(rq_dashboard.default_settings)
    app.config["RQ_DASHBOARD_REDIS_URL"] = site.url
    setup_rq_connection(app)
    app.register_blueprint(rq_dashboard.blueprint)
    # What its option `--json` does.
    before, dashboard_config.serializer = dashboard_config.serializer, site.serializer
    yield Dashboard(app.test_client())
    dashboard_config.serializer = before


async def one_in_each_place(site: Site, queue: JobQueue, hands: Hands) -> dict[str, str]:
    """The ids by the place where they are."""
    enqueue = site.queue.enqueue
    first = {name: enqueue("rq_jobs.add", 1, b=2, meta={"note": name}).id for name in ("finished", "failed", "started")}
    await hands.start(*first.values())
    await hands.end_together({first["finished"]: Completed(3), first["failed"]: Failed("ValueError: no", "trace")})
    canceled = enqueue("rq_jobs.add", 1).id
    await queue.producer.cancel(canceled)
    queued = enqueue("rq_jobs.add", 1).id
    deferred = enqueue("rq_jobs.add", 1, depends_on=queued).id
    again = enqueue("rq_jobs.add", 1, retry=Retry(max=2, interval=30), at_front=True).id
    await hands.take(1)
    await hands.end(again, Failed("ValueError: no"))
    return first | {"canceled": canceled, "queued": queued, "deferred": deferred, "scheduled": again}


async def test_19_21_22_counts_lists_and_details(site: Site, dashboard: Dashboard) -> None:
    async with site.opened() as queue:
        await queue.register_worker()
        ids = await one_in_each_place(site, queue, Hands(queue, site.client))
    judge_counts(dashboard)
    for registry in REGISTRIES:
        (job,) = dashboard.listed(registry)
        assert job["id"] == ids[registry], registry
        assert job["exc_info"] == ("trace" if registry == "failed" else None)
    detail = dashboard.get(f"/0/data/job/{ids['finished']}.json")
    assert (detail["status"], detail["origin"], detail["result"]) == ("finished", "default", 3)
    assert (detail["metadata"], detail["exc_info"]) == ('{"note": "finished"}', None)
    for moment in ("created_at", "enqueued_at", "started_at", "ended_at"):
        assert detail[moment].endswith("+00:00"), moment
    assert dashboard.get(f"/0/data/job/{ids['failed']}.json")["exc_info"] == "trace"


def judge_counts(dashboard: Dashboard) -> None:
    (queue,) = dashboard.get("/0/data/queues.json")["queues"]
    assert (queue["name"], queue["count"]) == ("default", 1)
    for registry in REGISTRIES[1:]:
        assert queue[f"{registry}_job_registry_count"] == 1, registry


async def test_20_workers(site: Site, dashboard: Dashboard) -> None:
    async with site.opened("ours", JOBQUEUE_QUEUE_EAGER_EXECUTIONS="true") as queue:
        await queue.register_worker()
        (worker,) = dashboard.get("/0/data/workers.json")["workers"]
        assert (worker["name"], worker["state"], worker["queues"]) == ("ours", "idle", ["default"])
        assert worker["current_job"] == "idle"
        assert worker["pid"] > 0 and worker["version"] and worker["birth_date"] and worker["last_heartbeat"]
        counts = [worker[name] for name in ("successful_job_count", "failed_job_count", "total_working_time")]
        assert counts == [0, 0, 0]


# The dashboard reads the jobs of workers with pickle, whatever it was told.
@pytest.mark.parametrize("serializer", ["pickle"])
async def test_20_a_busy_worker(site: Site, dashboard: Dashboard) -> None:
    job = site.queue.enqueue("rq_jobs.hold", str(site.gate))
    async with site.ours(JOBQUEUE_QUEUE_EAGER_EXECUTIONS="true"):
        await until(lambda: site.status(job.id) == "started", "it runs")
        (worker,) = dashboard.get("/0/data/workers.json")["workers"]
        assert worker["current_job"]["job_id"] == job.id
        assert worker["current_job"]["call_string"].startswith("rq_jobs.hold(")
        site.open_gate()


async def test_23_requeue_and_delete(site: Site, dashboard: Dashboard) -> None:
    failed = site.queue.enqueue("rq_jobs.fail").id
    finished = site.queue.enqueue("rq_jobs.add", 1).id
    await site.run_ours(failed, finished)
    assert dashboard.post(f"/job/{failed}/requeue") == {"status": "OK"}
    assert (site.status(failed), site.listed()) == ("queued", [failed])
    assert dashboard.post(f"/job/{finished}/delete") == {"status": "OK"}
    assert site.status(finished) == "gone"
    await site.run_ours(failed)
    assert [result.type for result in site.job(failed).results()] == [Result.Type.FAILED] * 2
    assert dashboard.post(f"/job/{failed}/delete") == {"status": "OK"}
    async with site.opened() as queue:
        hands = Hands(queue, site.client)
        await hands.clean()
        assert await hands.states(failed, finished) == ["gone", "gone"]
        counts = (await queue.inspector.stats()).counts
        assert sum(counts.values()) == 0
    await site.settled()


async def test_pages_for_people_are_rendered(site: Site, dashboard: Dashboard) -> None:
    job = site.queue.enqueue("rq_jobs.add", 1)
    await site.run_ours(job.id)
    for path in ("/0/view/queues", "/0/view/workers", "/0/view/jobs"):
        assert dashboard.client.get(path, follow_redirects=True).status_code == 200, path
