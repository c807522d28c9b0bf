"""Stops the embedded PostgreSQL when the supervisor is gone without having done so itself (kill -9).

    python -m integrations.demo.keeper FD STATE

Unlike the other children it ignores all requests to stop: it ends when it is dismissed by a byte in the pipe FD, or
when that pipe ends because its writer is gone.
"""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import time
from pathlib import Path
from typing import TextIO

from groupbook.kit import postgres

patience_seconds = 5.0


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    pipe, state = int(sys.argv[1]), Path(sys.argv[2])
    if os.read(pipe, 1):
        return  # dismissed: the supervisor has stopped the server itself
    with (state / "supervisor.lock").open("a") as lock:
        if _is_ours(lock):
            postgres.stop(state)


def _is_ours(lock: TextIO) -> bool:
    """Whether the state folder has no supervisor any more; another may have taken it over, and the server with it.

    A dying process lets go of its pipe and of its lock one after the other, so the lock is asked for more than once.
    """
    give_up_at = time.monotonic() + patience_seconds
    while time.monotonic() < give_up_at:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.1)
        else:
            return True
    return False


if __name__ == "__main__":
    main()
