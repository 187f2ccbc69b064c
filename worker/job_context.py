"""The one implementation of `JobContext`, for both modes and for stock workers; they differ in where notes go."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from worker.context import JobCancelled, UrlRules
from worker.note import Note

if TYPE_CHECKING:
    from jobqueue.config import DocumentSettings

# Ids of jobs become names of folders, and stock producers choose ids as they like.
_SAFE_ID: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.\-]{0,127}")


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFacts:
    """What does not change during an attempt; JSON-able. `deadline` is on the machine's monotonic clock."""

    job_id: str
    job_type: str
    user_id: str
    attempt: int
    fence: int
    jobs_dir: str
    input_root: str
    deadline: float | None
    llm_base_urls: tuple[str, ...] = ()
    url_rules: UrlRules | dict[str, Any] = field(default_factory=UrlRules)
    processes: int = 1
    memory_limit_mb: int = 2048


def url_rules(settings: DocumentSettings) -> UrlRules:
    return UrlRules(settings.urls, settings.url_origins, settings.url_max_bytes, settings.url_timeout_seconds)


class Context:
    """`cancelled` is set from outside, `put` takes each note."""

    def __init__(self, facts: JobFacts, put: Callable[[Note], None]) -> None:
        self._facts = facts
        self._put = put
        self._newest = Note()
        self.log = _logger(facts)
        self.cancelled = False

    @property
    def job_id(self) -> str:
        return self._facts.job_id

    @property
    def user_id(self) -> str:
        return self._facts.user_id

    @property
    def attempt(self) -> int:
        return self._facts.attempt

    @property
    def fence(self) -> int:
        return self._facts.fence

    @property
    def folder(self) -> Path:
        if not _SAFE_ID.fullmatch(self.job_id):
            raise ValueError("the job's id cannot be the name of a folder")
        folder = Path(self._facts.jobs_dir) / self.job_id
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @property
    def input_root(self) -> Path:
        return Path(self._facts.input_root)

    @property
    def llm_base_urls(self) -> tuple[str, ...]:
        # A list when it came as JSON.
        return tuple(self._facts.llm_base_urls)

    @property
    def url_rules(self) -> UrlRules:
        rules = self._facts.url_rules
        # Its fields when it came as JSON.
        return rules if isinstance(rules, UrlRules) else UrlRules(**rules)

    @property
    def processes(self) -> int:
        return self._facts.processes

    @property
    def memory_limit_mb(self) -> int:
        return self._facts.memory_limit_mb

    @property
    def seconds_left(self) -> float | None:
        deadline = self._facts.deadline
        return None if deadline is None else max(0.0, deadline - time.monotonic())

    def check(self) -> None:
        if self.cancelled:
            raise JobCancelled(f"job {self.job_id} was asked to stop")

    def progress(
        self,
        fraction: float | None = None,
        *,
        step: str | None = None,
        done: int | None = None,
        total: int | None = None,
    ) -> None:
        self._newest = self._newest.followed_by(fraction, step, done, total)
        self._put(self._newest)


class _JobFields(logging.Filter):
    """Puts the job's fields into each record."""

    def __init__(self, facts: JobFacts) -> None:
        super().__init__()
        self._fields = {"job_id": facts.job_id, "user_id": facts.user_id, "attempt": facts.attempt}

    def filter(self, record: logging.LogRecord) -> bool:
        vars(record).update(self._fields)
        return True


def _logger(facts: JobFacts) -> logging.Logger:
    # Not registered by its name: the logging module would never forget a job's.
    logger = logging.Logger(f"worker.jobs.{facts.job_type}")
    logger.parent = logging.getLogger("worker.jobs")
    logger.addFilter(_JobFields(facts))
    return logger
