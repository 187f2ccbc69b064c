"""A prefix on one Redis and the way to call scripts there. Every role of the library stands on this."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from jobqueue import failpoints, scripts
from jobqueue.errors import (
    ClaimSuperseded,
    CleanupSuperseded,
    DependencyEnded,
    JobNotFound,
    QueueError,
    ScheduleNotFound,
    ScriptError,
    StillStopping,
    StrangeKey,
    UniqueKeyTaken,
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
            if str(error).startswith("WRONGTYPE"):
                await self._call_for_help()
                raise StrangeKey(str(error)) from error
            raise explain(error) from error
        if failpoints.armed:
            failpoints.hit(name, "after")
        return reply

    async def _call_for_help(self) -> None:
        """Somebody else uses a key of ours for something else: whoever cleans up looks for it at once."""
        with contextlib.suppress(ReplyError):
            await self.link.call("HSET", self.keys.meta, "strange", 1)

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


# By the first word of a script's error reply; the rest of the text is what the exception is made of.
_BY_CODE: Final[Mapping[str, Callable[[str], QueueError]]] = {
    "NOT_FOUND": JobNotFound,
    "WRONG_STATE": WrongState,
    "UNKNOWN_WORKER": UnknownWorker,
    "CLAIM_SUPERSEDED": ClaimSuperseded,
    "CLEANUP_SUPERSEDED": CleanupSuperseded,
    "STILL_STOPPING": StillStopping,
    "UNIQUE_KEY_TAKEN": UniqueKeyTaken,
    "SCHEDULE_NOT_FOUND": ScheduleNotFound,
    "DEPENDENCY_ENDED": lambda rest: DependencyEnded(*rest.split(" ", 1)),
}


def explain(error: ReplyError) -> QueueError:
    """The exception for an error reply: of our scripts, whose first word is the code, or of Redis itself."""
    code, _, rest = str(error).partition(" ")
    make = _BY_CODE.get(code)
    return ScriptError(str(error)) if make is None else make(rest)
