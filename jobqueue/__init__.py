"""A small asyncio job queue in RQ's wire format: every change of a job is one Lua script."""

from __future__ import annotations

from jobqueue.client import JobQueue
from jobqueue.config import Settings, load_settings
from jobqueue.consumer import Batch, Consumer, Ended, Lane
from jobqueue.events import EventFeed
from jobqueue.inspector import Inspector
from jobqueue.job import (
    Claimed,
    Completed,
    Enqueued,
    Failed,
    Halted,
    Job,
    JobChange,
    JobPage,
    NewJob,
    Outcome,
    Progress,
    Released,
    Retried,
    Stopped,
)
from jobqueue.keys import Keys
from jobqueue.maintenance import Maintenance, TickReport
from jobqueue.presence import Presence
from jobqueue.producer import Cancelled, Producer
from jobqueue.recurrence import Recurrence
from jobqueue.schedule_record import NewSchedule, Schedule
from jobqueue.schedule_ticker import ScheduleReport
from jobqueue.schedules import SchedulePage, Schedules
from jobqueue.stats import Stats, WorkerInfo

__all__ = [
    "Batch",
    "Cancelled",
    "Claimed",
    "Completed",
    "Consumer",
    "Ended",
    "Enqueued",
    "EventFeed",
    "Failed",
    "Halted",
    "Inspector",
    "Job",
    "JobChange",
    "JobPage",
    "JobQueue",
    "Keys",
    "Lane",
    "Maintenance",
    "NewJob",
    "NewSchedule",
    "Outcome",
    "Presence",
    "Producer",
    "Progress",
    "Recurrence",
    "Released",
    "Retried",
    "Schedule",
    "SchedulePage",
    "ScheduleReport",
    "Schedules",
    "Settings",
    "Stats",
    "Stopped",
    "TickReport",
    "WorkerInfo",
    "load_settings",
]
