"""Renewing leases from a thread: blocking, on a connection of its own, so that a busy event loop cannot delay it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

import redis
from redis.backoff import NoBackoff
from redis.exceptions import BusyLoadingError, NoScriptError, OutOfMemoryError, RedisError, ResponseError
from redis.retry import Retry

from jobqueue import failpoints, scripts
from jobqueue.age import Age
from jobqueue.consumer import Ended, encode_outcome
from jobqueue.errors import QueueFull, QueueUnavailable, ScriptError
from jobqueue.keys import Keys
from jobqueue.scripts import Script
from jobqueue.wire import Argument

LOST: Final = 0
RENEWED: Final = 1
CANCELLED: Final = 2
MOST_LEASES: Final = 500


class Holding(NamedTuple):
    """`records`: also write RQ's execution records, for jobs that run longer than a moment."""

    job_id: str
    execution_id: str
    records: bool


@dataclass(frozen=True, slots=True)
class Renewal:
    """`registered`: False = this worker's registration is gone. `leases`: LOST, RENEWED or CANCELLED, in order."""

    registered: bool
    leases: list[int]


class LeaseRenewer:
    """`timeout`: seconds for one call; must be well under the lease."""

    def __init__(self, url: str, keys: Keys, worker: str, *, lease_us: int, timeout: float) -> None:
        self._keys = keys
        self._worker = worker
        self._lease_us = lease_us
        self._age = Age()
        self._client = redis.Redis.from_url(
            url,
            retry=Retry(NoBackoff(), 0),
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            client_name=f"{worker}-leases",
            protocol=2,
        )

    def renew(
        self, holdings: Sequence[Holding], *, state: Literal["idle", "busy"], rss_mb: int, stopping: bool = False
    ) -> Renewal:
        """Renew up to MOST_LEASES leases and the worker's own registration. `stopping`: it was told to end.

        Raises QueueUnavailable (nothing is known), and QueueFull while Redis loads or refuses writes: then nobody can
        take a lease away either.
        """
        items: list[Argument] = []
        for holding in holdings:
            items += [holding.job_id, holding.execution_id, int(holding.records)]
        given: dict[str, Argument] = {
            "worker": self._worker,
            "lease": self._lease_us,
            "state": state,
            "rss_mb": rss_mb,
            "age": self._age.microseconds,
            "stopping": int(stopping),
        }
        known, leases = self._run("extend", given, items)
        self._age.begin()
        return Renewal(bool(known), list(leases))

    def give_back(self, ended: Sequence[Ended]) -> None:
        """Report outcomes when the event loop cannot."""
        items: list[Argument] = []
        for entry in ended:
            items += encode_outcome(entry.job, entry.outcome)
        self._run("finish", {"worker": self._worker}, items)

    def close(self) -> None:
        self._client.close()

    def _run(self, name: str, given: dict[str, Argument], items: list[Argument]) -> Any:
        script = scripts.load(name)
        argv = script.argv(self._keys.prefix, given, items)
        if failpoints.armed:
            failpoints.hit(name, "before")
        try:
            reply = self._call(script, argv)
        except (BusyLoadingError, OutOfMemoryError) as error:
            raise QueueFull(str(error)) from error
        except ResponseError as error:
            if str(error).startswith("MISCONF"):
                raise QueueFull(str(error)) from error
            raise ScriptError(str(error)) from error
        except (RedisError, OSError) as error:
            raise QueueUnavailable("Redis is not reachable") from error
        if failpoints.armed:
            failpoints.hit(name, "after")
        return reply

    def _call(self, script: Script, argv: list[Argument]) -> Any:
        try:
            return self._client.execute_command("EVALSHA", script.sha, 1, self._keys.meta, *argv)
        except NoScriptError:
            return self._client.execute_command("EVAL", script.text, 1, self._keys.meta, *argv)
