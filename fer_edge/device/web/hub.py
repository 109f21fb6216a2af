"""Between the pipeline's thread and the viewers': hands over, never waits, and skips the slow."""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from fer_edge.device.web.preview import Picture, encode

PERIOD_S = 1 / 15
"""Seconds from one picture of the preview to the next, at least."""

_BACKLOG = 64  # messages that wait for one viewer; older ones are skipped


class Viewer:
    """One WebSocket connection; belongs to the event loop's thread."""

    def __init__(self) -> None:
        self.wants_picture = False
        self.skipped = 0
        """Messages that it was too slow for."""
        self._messages: deque[str] = deque(maxlen=_BACKLOG)
        self._picture: bytes | None = None
        self._something = asyncio.Event()

    def tell(self, message: str) -> None:
        """Queue a message; the oldest one goes when too many wait."""
        self.skipped += len(self._messages) == _BACKLOG
        self._messages.append(message)
        self._something.set()

    def show(self, picture: bytes) -> None:
        """Hand over the picture that was asked for."""
        self.wants_picture = False
        self._picture = picture
        self._something.set()

    async def next(self) -> str | bytes:
        """Wait for what is to be sent next: messages in their order before a picture."""
        while not self._messages and self._picture is None:
            self._something.clear()
            await self._something.wait()
        if self._messages:
            return self._messages.popleft()
        picture, self._picture = self._picture, None
        assert picture is not None
        return picture


class Hub:
    """A viewer gets a picture when it asks for one, so that a slow one is sent fewer.

    ``wants_picture``, ``show`` and ``tell`` are for the pipeline's thread, the rest for the loop's.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.viewers: set[Viewer] = set()
        self.skipped = 0
        """Messages that viewers who have gone were too slow for."""
        self._loop = loop
        self._asked = False
        self._shown = 0.0
        self._events: deque[dict[str, Any]] = deque(maxlen=4 * _BACKLOG)
        self._scheduled = False

    def wants_picture(self, now: float) -> bool:
        """Whether a viewer waits for a picture, and the last one is long enough ago."""
        return self._asked and now - self._shown >= PERIOD_S

    def show(self, picture: Picture, now: float) -> None:
        """Hand a picture to the viewers that wait."""
        self._asked, self._shown = False, now
        self._call(self._deliver, picture)

    def tell(self, events: list[dict[str, Any]]) -> None:
        """Hand events to all viewers."""
        if not self.viewers:
            return
        self._events.extend(events)
        if not self._scheduled:
            self._scheduled = True
            self._call(self._pass_on)

    def ask(self, viewer: Viewer) -> None:
        """Have the next picture sent to a viewer."""
        viewer.wants_picture = True
        self._asked = True

    def leave(self, viewer: Viewer) -> None:
        """Forget a viewer."""
        self.viewers.discard(viewer)
        self.skipped += viewer.skipped

    def broadcast(self, message: dict[str, Any]) -> None:
        """Send a message to all viewers."""
        text = json.dumps(message, ensure_ascii=False)
        for viewer in self.viewers:
            viewer.tell(text)

    def _call(self, function: Callable[..., object], *arguments: object) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function, *arguments)

    def _deliver(self, picture: Picture) -> None:
        waiting = [viewer for viewer in self.viewers if viewer.wants_picture]
        if waiting:
            encoded = encode(picture)
            for viewer in waiting:
                viewer.show(encoded)

    def _pass_on(self) -> None:
        self._scheduled = False
        while self._events:
            self.broadcast({"type": "event"} | self._events.popleft())


def now() -> float:
    """The clock of ``Hub.show`` and ``Hub.wants_picture``, in seconds."""
    return time.monotonic()
