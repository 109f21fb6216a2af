"""What is opened before use and closed after it, in a ``with``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class Opened(ABC):
    """A context manager by ``open`` and ``close``."""

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @abstractmethod
    def open(self) -> None:
        """Get ready; raises FerEdgeError when that is impossible."""

    @abstractmethod
    def close(self) -> None:
        """Give everything back; called once, after ``open`` succeeded."""
