"""Who may look: a token compared in constant time, and guesses that are soon answered no more."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from enum import Enum
from pathlib import Path

from fer_edge.errors import FerEdgeError

MIN_TOKEN = 16
"""Characters that a token has at least."""

GUESSES = 10
"""Wrong tokens that an address may send, before it has to wait."""

WAIT_S = 60.0
"""Seconds that it waits, counted from its first wrong one."""

_ADDRESSES = 256  # remembered; more than that pushes out the oldest
_HOW = "make one: python3 -c 'import secrets; print(secrets.token_urlsafe())' > token"


class Answer(Enum):
    """What a token is answered with."""

    RIGHT = "right"
    WRONG = "wrong"
    WAIT = "wait"


class Guard:
    """Compares tokens; a session's cookie stands for a token that was right once."""

    def __init__(
        self,
        token: str | None,
        *,
        report: Callable[[str], None] = lambda text: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Without a token, everybody is let in."""
        self.wrong = 0
        """Wrong tokens so far, those of addresses that had to wait included."""
        self._digest = None if token is None else _digest(token)
        self.cookie = secrets.token_urlsafe(32)
        """The session cookie's value. It is drawn anew in each run, so that it ends with it."""
        self._guesses: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._report = report
        self._clock = clock

    @property
    def open(self) -> bool:
        """Whether no token is needed."""
        return self._digest is None

    def knows(self, cookie: str) -> bool:
        """Whether a session's cookie is ours."""
        return hmac.compare_digest(_digest(cookie), _digest(self.cookie))

    def check(self, token: str, address: str) -> Answer:
        """Compare the token that an address sent.

        An address that guessed wrong too often waits, even if it is right now: otherwise waiting
        would not hold anybody up.
        """
        now = self._clock()
        count, since = self._guesses.get(address, (0, now))
        if now - since > WAIT_S:
            count, since = 0, now
        if count >= GUESSES:
            self.wrong += 1
            return Answer.WAIT
        if self._digest is None or hmac.compare_digest(_digest(token), self._digest):
            return Answer.RIGHT
        self.wrong += 1
        self._note(address, count + 1, since)
        return Answer.WRONG

    def _note(self, address: str, count: int, since: float) -> None:
        self._guesses[address] = (count, since)
        self._guesses.move_to_end(address)
        while len(self._guesses) > _ADDRESSES:
            self._guesses.popitem(last=False)
        if count == GUESSES:
            self._report(
                f"{address} sent {count} wrong tokens; it has to wait for {WAIT_S:.0f} seconds"
            )


def read_token(path: Path) -> str:
    """Return the token in a file, without the white space around it.

    Raises:
        FerEdgeError: the file cannot be read, or the token is too short to withstand guessing.
    """
    try:
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise FerEdgeError(f"cannot read the token in {path}: {reason.lower()}", _HOW) from error
    if len(token) < MIN_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
        raise FerEdgeError(
            f"{path} holds no token of at least {MIN_TOKEN} printable characters on one line", _HOW
        )
    return token


def _digest(text: str) -> bytes:
    """A digest hides from the comparison's time how long the text is."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
