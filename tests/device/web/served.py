"""A page that serves, for tests that talk to it."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import Awaitable, Callable

import aiohttp
from made import result, vitals
from prometheus_client.parser import text_string_to_metric_families

from fer_edge.device.web import Address, WebPage

TOKEN = "correct horse battery".replace(" ", "-")
ANY_PORT = Address("127.0.0.1", 0)


class Served:
    """A page that serves, and what it reported."""

    def __init__(self, token: str | None = None) -> None:
        self.said: list[str] = []
        self.vitals = vitals()
        self.page = WebPage(ANY_PORT, self.vitals, token=token, report=self.said.append)

    @property
    def url(self) -> str:
        return f"http://{self.page.address}"

    def ask(self, dialogue: Callable[[aiohttp.ClientSession], Awaitable[None]]) -> None:
        """Have a client talk to it."""

        async def talk() -> None:
            jar = aiohttp.CookieJar(unsafe=True)  # cookies of a numeric address as well
            async with aiohttp.ClientSession(self.url, cookie_jar=jar) as client:
                await asyncio.wait_for(dialogue(client), 30)

        asyncio.run(talk())

    async def write(self, index: int, **what: object) -> None:
        """Have the pipeline put out a frame, at the pace of a camera."""
        made = result(index, **what)
        self.vitals.tally.add(made)
        self.page.write(made)
        await asyncio.sleep(0.01)

    async def picture(self, viewer: aiohttp.ClientWebSocketResponse) -> tuple[dict, bytes]:
        """Ask for a picture of it; frames go on until it comes: its facts and its JPEG."""
        await viewer.send_str("picture")
        for index in range(500):
            await self.write(index)
            try:
                message = await viewer.receive(timeout=0.01)
            except TimeoutError:
                continue
            if message.type is aiohttp.WSMsgType.BINARY:
                (length,) = struct.unpack(">I", message.data[:4])
                return json.loads(message.data[4 : 4 + length]), message.data[4 + length :]
        raise AssertionError("no picture came")


def samples(text: str) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *sorted(sample.labels.values(), reverse=True)): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
