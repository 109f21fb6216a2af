"""The one exception that reaches a user, and what its hints are made of."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from fer_edge.printable import as_error


class FerEdgeError(Exception):
    """Bad input or a machine that lacks something; the CLI prints it and exits 2.

    Args:
        message: what is wrong and where, one line, naming the offending value.
        hint: what to do about it, one line; may be empty.

    Both may name what others wrote: control characters but line breaks are spelt out, and an
    address that stands in a file's place shows no password.
    """

    exit_code = 2

    def __init__(self, message: str, hint: str = "") -> None:
        self.message, self.hint = as_error(message), as_error(hint)
        super().__init__(self.message)

    def __str__(self) -> str:
        return f"{self.message}. {self.hint}" if self.hint else self.message


class GateRefused(FerEdgeError):
    """The int8 model lost more than its budget allows; no bundle was written. Exit code 3."""

    exit_code = 3


def require_extra(module: str, extra: str) -> None:
    """Raise FerEdgeError naming the extra to install unless ``module`` can be imported."""
    import importlib.util

    try:
        missing = importlib.util.find_spec(module) is None
    except ValueError:  # another thread is in the middle of importing it
        missing = False
    if missing:
        raise FerEdgeError(
            f"this command needs the Python module '{module}', which is not installed",
            f"install it with: pip install 'fer-edge[{extra}]'",
        )


def nearest(name: str, known: Iterable[str], alike: float = 0.6) -> str:
    """``did you mean 'x'?`` for the known name that is most like ``name``; empty if none is."""
    found = difflib.get_close_matches(name, list(known), n=1, cutoff=alike)
    return f"did you mean '{found[0]}'?" if found else ""
