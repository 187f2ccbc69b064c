"""Jobs and what was done to them, as the API writes them. Pure functions."""

from __future__ import annotations

from typing import Any, Final

from jobqueue import Cancelled, Enqueued, Job, JobChange, NewJob
from jobqueue.job import Attempt, Waiting
from server import times


def submitted_json(enqueued: Enqueued, job: NewJob | None = None) -> dict[str, Any]:
    """`job`: as it was asked for, if it was."""
    message = "Job scheduled" if enqueued.state == "scheduled" else "Job submitted"
    if enqueued.state == "cancelled":
        message = "Job cancelled: a job that it depends on has failed"
    elif job is not None and job.unique_key is not None and enqueued.job_id != job.job_id:
        message = "A live job has this unique_key"
    return {"job_id": enqueued.job_id, "status": enqueued.state, "message": message}


def cancelled_json(cancelled: Cancelled) -> dict[str, Any]:
    message = "Job cancelled successfully" if cancelled.changed else "Job already cancelled"
    return {"job_id": cancelled.job_id, "status": "cancelled", "message": message}


def restarted_json(job_id: str) -> dict[str, Any]:
    return {"job_id": job_id, "status": "pending", "message": "Job restarted and re-queued"}


def job_json(job: Job) -> dict[str, Any]:
    return {
        "job_id": job.job_id,
        "job_type": job.job_type,
        "status": job.state,
        "progress": job.progress,
        "created_at": times.to_text(job.created_at),
        "started_at": times.to_text(job.started_at),
        "completed_at": times.to_text(job.ended_at),
        "error": job.error,
        "user_id": job.user_id,
        "metrics": {
            "execution_time_seconds": round(job.execution_seconds, 3),
            "items_processed": job.items_done,
            "total_items": job.items_total,
        },
        "current_step": job.step or None,
        "priority": job.priority,
        "scheduled_time": times.to_text(job.due_at),
        "attempt": job.attempt,
        "max_attempts": job.max_attempts,
        "retries_left": job.retries_left,
        "restarts": job.restarts,
        "attempts": [attempt_json(attempt) for attempt in job.attempts],
        "queue": job.queue,
        "worker": job.worker,
        "waiting": None if job.waiting is None else waiting_json(job.waiting),
        "reason": job.reason,
        "depends_on": job.depends_on,
        "on_failure": job.on_failure,
        "dependents": job.dependents,
        "dependents_total": job.dependents_total,
        "expires_in": job.expires_in,
        "schedule_id": job.schedule_id,
    }


def attempt_json(attempt: Attempt) -> dict[str, Any]:
    return {
        "run": attempt.run,
        "attempt": attempt.attempt,
        "worker": attempt.worker,
        "started_at": times.to_text(attempt.started_at),
        "ended_at": times.to_text(attempt.ended_at),
        "outcome": attempt.outcome,
        "error": attempt.error,
    }


_PAUSED: Final = {
    "queue": "everything is paused",
    "user": "jobs of this user are paused",
    "type": "jobs of this type are paused",
}


def waiting_json(waiting: Waiting) -> dict[str, Any]:
    return {
        "reason": waiting.reason,
        "detail": _detail(waiting),
        "ahead_own": waiting.ahead_own,
        "position": waiting.position,
        "eta_seconds": waiting.eta_seconds,
    }


def _detail(waiting: Waiting) -> str | None:
    match waiting.reason:
        case "paused":
            return _PAUSED[waiting.detail]
        case "dependency":
            return _dependency(waiting.detail)
        case "no_worker":
            return f"no worker serves the queue {waiting.detail}"
    return None


def _dependency(job_ids: str) -> str:
    # For a moment, when many wait for the same; of stock producers' jobs for ever, when one of them has failed.
    return f"waits for {job_ids.replace(' ', ', ')}" if job_ids else "the jobs that it depends on have ended"


def result_json(job: Job) -> dict[str, Any]:
    return {"job_id": job.job_id, "status": job.state, "result": job.result, "error": job.error}


def snapshot_json(job: Job) -> dict[str, Any]:
    """The present state of a job that has not ended; while it waits with the reason."""
    return {
        "job_id": job.job_id,
        "status": job.state,
        "progress": job.progress,
        "current_step": job.step or None,
        **({} if job.waiting is None else {"waiting": waiting_json(job.waiting)}),
    }


def update_json(change: JobChange) -> dict[str, Any]:
    return {
        "job_id": change.job_id,
        "status": change.state,
        # In an event a whole number comes without its point.
        "progress": float(change.progress),
        "current_step": change.step or None,
    }


def complete_json(change: JobChange, result: Any, error: str | None) -> dict[str, Any]:
    return {**update_json(change), "result": result, "error": error}
