"""C++ libraries that print notices to standard error, kept from a user's terminal."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from types import ModuleType

from fer_edge.errors import require_extra

_MOST_SAID = 1 << 20
"""Bytes of what a library said that are read."""


@contextmanager
def silenced_stderr() -> Iterator[None]:
    """Send what the process writes to file descriptor 2 to nowhere, C++ libraries included.

    For the moment of an import or of a delegate's creation only: errors of those come as Python
    exceptions. Threads may be in it at the same time; the last one to leave lets the sound back in.
    """
    _silence.enter()
    try:
        yield
    finally:
        _silence.leave()


@contextmanager
def silenced_if_alone() -> Iterator[None]:
    """``silenced_stderr`` for what is done again and again, as long as no other thread is there.

    What other threads write to the descriptor meanwhile, such as a log, would be lost.
    """
    with silenced_stderr() if threading.active_count() == 1 else nullcontext():
        yield


@contextmanager
def captured_stderr() -> Iterator[Callable[[], str]]:
    """Collect what the process writes to file descriptor 2, where a library says it nowhere else.

    Gives a function that returns what was written so far.
    """
    with tempfile.TemporaryFile() as file:
        saved = _copied()
        os.dup2(file.fileno(), 2)
        try:
            yield lambda: os.pread(file.fileno(), _MOST_SAID, 0).decode(errors="replace")
        finally:
            _give_back(saved)


def _copied() -> int | None:
    """A copy of file descriptor 2, to give it back later; None where it is closed."""
    _flush()
    try:
        return os.dup(2)
    except OSError:
        return None


def _give_back(saved: int | None) -> None:
    _flush()
    if saved is None:
        os.close(2)
    else:
        os.dup2(saved, 2)
        os.close(saved)


def _flush() -> None:
    # an application without a terminal has None there, or a file that it has closed
    if sys.stderr is not None:
        with suppress(OSError, ValueError):
            sys.stderr.flush()


class _Silence:
    """How many are in; each for itself could take another's silence for the real descriptor."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._saved: int | None = None

    def renew(self) -> None:
        """In a forked child, which has no other thread to give the lock back."""
        self._lock = threading.Lock()

    def enter(self) -> None:
        with self._lock:
            if not self._inside:
                self._saved = _copied()
                nowhere = os.open(os.devnull, os.O_WRONLY)
                if nowhere != 2:
                    os.dup2(nowhere, 2)
                    os.close(nowhere)
            self._inside += 1

    def leave(self) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                _give_back(self._saved)


_silence = _Silence()
os.register_at_fork(after_in_child=_silence.renew)


def import_keras(backend: str | None = None) -> ModuleType:
    """Import Keras quietly.

    Args:
        backend: None takes the one that KERAS_BACKEND names, else TensorFlow.

    Raises:
        FerEdgeError: Keras or its backend is not installed.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    require_extra("keras", "train")
    backend = backend or os.environ.get("KERAS_BACKEND", "tensorflow")
    require_extra(backend, "train")
    os.environ["KERAS_BACKEND"] = backend
    # TensorFlow warns of retracing whenever several models are evaluated in one process
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    with silenced_stderr():
        import keras
    return keras
