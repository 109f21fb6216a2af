"""The event loop's thread, and the connections that it takes."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Awaitable, Callable

from aiohttp import web

MAX_CONNECTIONS = 64
"""At a time; a further one is closed at once, so that descriptors are left for the camera."""

IDLE_S = 15
"""Seconds that a connection may stay open without a whole request."""

_STOP_S = 5.0


class Server:
    """Runs an application on a listening socket, in a thread, until ``close``."""

    def __init__(
        self,
        listening: socket.socket,
        build: Callable[[asyncio.AbstractEventLoop], tuple[web.Application, Awaitable[None]]],
        *,
        report: Callable[[str], None],
    ) -> None:
        """``build`` makes the application, and what else is to run in its loop, inside the thread.

        ``report`` is told when the server breaks down, which ends nothing but the server.
        """
        self._socket = listening
        self._build = build
        self._report = report
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end: asyncio.Event | None = None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="web", daemon=True)
        self._thread.start()
        self._ready.wait()

    def close(self) -> None:
        """End the thread, and the connections with it."""
        if self._loop is not None and self._end is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(_STOP_S)
        self._socket.close()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception as error:
            self._report(f"the web page has broken down: {type(error).__name__}: {error}")
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        app, beside = self._build(self._loop)
        runner = web.AppRunner(
            app,
            access_log=None,
            logger=_quiet_logger(),
            keepalive_timeout=IDLE_S,
            shutdown_timeout=1.0,
        )
        await runner.setup()
        accept = _limited(runner.server)
        server = await self._loop.create_server(accept, sock=self._socket, backlog=128)
        task = asyncio.ensure_future(beside)
        self._ready.set()
        try:
            await self._end.wait()
        finally:
            task.cancel()
            server.close()
            await runner.cleanup()


class _Refuse(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


def _limited(server: web.Server | None) -> Callable[[], asyncio.Protocol]:
    assert server is not None

    def accept() -> asyncio.Protocol:
        return _Refuse() if len(server.connections) >= MAX_CONNECTIONS else server()

    return accept


def _quiet_logger() -> logging.Logger:
    """What strangers send is not worth a line each; they would fill the disk with it."""
    logger = logging.getLogger("fer_edge.web")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
    return logger
