"""What a run says to people, on standard error: whether anybody can read it changes nothing."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import IO, Any, cast

from rich.console import Console


def open_messages() -> Console:
    """Return a console for standard error that says what it can.

    A reader that has gone or a full disk would end the thread that has something to say: a
    camera's, or paho's. rich's own answer to a closed pipe is to close standard output.
    """
    if sys.stderr is None:
        return Console(stderr=True)
    return Console(file=cast("IO[str]", _BestEffort(sys.stderr)))


class _BestEffort:
    """A text stream that takes everything; what cannot be written is gone."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
