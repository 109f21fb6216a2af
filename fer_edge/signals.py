"""What ends a command as Ctrl-C does: SIGTERM, a terminal that hangs up, a parent that has died."""

from __future__ import annotations

import os
import signal
import stat
import threading
import time
from contextlib import suppress

PARENT = "FER_EDGE_PARENT"
"""Environment variable: the process whose end is to end the one that it starts as well."""
_WATCH_SECONDS = 1.0


def end_as_by_ctrl_c() -> None:
    """From here on each of the three raises KeyboardInterrupt in the main thread.

    SIGHUP does not where it is ignored, as by nohup.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    if signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:
        signal.signal(signal.SIGHUP, _hang_up)
    # not for what this process starts in its turn
    if parent := os.environ.pop(PARENT, ""):
        threading.Thread(target=_watch, args=(int(parent),), daemon=True).start()


def leave_terminal() -> None:
    """After SIGHUP: take no further one, and write no more to the terminal, which is gone.

    What is still written to it goes nowhere, instead of being an error.
    """
    # shell and kernel may both say so, and what is being finished is to be let alone
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (1, 2):
        with suppress(OSError):  # it may be closed
            if stat.S_ISCHR(os.fstat(descriptor).st_mode):
                os.dup2(nowhere, descriptor)
    os.close(nowhere)


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _hang_up(number: int, frame: object) -> None:
    leave_terminal()
    raise KeyboardInterrupt


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_WATCH_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
