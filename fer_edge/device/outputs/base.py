"""What every output has in common."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Protocol, runtime_checkable

from fer_edge.device.opened import Opened
from fer_edge.device.pipeline import Result


class OutputClosed(Exception):
    """Somebody is done with an output: the run ends as if there were no more frames.

    Args:
        unread: nobody reads standard output any more, so there is nothing more to say either.
    """

    def __init__(self, *, unread: bool = False) -> None:
        super().__init__()
        self.unread = unread


class Output(Opened):
    """A context manager that takes every result and, after the last one, the summary.

    Left by an exception, it leaves nothing half-written behind.
    """

    @abstractmethod
    def write(self, result: Result) -> None:
        """Put out one frame's result; OutputClosed ends the run, FerEdgeError fails it."""

    def idle(self) -> None:
        """Called again and again while inference is stopped and no results come."""

    def settle(self) -> None:
        """Wait for what is on its way, after the last result; what is left then is ``lost``."""

    @abstractmethod
    def finish(self, summary: dict[str, Any]) -> None:
        """Take the summary, after the last result."""


@runtime_checkable
class Lossy(Protocol):
    """An output that goes on without what it cannot put out, and counts it."""

    name: str
    """What the summary calls it."""

    @property
    def lost(self) -> int:
        """How many events it lost so far."""
        ...
