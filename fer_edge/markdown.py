"""Tables in Markdown, for the pages that are written by programs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A line for the header, one under it and one for each row, each ending in a line break."""
    lines = (header, ["---"] * len(header), *rows)
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
