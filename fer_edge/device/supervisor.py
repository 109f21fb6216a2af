"""What a run tells the service manager that watches it, by systemd's sd_notify protocol.

A message is a datagram of a few words, so no library is needed for it. Nothing here has a thread or
a timer of its own: whoever moves a frame along calls, so that silence means that nothing moves.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping
from typing import Self

from fer_edge.device.opened import Opened

_EVERY = 5.0  # seconds between two signs of life, unless the manager wants them more often


class Supervisor(Opened):
    """A context manager that talks to the service manager; silent where there is none."""

    def __init__(self, address: str | None = None, *, watchdog: float | None = None) -> None:
        """Args:
        address: the manager's socket, a path or an abstract name behind "@"; None for no manager.
        watchdog: seconds of silence after which the manager takes this process for hung.
        """
        self._every = min(_EVERY, (watchdog or _EVERY) / 4)
        self._socket: socket.socket | None = None
        if address is not None:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._socket.setblocking(False)
        self._address = "\0" + address[1:] if address and address.startswith("@") else address
        self._ready = False
        self._told = float("-inf")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """The manager that started this process, as ``NOTIFY_SOCKET`` and ``WATCHDOG_USEC`` say."""
        watchdog = environment.get("WATCHDOG_USEC", "")
        seconds = int(watchdog) / 1e6 if watchdog.isdecimal() and int(watchdog) else None
        return cls(environment.get("NOTIFY_SOCKET") or None, watchdog=seconds)

    def open(self) -> None:
        """Nothing to do: the first message may come at any time."""

    def close(self) -> None:
        """Send no more."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def status(self, text: str) -> None:
        """Say in one line what goes on; from any thread."""
        self._send(f"STATUS={_line(text)}")

    def moving(self, text: Callable[[], str]) -> None:
        """A frame went all the way, or was let go because somebody wants it so.

        The first one makes the service ready. Called for every frame, it sends a few a minute.

        Args:
            text: says in one line what goes on; asked for only when it is sent.
        """
        if not self._ready:
            self._told = time.monotonic()
            self._ready = self._send("READY=1", "WATCHDOG=1", f"STATUS={_line(text())}")
        elif self._due():
            self._send("WATCHDOG=1", f"STATUS={_line(text())}")

    def working(self) -> None:
        """No frame comes, but what is done about it will end by itself."""
        if self._due():
            self._send("WATCHDOG=1")

    def stopping(self) -> None:
        """The run ends; what is left is to finish the outputs."""
        self._send("STOPPING=1", "STATUS=finishing")

    def _due(self) -> bool:
        now = time.monotonic()
        if self._socket is None or now - self._told < self._every:
            return False
        self._told = now
        return True

    def _send(self, *words: str) -> bool:
        """Whether the manager has it; one that does not read must not hold up the pipeline."""
        if self._socket is None or self._address is None:
            return True
        try:
            self._socket.sendto("\n".join(words).encode(), self._address)
        except OSError:
            return False
        return True


def _line(text: str) -> str:
    return " ".join(text.split())
