"""Where the page is served, and who may reach that."""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass

from fer_edge.errors import FerEdgeError

_FORM = re.compile(r"(?:(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]*):)?(?P<port>\d{1,5})")


@dataclass(frozen=True)
class Address:
    """A host and a TCP port; port 0 is any free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def local(self) -> bool:
        """Whether nobody but this machine can reach it."""
        return is_local(self.host)


def is_local(host: str) -> bool:
    """Whether a host is this machine by name or by number, such as localhost or 127.0.0.1."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def parse_address(text: str) -> Address:
    """Read HOST:PORT, [IPV6]:PORT or PORT; without a host it is 127.0.0.1.

    Raises:
        FerEdgeError: it is neither.
    """
    found = _FORM.fullmatch(text)
    if found is None or int(found["port"]) > 65535:
        raise FerEdgeError(
            f"cannot serve on '{text}'", "give an address such as 127.0.0.1:8080, or a port alone"
        )
    return Address((found["host"] or "127.0.0.1").strip("[]"), int(found["port"]))


def listen(address: Address) -> socket.socket:
    """Return a socket that listens there.

    Raises:
        FerEdgeError: the port is taken, or this machine has no such address.
    """
    try:
        family, _, _, _, place = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        return socket.create_server(place[:2], family=family)
    except UnicodeError as error:  # of an empty label, or one that is too long
        raise FerEdgeError(
            f"cannot serve on {address}: no host is called like that", "check its name"
        ) from error
    except OSError as error:
        raise FerEdgeError(
            f"cannot serve on {address}: {(error.strerror or str(error)).lower()}",
            "choose another port, or an address of this machine",
        ) from error
