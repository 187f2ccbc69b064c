"""Every failure that a caller of the library may meet.

QueueError
├── ConfigurationError       the configuration is wrong; the text names the key
├── QueueUnavailable         Redis did not answer in time; what was asked may or may not have happened
│   └── QueueStarting        Redis answers, but still loads its files
├── QueueFull                Redis refuses writes (memory or disk); nothing was changed
├── JobNotFound              no such job, or it has expired
├── WrongState               the transition is not allowed from the job's present state
├── DuplicateJob             the id is taken by a job with other content
├── OnceConflict             the idempotency key was used for another submission
├── UnknownWorker            the worker is not registered (any more)
├── ClaimSuperseded          an older claim number than the last one seen
├── CleanupSuperseded        another server has begun to clean up since
└── ScriptError              a script failed in a way that is a defect or a damaged record
"""

from __future__ import annotations


class QueueError(Exception):
    """Base of all errors of this library."""


class ConfigurationError(QueueError):
    pass


class QueueUnavailable(QueueError):
    pass


class QueueStarting(QueueUnavailable):
    pass


class QueueFull(QueueError):
    pass


class JobNotFound(QueueError):
    def __init__(self, job_id: str) -> None:
        super().__init__(f"Job {job_id} not found")
        self.job_id = job_id


class WrongState(QueueError):
    """`current` is the job's state in the API's words, e.g. `completed`."""

    def __init__(self, current: str) -> None:
        super().__init__(f"not allowed while the job is {current}")
        self.current = current


class DuplicateJob(QueueError):
    def __init__(self, job_id: str) -> None:
        super().__init__(f"Job {job_id} exists with other content")
        self.job_id = job_id


class OnceConflict(QueueError):
    pass


class UnknownWorker(QueueError):
    pass


class ClaimSuperseded(QueueError):
    pass


class CleanupSuperseded(QueueError):
    pass


class ScriptError(QueueError):
    pass
