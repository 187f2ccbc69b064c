"""`python -m server.child LISTENER`: one of several servers on one port; started by `server.processes` only.

Its settings are the first line of stdin, and the end of stdin is the end of its parent.
"""

from __future__ import annotations

import os
import socket
import sys
from typing import Final

from jobqueue import Settings
from jobqueue.errors import ConfigurationError
from jobqueue.logs import configure
from jobqueue.presence import unique_name
from server.serving import run_server

READY: Final = b"ready\n"
BAD_CONFIGURATION: Final = 78
_STDIN, _STDOUT, _STDERR = 0, 1, 2


def main() -> int:
    line = sys.stdin.buffer.readline()
    if not line.endswith(b"\n"):
        return 1
    settings = Settings.model_validate_json(line)
    name = unique_name("server-")
    configure(settings.log.format, settings.log.level, {"server": name})
    try:
        with socket.socket(fileno=int(sys.argv[1])) as listener:
            run_server(settings, listener, name, _announce, parent=_STDIN)
    except ConfigurationError as error:
        sys.stderr.write(f"{error}\n")
        return BAD_CONFIGURATION
    return 0


def _announce() -> None:
    os.write(_STDOUT, READY)
    # From here on nobody reads it.
    os.dup2(_STDERR, _STDOUT)


if __name__ == "__main__":
    sys.exit(main())
