"""The whole URL table."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from server.handlers import (
    bulk,
    bulk_change,
    controls,
    files,
    jobs,
    listing,
    pipeline,
    results,
    schedules,
    system,
    watch,
)

BASE: Final = "/api/v1/jobs"
# Any text counts as an id here, so that a wrong one is answered as an unknown job and not as an unknown route.
JOB: Final = "{job_id:[^/]+}"
FILE: Final = "{file_id:[^/]+}"
SCHEDULE: Final = "{schedule_id:[^/]+}"

WORKER: Final = "{worker:[^/]+}"

ROUTES: Final = (
    web.get(BASE, listing.list_jobs),
    web.post(f"{BASE}/submit", jobs.submit),
    web.post(f"{BASE}/submit/bulk", bulk.submit_bulk),
    web.get(f"{BASE}/status/{JOB}", jobs.status),
    web.delete(f"{BASE}/status/{JOB}", jobs.delete),
    web.get(f"{BASE}/status/{JOB}/poll", watch.poll, allow_head=False),
    web.get(f"{BASE}/status/{JOB}/stream", watch.stream, allow_head=False),
    web.get(f"{BASE}/result/{JOB}", jobs.result),
    web.get(f"{BASE}/result/{JOB}/files", results.list_result_files),
    web.get(f"{BASE}/result/{JOB}/files/{{name:.+}}", results.send_result_file),
    web.post(f"{BASE}/pipeline", pipeline.submit_pipeline),
    web.post(f"{BASE}/files", files.upload),
    web.get(f"{BASE}/files", files.list_files),
    web.delete(f"{BASE}/files/{FILE}", files.remove_file),
    # A stock job may have the id `bulk`: it is reached by these too, as {"job_ids": ["bulk"]}.
    web.post(f"{BASE}/cancel/bulk", bulk_change.cancel_bulk),
    web.post(f"{BASE}/restart/bulk", bulk_change.restart_bulk),
    web.post(f"{BASE}/cancel/{JOB}", jobs.cancel),
    web.post(f"{BASE}/restart/{JOB}", jobs.restart),
    web.post(f"{BASE}/schedules", schedules.create_schedule),
    web.get(f"{BASE}/schedules", schedules.list_schedules),
    web.get(f"{BASE}/schedules/{SCHEDULE}", schedules.get_schedule),
    web.delete(f"{BASE}/schedules/{SCHEDULE}", schedules.remove_schedule),
    web.post(f"{BASE}/schedules/{SCHEDULE}/pause", schedules.pause_schedule),
    web.post(f"{BASE}/schedules/{SCHEDULE}/resume", schedules.resume_schedule),
    web.post(f"{BASE}/schedules/{SCHEDULE}/run", schedules.run_schedule),
    web.get(f"{BASE}/limits", controls.get_limits),
    web.patch(f"{BASE}/limits", controls.change_limits),
    web.post(f"{BASE}/pause", controls.pause),
    web.post(f"{BASE}/resume", controls.resume),
    web.post(f"{BASE}/workers/{WORKER}/drain", controls.drain),
    web.get(f"{BASE}/queue/stats", system.queue_stats),
    web.get("/health/live", system.live),
    web.get("/health/ready", system.ready),
)
