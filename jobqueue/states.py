"""The life of a job: states, RQ's words for them, and every transition there is.

                     submit (due later)
        ┌───────────────────────────────► scheduled ◄─┐ RQ's Repeat
        │                                     │ due   │
      submit                                  ▼       │
        └────────────────────────────────► pending ◄──┤ retry, release at
                ▲                             │ claim │ shutdown, rescue
        restart │                             ▼       │
                │                          running ───┘
                │                             │
                │                      finish │ rescue
                │                  ┌──────────┤
                │                  ▼          ▼
                │              completed    failed     cancelled ◄── cancel, from each that has not ended;
                │                             │            │         expire and release (a parent failed),
                └─────────────────────────────┴────────────┘         from pending and scheduled

A job that waits for others is pending (`deferred` in RQ's words): when they have ended it is released, into its user's
line, or to `scheduled` when its time has not come.

A job whose record others have damaged is set aside: failed, and it says why. Where a stock tool has saved an old copy
over a job that runs or has ended, our own last word is put back.

`TRANSITIONS` is the same drawing as data. The scripts implement it, the model test holds them to it.
"""

from __future__ import annotations

from typing import Final, Literal

State = Literal["pending", "scheduled", "running", "completed", "failed", "cancelled"]

TERMINAL: Final[frozenset[State]] = frozenset({"completed", "failed", "cancelled"})
RESTARTABLE: Final[frozenset[State]] = frozenset({"failed", "cancelled"})

# RQ's status word -> ours. A job of ours that waits for its retry is `scheduled` in RQ's words and pending in ours.
FROM_RQ: Final[dict[str, State]] = {
    "created": "pending",
    "queued": "pending",
    "deferred": "pending",
    "ready_to_enqueue": "pending",
    "rate_limited": "pending",
    "scheduled": "scheduled",
    "started": "running",
    "finished": "completed",
    "failed": "failed",
    "canceled": "cancelled",
    "stopped": "cancelled",
}

# script or operation -> (from, to); None: no job yet, or no longer
TRANSITIONS: Final[dict[str, frozenset[tuple[State | None, State | None]]]] = {
    # Cancelled at once: a job that it depends on has failed.
    "enqueue": frozenset({(None, "pending"), (None, "scheduled"), (None, "cancelled")}),
    "promote_due": frozenset({("scheduled", "pending"), ("pending", "pending")}),
    # What a job that waits for others becomes when they have ended; it may be due later still.
    "release": frozenset({("pending", "pending"), ("pending", "scheduled"), ("pending", "cancelled")}),
    "expire": frozenset({("pending", "cancelled"), ("scheduled", "cancelled")}),
    "claim": frozenset({("pending", "running")}),
    "extend": frozenset({("running", "running")}),
    "progress": frozenset({("running", "running")}),
    # Scheduled or pending after success: RQ's Repeat.
    "finish": frozenset(
        {("running", "completed"), ("running", "failed"), ("running", "pending"), ("running", "scheduled")}
    ),
    "give_back": frozenset({("running", "pending")}),
    "rescue": frozenset({("running", "pending"), ("running", "failed")}),
    "cancel": frozenset({("pending", "cancelled"), ("scheduled", "cancelled"), ("running", "cancelled")}),
    "stopped": frozenset({("cancelled", "cancelled")}),
    "restart": frozenset({("failed", "pending"), ("cancelled", "pending")}),
    # Its record was damaged by others, at whatever comes across it.
    "set_aside": frozenset({("pending", "failed"), ("scheduled", "failed"), ("running", "failed")}),
    "remove": frozenset({("completed", None), ("failed", None), ("cancelled", None)}),
}
