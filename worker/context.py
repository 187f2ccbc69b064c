"""What a running job sees of the system. Jobs depend on this module only."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol


class JobCancelled(Exception):
    """The job was asked to stop; raised by `JobContext.check` so that a job can end at a point of its choosing."""


class PermanentError(Exception):
    """A failure that another attempt cannot mend. `code` is a stable word for programs, the text is for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


class RetryableError(Exception):
    """A failure that another attempt may mend; `code` and the text as in PermanentError."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


@dataclass(frozen=True, slots=True)
class UrlRules:
    """What the operator lets jobs fetch from the web: nothing, what lies at `origins`, or that and all that is public.

    `max_bytes` and `timeout_seconds`: of one document.
    """

    access: Literal["off", "listed", "public"] = "off"
    origins: Sequence[str] = ()
    max_bytes: int = 200_000_000
    timeout_seconds: float = 60.0


class JobContext(Protocol):
    """The same in both modes: in the worker's loop (`async`) and in a child process (`process`).

    `attempt` counts from 1 within the present run of the job. `fence` grows with every claim of the job, over restarts
    too: hand it to outside resources so that they can refuse a writer that has lost its job.
    """

    @property
    def job_id(self) -> str: ...
    @property
    def user_id(self) -> str: ...
    @property
    def attempt(self) -> int: ...
    @property
    def fence(self) -> int: ...
    @property
    def folder(self) -> Path:
        """The job's own folder for artefacts; it exists, and goes when the job's record goes."""
        ...

    @property
    def input_root(self) -> Path:
        """The only folder that a job may read user files from."""
        ...

    @property
    def llm_base_urls(self) -> tuple[str, ...]:
        """Endpoints of language models that the operator lets jobs use wherever they are."""
        ...

    @property
    def url_rules(self) -> UrlRules:
        """What the operator lets jobs fetch from the web."""
        ...

    @property
    def processes(self) -> int:
        """How many processes the job may let work side by side."""
        ...

    @property
    def memory_limit_mb(self) -> int:
        """What the job may use with all of its processes, in mode `process`; beyond it all of them are killed."""
        ...

    @property
    def log(self) -> logging.Logger: ...
    @property
    def cancelled(self) -> bool: ...
    @property
    def seconds_left(self) -> float | None:
        """Seconds until the job's time limit; None without a limit."""
        ...

    def check(self) -> None:
        """Raise JobCancelled when the job was asked to stop."""
        ...

    def progress(
        self,
        fraction: float | None = None,
        *,
        step: str | None = None,
        done: int | None = None,
        total: int | None = None,
    ) -> None:
        """Note how far the job is; cheap and never blocking, call it as often as you like.

        `fraction` is 0.0 to 1.0 and may be left out when `done` and `total` are given. At most four notes a second are
        written, the newest wins, and the last one before the end is always written.
        """
        ...
