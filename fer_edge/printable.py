"""Words that others wrote, such as a file's name, where a terminal would obey what is in them."""

from __future__ import annotations

import re

CONTROLS = r"\x00-\x1f\x7f-\x9f"
"""Control characters, as a regular expression's class has them."""
LONGEST_NAME = 100
"""Characters of a name in a bundle's manifest."""
_CONTROL = re.compile(f"[{CONTROLS}]")


def has_controls(text: str) -> bool:
    """Whether a control character is in it, line breaks and tabs among them."""
    return _CONTROL.search(text) is not None


def printable(text: str) -> str:
    r"""The text with its control characters spelt out.

    >>> print(printable("a\x1b[31mred\n"))
    a\x1b[31mred\n
    """
    return _CONTROL.sub(lambda found: repr(found[0])[1:-1], text)


def as_name(text: str) -> str:
    """What of a text a bundle's manifest takes for a name; may be empty."""
    return "".join(filter(str.isprintable, text))[:LONGEST_NAME]
