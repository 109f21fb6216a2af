"""Tables in Markdown, for the pages that are written by programs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_MARKUP = re.compile(r"[\\`*_\[\]<>&~]")


def literal(words: str) -> str:
    r"""Words that others chose, such as a label, for a page that shows them as they are.

    >>> literal("*c*")
    '\\*c\\*'
    """
    return _MARKUP.sub(r"\\\g<0>", words)


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A line for the header, one under it and one for each row, each ending in a line break."""
    lines = (header, ["---"] * len(header), *rows)
    return "".join(f"{markdown_row(cells)}\n" for cells in lines)


def markdown_row(cells: Iterable[str]) -> str:
    """A line of a table; a ``|`` within a cell divides nothing."""
    escaped = (cell.replace("|", r"\|") for cell in cells)
    return f"| {' | '.join(escaped)} |"
