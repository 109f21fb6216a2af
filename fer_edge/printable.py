"""Words that others wrote, such as a file's name, where a terminal would obey what is in them."""

from __future__ import annotations

import re

CONTROLS = r"\x00-\x1f\x7f-\x9f"
"""Control characters, as a regular expression's class has them."""
LONGEST_NAME = 100
"""Characters of a name in a bundle's manifest."""
_CONTROL = re.compile(f"[{CONTROLS}]")
_USER = re.compile(r"\b([a-z][a-z0-9+.-]*:/+)[^\s/@]+@", re.IGNORECASE)
"""Who logs in, in an address; a path that was made of it has one slash left of two."""
_QUERY = re.compile(r"""\b([a-z][a-z0-9+.-]*:/+[^\s?'"]*)\?[^\s'")]+""", re.IGNORECASE)
"""What follows a question mark in an address, where cameras take passwords too."""


def has_controls(text: str) -> bool:
    """Whether a control character is in it, line breaks and tabs among them."""
    return _CONTROL.search(text) is not None


def printable(text: str) -> str:
    r"""The text with its control characters spelt out.

    >>> print(printable("a\x1b[31mred\n"))
    a\x1b[31mred\n
    """
    return _CONTROL.sub(lambda found: repr(found[0])[1:-1], text)


def without_logins(text: str) -> str:
    """The text whose addresses have no user, no password and nothing behind a ? any more.

    >>> print(without_logins("there is no file rtsp:/me:secret@host/stream?pwd=secret"))
    there is no file rtsp:/host/stream?…
    """
    return _QUERY.sub(r"\1?…", _USER.sub(r"\1", text))


def as_error(text: str) -> str:
    """The lines of an error's text, with controls spelt out and without logins."""
    return "\n".join(printable(without_logins(line)) for line in text.split("\n"))


def as_name(text: str) -> str:
    """What of a text a bundle's manifest takes for a name; may be empty."""
    return "".join(filter(str.isprintable, text))[:LONGEST_NAME]
