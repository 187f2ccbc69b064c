"""The whole URL table."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from server.handlers import bulk, jobs, listing, system, watch

BASE: Final = "/api/v1/jobs"
# Any text counts as an id here, so that a wrong one is answered as an unknown job and not as an unknown route.
JOB: Final = "{job_id:[^/]+}"

ROUTES: Final = (
    web.get(BASE, listing.list_jobs),
    web.post(f"{BASE}/submit", jobs.submit),
    web.post(f"{BASE}/submit/bulk", bulk.submit_bulk),
    web.get(f"{BASE}/status/{JOB}", jobs.status),
    web.get(f"{BASE}/status/{JOB}/poll", watch.poll, allow_head=False),
    web.get(f"{BASE}/status/{JOB}/stream", watch.stream, allow_head=False),
    web.get(f"{BASE}/result/{JOB}", jobs.result),
    # A stock job may have the id `bulk`: it is reached by these too, as {"job_ids": ["bulk"]}.
    web.post(f"{BASE}/cancel/bulk", bulk.cancel_bulk),
    web.post(f"{BASE}/restart/bulk", bulk.restart_bulk),
    web.post(f"{BASE}/cancel/{JOB}", jobs.cancel),
    web.post(f"{BASE}/restart/{JOB}", jobs.restart),
    web.get(f"{BASE}/queue/stats", system.queue_stats),
    web.get("/health/live", system.live),
    web.get("/health/ready", system.ready),
)
