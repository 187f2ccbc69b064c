"""The examples of the API document, word for word."""

from __future__ import annotations

from typing import Any

JOB = "550e8400-e29b-41d4-a716-446655440000"

STATUS: dict[str, Any] = {
    "job_id": JOB,
    "job_type": "extraction",
    "status": "running",
    "progress": 0.75,
    "created_at": "2025-11-12T15:30:00Z",
    "started_at": "2025-11-12T15:30:05Z",
    "completed_at": None,
    "error": None,
    "user_id": "default_user",
    "metrics": {"execution_time_seconds": 45.2, "items_processed": 75, "total_items": 100},
}

STATS: dict[str, Any] = {
    "pending_jobs": 3,
    "running_jobs": 2,
    "scheduled_jobs": 1,
    "completed_jobs": 150,
    "failed_jobs": 2,
    "cancelled_jobs": 1,
    "total_jobs": 159,
    "queue_type": "redis",
    "cache_size": 100,
    "active_workers": 2,
    "cpu_usage_percent": 45.2,
    "memory_usage_mb": 850,
    "global_max_concurrent_jobs": 10,
    "per_user_max_concurrent_jobs": 3,
    "worker_health_status": "healthy",
    "last_cleanup": "2025-11-12T15:25:00Z",
}

CANCELLED = {"job_id": JOB, "status": "cancelled", "message": "Job cancelled successfully"}

RESTARTED = {"job_id": JOB, "status": "pending", "message": "Job restarted and re-queued"}

NOT_FOUND = {"error": "JobNotFoundError", "message": f"Job {JOB} not found", "job_id": JOB}

ALREADY_COMPLETED = {
    "error": "JobAlreadyCompletedError",
    "message": "Cannot cancel job that is already completed",
    "job_id": JOB,
    "current_status": "completed",
}

UPDATE = {"job_id": JOB, "status": "running", "progress": 0.1}

COMPLETE: dict[str, Any] = {"job_id": JOB, "status": "completed", "result": {}}


def assert_same_shape(example: dict[str, Any], body: dict[str, Any]) -> None:
    """Every key of the example is there with a value of the same JSON type; more keys are allowed."""
    for key, value in example.items():
        assert key in body, key
        if value is not None and body[key] is not None:
            assert type(body[key]) is type(value), key
        if isinstance(value, dict):
            assert_same_shape(value, body[key])
