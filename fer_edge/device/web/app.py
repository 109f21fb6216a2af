"""The routes, and who may use them."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import secrets
from collections.abc import Awaitable, Callable
from importlib.resources import files
from typing import Any
from urllib.parse import urlsplit

from aiohttp import WSCloseCode, WSMsgType, web

from fer_edge.device.vitals import STALLED_S, Pulse, Rate, Vitals
from fer_edge.device.web.access import WAIT_S, Answer, Guard
from fer_edge.device.web.address import is_local
from fer_edge.device.web.hub import Hub, Viewer
from fer_edge.device.web.metrics import metrics_text

MAX_VIEWERS = 8
"""WebSocket connections at a time."""

_STATUS_EVERY = 0.5  # seconds
_CLOSE_S = 0.5  # seconds that a viewer may take to say goodbye
_BODY_S = 5.0  # seconds that a token may take to arrive
_FREE = frozenset({"/", "/login", "/healthz", "/favicon.ico"})  # nothing in them needs a token
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Pages:
    """The handlers, around one run; all of them belong to the event loop's thread."""

    def __init__(self, vitals: Vitals, pulse: Pulse, guard: Guard, hub: Hub, port: int) -> None:
        """``port`` is the one that is listened on."""
        self.refused = 0
        """Requests that were answered with a status of 400 or more."""
        self._vitals = vitals
        self._pulse = pulse
        self._guard = guard
        self._hub = hub
        # a browser gives one host's cookies to all of its ports, and another page may be on one
        self._cookie = f"fer-edge-{port}"
        self._fps = 0.0
        self._sockets: set[web.WebSocketResponse] = set()
        self._page = files("fer_edge.device.web").joinpath("page.html").read_text("utf-8")

    def app(self) -> web.Application:
        """Return the application."""
        app = web.Application(middlewares=[self._careful, self._who_may], client_max_size=4096)
        app.add_routes(
            [
                web.get("/", self._index),
                web.get("/favicon.ico", self._nothing),
                web.post("/login", self._login),
                web.get("/ws", self._watch),
                web.get("/status", self._status),
                web.post("/start", self._start),
                web.post("/stop", self._stop),
                web.get("/metrics", self._metrics),
                web.get("/healthz", self._healthz),
            ]
        )
        app.on_shutdown.append(self._say_goodbye)
        return app

    async def tick(self) -> None:
        """Tell all viewers how things are, twice a second, for ever."""
        rate = Rate()
        while True:
            await asyncio.sleep(_STATUS_EVERY)
            self._fps = rate.of(self._vitals.tally.frames)
            if self._hub.viewers:
                self._hub.broadcast(self._message())

    def counts(self) -> dict[str, int]:
        """What the server saw so far."""
        skipped = sum(viewer.skipped for viewer in self._hub.viewers) + self._hub.skipped
        return {
            "refused": self.refused,
            "wrong_tokens": self._guard.wrong,
            "skipped_messages": skipped,
        }

    @web.middleware
    async def _careful(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        """Nothing is stored or shown in a frame of another site; refusals are counted."""
        try:
            response = await handler(request)
        except web.HTTPException as refusal:
            self.refused += refusal.status >= 400
            refusal.headers.update(_HEADERS)
            raise
        if not response.prepared:
            response.headers.update(_HEADERS)
        return response

    @web.middleware
    async def _who_may(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        try:
            host = request.url.host or ""
        except ValueError:
            raise web.HTTPBadRequest(text="what host?") from None
        if self._guard.open and not is_local(host):
            # a name that somebody else's server points to this machine
            raise web.HTTPForbidden(text="without a token, ask for localhost or 127.0.0.1")
        origin = request.headers.get("Origin")
        try:
            foreign = origin is not None and urlsplit(origin).netloc != request.host
        except ValueError:
            raise web.HTTPBadRequest(text="what origin?") from None
        if foreign:
            raise web.HTTPForbidden(text="another site's page may not use this one")
        if request.path not in _FREE:
            self._admit(request)
        return await handler(request)

    def _admit(self, request: web.Request) -> None:
        """Let in whoever brings the token or a session."""
        if self._guard.open or self._guard.knows(request.cookies.get(self._cookie, "")):
            return
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise web.HTTPUnauthorized(text="a token is needed", headers=_BEARER)
        self._check(token.strip(), request)

    def _check(self, token: str, request: web.Request) -> None:
        answer = self._guard.check(token, _peer(request))
        if answer is Answer.WAIT:
            wait = {"Retry-After": f"{WAIT_S:.0f}"}
            raise web.HTTPTooManyRequests(text="too many wrong tokens; wait", headers=wait)
        if answer is Answer.WRONG:
            raise web.HTTPUnauthorized(text="wrong token", headers=_BEARER)

    async def _index(self, request: web.Request) -> web.Response:
        nonce = secrets.token_urlsafe(16)
        policy = "default-src 'none'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        policy += f"script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; frame-ancestors 'none'"
        return web.Response(
            text=self._page.replace("NONCE", nonce),
            content_type="text/html",
            headers={"Content-Security-Policy": policy},
        )

    async def _nothing(self, request: web.Request) -> web.Response:
        return web.Response(status=204)

    async def _login(self, request: web.Request) -> web.Response:
        try:
            text = await asyncio.wait_for(request.text(), _BODY_S)
            token = json.loads(text)["token"]
        except TimeoutError:
            raise web.HTTPRequestTimeout from None
        except (ValueError, KeyError, TypeError):
            raise web.HTTPBadRequest(text='send {"token": "..."}') from None
        self._check(str(token), request)
        response = web.Response(status=204)
        response.set_cookie(self._cookie, self._guard.cookie, httponly=True, samesite="Strict")
        return response

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        if len(self._hub.viewers) >= MAX_VIEWERS:
            raise web.HTTPServiceUnavailable(text=f"{MAX_VIEWERS} viewers are enough")
        socket = web.WebSocketResponse(
            heartbeat=20, timeout=_CLOSE_S, max_msg_size=1024, compress=False
        )
        viewer = Viewer()
        self._hub.viewers.add(viewer)
        try:
            await socket.prepare(request)
            self._sockets.add(socket)
            viewer.tell(json.dumps(self._message()))
            sending = asyncio.create_task(_send(socket, viewer))
            try:
                async for message in socket:
                    if message.type is WSMsgType.TEXT and message.data == "picture":
                        self._hub.ask(viewer)
            finally:
                sending.cancel()
        finally:
            self._hub.leave(viewer)
            self._sockets.discard(socket)
        return socket

    async def _say_goodbye(self, app: web.Application) -> None:
        """Tell viewers that the run has ended; those that do not answer are not waited for."""
        leaving = (socket.close(code=WSCloseCode.GOING_AWAY) for socket in list(self._sockets))
        await asyncio.gather(*leaving, return_exceptions=True)

    async def _status(self, request: web.Request) -> web.Response:
        return web.json_response(self._vitals.status())

    async def _start(self, request: web.Request) -> web.Response:
        self._vitals.control.start()
        return self._switched()

    async def _stop(self, request: web.Request) -> web.Response:
        self._vitals.control.stop()
        return self._switched()

    def _switched(self) -> web.Response:
        self._hub.broadcast(self._message())
        return web.json_response({"running": self._vitals.control.running})

    async def _metrics(self, request: web.Request) -> web.Response:
        # a Pi's health is asked for with a command
        # the viewers belong to this thread
        text = await asyncio.to_thread(metrics_text, self._vitals, self.counts())
        return web.Response(body=text, headers={"Content-Type": _PROMETHEUS})

    async def _healthz(self, request: web.Request) -> web.Response:
        running = self._vitals.control.running
        well = not running or self._pulse.age < STALLED_S
        state = "stopped" if not running else "ok" if well else "stalled"
        return web.json_response({"status": state}, status=200 if well else 503)

    def _message(self) -> dict[str, Any]:
        told = {"type": "status", "fps": self._fps, "viewers": len(self._hub.viewers)}
        return told | self._vitals.status()


_BEARER = {"WWW-Authenticate": "Bearer"}
_PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"
_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


async def _send(socket: web.WebSocketResponse, viewer: Viewer) -> None:
    """Send one viewer what is there for it, as fast as it takes it."""
    while True:
        message = await viewer.next()
        try:
            if isinstance(message, str):
                await socket.send_str(message)
            else:
                await socket.send_bytes(message)
        except ConnectionError:
            return


def _peer(request: web.Request) -> str:
    """The address that guesses are counted for; of an IPv6 network, all are one."""
    address = ipaddress.ip_address((request.remote or "0.0.0.0").partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is None:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)
