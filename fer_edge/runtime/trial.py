"""A first try in a child process, for native code that may end the process over bad input."""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import os
import resource
import signal
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from fer_edge.errors import FerEdgeError

ROOM = 512 << 20
"""Bytes that a model may take; the paper networks take under a tenth."""


def rehearse(what: Callable[[], object], *, seconds: int) -> None:
    """Run ``what`` in a forked child, before it is done in this process.

    Only whether it ends matters: an exception in the child is an ending too, and will come again in
    this process, which is why both must work under the same limit of memory. The child is a copy of
    the process as it is, so that nothing is imported or opened twice; it costs a few milliseconds
    beside the work itself.

    Args:
        what: done in the child; its result is lost.
        seconds: after which the child is ended.

    Raises:
        FerEdgeError: the child was ended by a signal or took too long.
    """
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        # Python warns of the threads of native libraries, none of which holds a lock of the child's
        child = os.fork()
    if not child:
        _perform(what, seconds)
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status):
        return
    number = os.WTERMSIG(status)
    if number == signal.SIGALRM:
        raise FerEdgeError(f"it did not end within {seconds} s")
    raise FerEdgeError(f"it ended the process with {signal.Signals(number).name}")


@contextmanager
def limited_memory(room: int = ROOM) -> Iterator[None]:
    """Let this process take at most ``room`` bytes more, so that it fails before the machine does.

    A few damaged bytes can make an operator's output gigabytes large. Native code then raises
    MemoryError or an error of its own.
    """
    kind = resource.RLIMIT_DATA
    soft, hard = resource.getrlimit(kind)
    limit = _writable() + room
    if soft != resource.RLIM_INFINITY:
        limit = min(limit, soft)
    resource.setrlimit(kind, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(kind, (soft, hard))


def _writable() -> int:
    """Bytes of private writable memory, as the limit counts them."""
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmData:"))
    return int(line.split()[1]) << 10


def _perform(what: Callable[[], object], seconds: int) -> None:
    # what the parent left to be collected may wait for threads that this copy does not have
    gc.disable()
    try:
        # the kernel ends a hung child, whatever native code it is in, and if its parent is gone
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(seconds)
        # Ctrl-C is for the parent, which waits only as long as the alarm allows
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        # the signal is reported by the parent, in one line
        faulthandler.disable()
        with contextlib.suppress(OSError):
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        with limited_memory():
            what()
    except BaseException:
        pass
    finally:
        os._exit(0)
