"""A prefix on one Redis and the way to call scripts there. Every role of the library stands on this."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jobqueue import failpoints, scripts
from jobqueue.errors import (
    ClaimSuperseded,
    CleanupSuperseded,
    JobNotFound,
    QueueError,
    ScriptError,
    UnknownWorker,
    WrongState,
)
from jobqueue.keys import Keys
from jobqueue.link import Link
from jobqueue.scripts import Script
from jobqueue.wire import Argument, ReplyError


class Namespace:
    def __init__(self, link: Link, keys: Keys) -> None:
        self.link = link
        self.keys = keys

    async def run(self, name: str, given: Mapping[str, Argument], items: Sequence[Argument] = ()) -> Any:
        """Call the script `name` with its arguments by name; `items` is flat, one value after the other."""
        script = scripts.load(name)
        argv = script.argv(self.keys.prefix, given, items)
        if failpoints.armed:
            failpoints.hit(name, "before")
        try:
            reply = await self._call(script, argv)
        except ReplyError as error:
            raise explain(error) from error
        if failpoints.armed:
            failpoints.hit(name, "after")
        return reply

    async def call(self, *command: Argument) -> Any:
        """One plain command. Raises ScriptError for an error reply."""
        try:
            return await self.link.call(*command)
        except ReplyError as error:
            raise explain(error) from error

    async def _call(self, script: Script, argv: list[Argument]) -> Any:
        try:
            return await self.link.call("EVALSHA", script.sha, 1, self.keys.meta, *argv)
        except ReplyError as error:
            if not str(error).startswith("NOSCRIPT"):
                raise
        # The call was refused before it began, so sending it again cannot do anything twice.
        return await self.link.call("EVAL", script.text, 1, self.keys.meta, *argv)


def explain(error: ReplyError) -> QueueError:
    """The exception for an error reply: of our scripts, whose first word is the code, or of Redis itself."""
    code, _, rest = str(error).partition(" ")
    if code == "NOT_FOUND":
        return JobNotFound(rest)
    if code == "WRONG_STATE":
        return WrongState(rest)
    if code == "UNKNOWN_WORKER":
        return UnknownWorker(rest)
    if code == "CLAIM_SUPERSEDED":
        return ClaimSuperseded(rest)
    if code == "CLEANUP_SUPERSEDED":
        return CleanupSuperseded(rest)
    return ScriptError(str(error))
