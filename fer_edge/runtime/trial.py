"""A first try in a child process, for native code that may end the process over bad input."""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import os
import resource
import select
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

from fer_edge.errors import FerEdgeError

ROOM = 512 << 20
"""Bytes that a model may take; the paper networks take under a tenth."""

_GRACE_S = 5
"""Seconds from the child's own alarm to the parent's patience."""
_DONE, _FAILED = b"+", b"-"
_NEW_TRIES = (0.1, 0.5)
"""Seconds before a child is tried to be started once more: of processes there is a shortage for a
moment, mostly."""

_alone = threading.RLock()
"""The limit of memory and the filters of warnings belong to the whole process."""


class NoProcess(FerEdgeError):
    """No child can be started, which says nothing of what was to be tried in it."""


def rehearse(what: Callable[[], object], *, seconds: int) -> bool:
    """Run ``what`` in a forked child, before it is done in this process.

    The child is a copy of the process as it is, so that nothing is imported or opened twice; it
    costs a few milliseconds beside the work itself, and works under ``limited_memory``.

    Args:
        what: done in the child; its result is lost.
        seconds: after which the child is ended.

    Returns:
        Whether it was done without an exception; for ``as_rehearsed``.

    Raises:
        FerEdgeError: the child was ended by a signal or took too long.
        NoProcess: it could not be started, three times.
    """
    began = time.monotonic()
    with _alone:
        told, telling = os.pipe()
        try:
            child = _forked()
        except OSError as error:
            os.close(told)
            os.close(telling)
            reason = (error.strerror or str(error)).lower()
            raise NoProcess(
                f"no process can be started to try a model in: {reason}", "end other programs"
            ) from error
        if not child:
            _perform(what, seconds, telling)
        os.close(telling)
    answer = None
    try:
        answer = _answer(told, seconds + _GRACE_S)
    finally:
        os.close(told)
        if answer is None:
            os.kill(child, signal.SIGKILL)
        number = _ended_by(child)
    if answer:
        return answer == _DONE
    if number == signal.SIGALRM or time.monotonic() - began > seconds:
        raise FerEdgeError(f"it did not end within {seconds} s")
    name = signal.Signals(number).name if number else "a signal"
    raise FerEdgeError(f"it ended the process with {name}")


def as_rehearsed(done: bool) -> AbstractContextManager[None]:
    """What this process has to work in to meet the same end as the child: no less memory.

    Args:
        done: what ``rehearse`` has returned.
    """
    return nullcontext() if done else limited_memory()


@contextmanager
def limited_memory(room: int = ROOM) -> Iterator[None]:
    """Let this process take at most ``room`` bytes more, so that it fails before the machine does.

    A few damaged bytes can make an operator's output gigabytes large. Native code then raises
    MemoryError or an error of its own. Other threads are under the same limit meanwhile, and wait
    with limits of their own.
    """
    kind = resource.RLIMIT_DATA
    with _alone:
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


def _forked() -> int:
    for pause in _NEW_TRIES:
        with contextlib.suppress(OSError):
            return _fork()
        time.sleep(pause)
    return _fork()


def _fork() -> int:
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        # Python warns of the threads of native libraries, none of which holds a lock of the child's
        return os.fork()


def _answer(told: int, seconds: float) -> bytes | None:
    """What the child wrote, nothing if it ended before; None if it is silent for so long."""
    poll = select.poll()
    poll.register(told, select.POLLIN)
    return os.read(told, 1) if poll.poll(seconds * 1e3) else None


def _ended_by(child: int) -> int | None:
    """The signal that a child was ended by; None if there was none, or nobody knows any more."""
    try:
        _, status = os.waitpid(child, 0)
    except ChildProcessError:  # where the program ignores SIGCHLD, or waits for every child itself
        return None
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else None


def _perform(what: Callable[[], object], seconds: int, telling: int) -> None:
    # what the parent left to be collected may wait for threads that this copy does not have
    gc.disable()
    answer = _FAILED
    try:
        # the kernel ends a hung child, whatever native code it is in, and if its parent is gone
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})
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
        answer = _DONE
    except BaseException:
        pass
    finally:
        with contextlib.suppress(OSError):
            os.write(telling, answer)
        os._exit(0)
