"""Run a module as a child that never outlives its parent, however the parent ends.

    python -m integrations.demo.child FD MODULE [ARGUMENTS…]

FD is the reading end of a pipe whose writing end only the parent holds: it reports end-of-file when the parent is
gone, kill -9 included. Linux is asked for the same (PDEATHSIG), which also works while Python is busy.
"""

from __future__ import annotations

import ctypes
import os
import runpy
import signal
import sys
import threading

_PR_SET_PDEATHSIG = 1
grace_seconds = 10.0


def main() -> None:
    pipe, module = int(sys.argv[1]), sys.argv[2]
    sys.argv = [module, *sys.argv[3:]]
    _ask_linux()
    threading.Thread(target=_end_with_parent, args=(pipe,), name="parent-watch", daemon=True).start()
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _end_with_parent(pipe: int) -> None:
    os.read(pipe, 1)  # returns when the parent is gone; nobody writes while we live
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(grace_seconds)
    os._exit(1)


def _ask_linux() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


if __name__ == "__main__":
    main()
