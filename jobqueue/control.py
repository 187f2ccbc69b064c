"""What an operator may change while everything runs: limits, pauses, and workers that shall end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal

from jobqueue.namespace import Namespace
from jobqueue.wire import Argument


class Keep(Enum):
    """A limit that is left as it is."""

    KEEP = "keep"


KEEP = Keep.KEEP
# A number; None takes back what was set.
Limit = int | None
PauseKind = Literal["queue", "user", "type"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Controls:
    """What is in force. `total_is_set`, `per_user_is_set`: through the API, not by configuration. `users`, `types`:
    limits of single ones. `queue_paused`: nothing starts at all; the other two name single users and types.
    """

    total: int
    per_user: int
    total_is_set: bool
    per_user_is_set: bool
    users: Mapping[str, int]
    types: Mapping[str, int]
    queue_paused: bool
    paused_users: tuple[str, ...]
    paused_types: tuple[str, ...]


class Control:
    def __init__(self, namespace: Namespace) -> None:
        self._namespace = namespace

    async def configure_limits(self, *, total: int, per_user: int) -> tuple[int, int]:
        """Write the limits of this process's configuration; answers those in force."""
        items: list[Argument] = ["total", "", total, "per_user", "", per_user]
        return await self._write("configured", items)

    async def set_limits(
        self,
        *,
        total: Limit | Keep = KEEP,
        per_user: Limit | Keep = KEEP,
        users: Mapping[str, Limit] | None = None,
        types: Mapping[str, Limit] | None = None,
    ) -> tuple[int, int]:
        """Limits that stay, whatever is configured, until they are taken back (None). In force at the next claim.

        Lowering stops nothing that runs. Answers (total, per user) in force.
        """
        wanted = [("total", "", total), ("per_user", "", per_user)]
        wanted += [("user", name, limit) for name, limit in (users or {}).items()]
        wanted += [("type", name, limit) for name, limit in (types or {}).items()]
        items: list[Argument] = []
        for kind, name, limit in wanted:
            if not isinstance(limit, Keep):
                items += (kind, name, "" if limit is None else limit)
        return await self._write("set", items)

    async def reset_limits(self) -> tuple[int, int]:
        """The two general limits as configured again."""
        return await self.set_limits(total=None, per_user=None)

    async def pause(self, kind: PauseKind, name: str = "") -> bool:
        """Start nothing of this kind and name any more; what runs goes on. False when it was paused already."""
        return bool(await self._namespace.run("pause", {"kind": kind, "name": name}))

    async def resume(self, kind: PauseKind, name: str = "") -> bool:
        """False when it was not paused."""
        return bool(await self._namespace.run("resume", {"kind": kind, "name": name}))

    async def drain(self, worker: str) -> bool:
        """Let a worker finish what it runs, take nothing new and end. False: it was told before.

        Raises UnknownWorker.
        """
        return bool(await self._namespace.run("drain", {"worker": worker}))

    async def read(self) -> Controls:
        """Everything that is in force, from one look."""
        total, per_user, limits, types, paused, suspended = await self._namespace.run("controls", {})
        fields, since = _pairs(limits), _pairs(paused)
        return Controls(
            total=total,
            per_user=per_user,
            total_is_set="total_set" in fields,
            per_user_is_set="per_user_set" in fields,
            users={name.removeprefix("user:"): int(n) for name, n in fields.items() if name.startswith("user:")},
            types={name: int(n) for name, n in _pairs(types).items() if n},
            queue_paused=bool(suspended),
            paused_users=_named(since, "user:"),
            paused_types=_named(since, "type:"),
        )

    async def _write(self, source: str, items: list[Argument]) -> tuple[int, int]:
        total, per_user = await self._namespace.run("set_limits", {"source": source}, items)
        return total, per_user


def _pairs(flat: list[Any]) -> dict[str, str]:
    texts = [value.decode("utf-8", "replace") for value in flat]
    return dict(zip(texts[::2], texts[1::2], strict=True))


def _named(since: Mapping[str, str], start: str) -> tuple[str, ...]:
    return tuple(sorted(name.removeprefix(start) for name in since if name.startswith(start)))
