"""What happens to a bad row or image: refused, or counted and left out."""

from __future__ import annotations

import logging

from fer_edge.errors import FerEdgeError

log = logging.getLogger("fer_edge.data")

_SHOWN = 5


class Rejects:
    """Collects bad rows and images while one dataset is read.

    Args:
        skip: keep a list instead of raising at the first.
    """

    def __init__(self, skip: bool) -> None:
        self.skip = skip
        self.lines: list[str] = []

    def add(self, where: str, reason: str, hint: str = "") -> None:
        """Refuse what stands at ``where``, or note it.

        Raises:
            FerEdgeError: unless bad rows are skipped.
        """
        if not self.skip:
            raise FerEdgeError(f"{where}: {reason}", hint or "--skip-bad leaves such rows out")
        self.lines.append(f"{where}: {reason}")

    def report(self) -> tuple[str, ...]:
        """Warn once with the count and the first few lines; return all of them."""
        if self.lines:
            shown = "".join(f"\n  {line}" for line in self.lines[:_SHOWN])
            more = len(self.lines) - _SHOWN
            rest = f"\n  … and {more} more" if more > 0 else ""
            log.warning("left out %d bad rows or images:%s%s", len(self.lines), shown, rest)
        return tuple(self.lines)
