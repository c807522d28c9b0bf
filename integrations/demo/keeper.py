"""Stops the embedded PostgreSQL when the supervisor is gone without having done so itself (kill -9).

    python -m integrations.demo.keeper FD STATE

Unlike the other children it ignores all requests to stop: it ends when the pipe FD ends, and only then.
"""

from __future__ import annotations

import fcntl
import os
import signal
import sys
from pathlib import Path

from groupbook.kit import postgres


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    pipe, state = int(sys.argv[1]), Path(sys.argv[2])
    os.read(pipe, 1)
    with (state / "supervisor.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return  # a supervisor lives: the one that is stopping, or one that has taken the server over
        postgres.stop(state)


if __name__ == "__main__":
    main()
