"""The web page as one of a run's outputs."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from fer_edge.device.outputs.base import Output
from fer_edge.device.outputs.jsonl import track_event
from fer_edge.device.pipeline import Result
from fer_edge.device.vitals import Pulse, Vitals
from fer_edge.device.web.access import Guard
from fer_edge.device.web.address import Address, listen
from fer_edge.device.web.app import Pages
from fer_edge.device.web.hub import Hub, now
from fer_edge.device.web.preview import take_picture
from fer_edge.device.web.server import Server
from fer_edge.errors import FerEdgeError


class WebPage(Output):
    """Serves until the run ends. ``write`` copies a frame at most, and only if somebody looks."""

    def __init__(
        self,
        address: Address,
        vitals: Vitals,
        *,
        token: str | None = None,
        report: Callable[[str], None] = lambda text: None,
    ) -> None:
        """``report`` is told where the page is, and of guessed tokens.

        Raises:
            FerEdgeError: others could reach the address, and there is no token.
        """
        if token is None and not address.local:
            raise FerEdgeError(
                f"--serve {address} can be reached from the network, and there is no token",
                "add --token-file FILE, or serve on 127.0.0.1",
            )
        self.address = address
        self._guard = Guard(token, report=report)
        self._vitals = vitals
        self._report = report
        self._pulse = Pulse()
        self._hub: Hub | None = None
        self._server: Server | None = None
        self._socket: socket.socket | None = None

    def open(self) -> None:
        listening = listen(self.address)
        self.address = Address(self.address.host, listening.getsockname()[1])
        self._server = Server(listening, self._build, report=self._report)
        self._report(f"serving on http://{self.address}/")

    def close(self) -> None:
        if self._server is not None:
            self._server.close()

    def write(self, result: Result) -> None:
        """Hand over what viewers want of one frame."""
        self._pulse.beat()
        if self._hub is None:
            return
        if result.events:
            self._hub.tell([track_event(result, happened) for happened in result.events])
        moment = now()
        if self._hub.wants_picture(moment):
            self._hub.show(take_picture(result), moment)

    def finish(self, summary: dict[str, Any]) -> None:
        """Nothing to do: a page whose connection ends says that the run has."""

    def _build(self, loop: asyncio.AbstractEventLoop) -> tuple[web.Application, Awaitable[None]]:
        self._hub = Hub(loop)
        pages = Pages(self._vitals, self._pulse, self._guard, self._hub, self.address.port)
        return pages.app(), pages.tick()
