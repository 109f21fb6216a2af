"""What happens to a bad row or image: refused, or counted and left out."""

from __future__ import annotations

import logging
from pathlib import Path

from fer_edge.errors import FerEdgeError
from fer_edge.printable import printable

log = logging.getLogger("fer_edge.data")

_SHOWN = 5


def _spell_out(record: logging.LogRecord) -> bool:
    """Warnings name files and folders, whose names a terminal is not to obey."""
    if isinstance(record.args, tuple):
        record.args = tuple(
            printable(str(each)) if isinstance(each, str | Path) else each for each in record.args
        )
    return True


log.addFilter(_spell_out)


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
        line = printable(f"{where}: {reason}")
        if not self.skip:
            raise FerEdgeError(line, hint or "--skip-bad leaves such rows out")
        self.lines.append(line)

    def report(self) -> tuple[str, ...]:
        """Warn once with the count and the first few lines; return all of them."""
        if self.lines:
            shown, more = self.lines[:_SHOWN], len(self.lines) - _SHOWN
            if more > 0:
                shown = [*shown, f"… and {more} more"]
            form = "left out %d bad rows or images:" + "\n  %s" * len(shown)
            log.warning(form, len(self.lines), *shown)
        return tuple(self.lines)
