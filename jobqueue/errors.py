"""Every failure that a caller of the library may meet.

QueueError
├── ConfigurationError       the configuration is wrong; the text names the key
├── QueueUnavailable         Redis did not answer in time; what was asked may or may not have happened
│   ├── QueueStarting        Redis answers, but still loads its files
│   └── StrangeKey           somebody else has overwritten a key of ours; the next cleanup, at once, puts it aside
├── QueueFull                Redis refuses writes (memory or disk); nothing was changed
├── JobNotFound              no such job, or it has expired
├── WrongState               the transition is not allowed from the job's present state
├── DuplicateJob             the id is taken by a job with other content
├── OnceConflict             the idempotency key was used for another submission
├── DependencyNotFound       a job that a new one depends on does not exist, or is somebody else's
├── DependencyEnded          a job that this one depends on has failed or was cancelled: restart that first
├── StillStopping            the job was cancelled, but its execution has not ended yet
├── UniqueKeyTaken           another live job has the unique key
├── ScheduleSuperseded       the tick of the schedule is another one by now: somebody else fired it
├── UnknownWorker            the worker is not registered (any more)
├── ClaimSuperseded          an older claim number than the last one seen
├── CleanupSuperseded        another server has begun to clean up since
├── InvalidSchedule          a schedule cannot be as it is wanted; `field` is the part that is wrong
├── ScheduleNotFound         no such schedule, or it was removed
├── DuplicateSchedule        the id is taken by a schedule with other content
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


class StrangeKey(QueueUnavailable):
    """What was asked has failed there, perhaps half-way; asked again later it is done once, as all that is repeated."""


class QueueFull(QueueError):
    pass


class JobNotFound(QueueError):
    def __init__(self, job_id: str) -> None:
        super().__init__(f"Job {job_id} not found")
        self.job_id = job_id


class StockUnavailable(QueueError):
    """RQ's own objects cannot be made in this process; the text says why."""


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


class DependencyNotFound(QueueError):
    def __init__(self, job_id: str) -> None:
        super().__init__(f"Job {job_id} not found")
        self.job_id = job_id


class DependencyEnded(QueueError):
    """`state`: of the job that was waited for, in the API's words."""

    def __init__(self, job_id: str, state: str) -> None:
        super().__init__(f"job {job_id} is {state}")
        self.job_id = job_id
        self.state = state


class StillStopping(QueueError):
    pass


class UniqueKeyTaken(QueueError):
    """`job_id`: the live job that has the key."""

    def __init__(self, job_id: str) -> None:
        super().__init__(f"job {job_id} is live under the same unique key")
        self.job_id = job_id


class ScheduleSuperseded(QueueError):
    pass


class UnknownWorker(QueueError):
    pass


class ClaimSuperseded(QueueError):
    pass


class CleanupSuperseded(QueueError):
    pass


class InvalidSchedule(QueueError):
    """`field`: the part of the schedule that is wrong."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field


class ScheduleNotFound(QueueError):
    def __init__(self, schedule_id: str) -> None:
        super().__init__(f"Schedule {schedule_id} not found")
        self.schedule_id = schedule_id


class DuplicateSchedule(QueueError):
    def __init__(self, schedule_id: str) -> None:
        super().__init__(f"Schedule {schedule_id} exists with other content")
        self.schedule_id = schedule_id


class ScriptError(QueueError):
    pass
