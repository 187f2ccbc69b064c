"""The Valkey server of the default configuration: its files, its supervision, its end.

    participant  every server and worker process: holds `participants.lock` shared for its life
    watchdog     one small process of its own: holds `watchdog.lock`, starts Valkey, stops it after the last participant
    Valkey       holds `server.lock` by an inherited file descriptor, so a free lock means that no Valkey lives

All three locks are `flock`s on files in the data folder, so the kernel drops them with their process, however it ends.
"""

from __future__ import annotations

from jobqueue.embedded.participant import EmbeddedValkey

__all__ = ["EmbeddedValkey"]
