"""A network camera: RTSP, or MJPEG over HTTP, through OpenCV and FFmpeg."""

from __future__ import annotations

import re
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fer_edge.device.sources.capture import CaptureCamera
from fer_edge.errors import FerEdgeError
from fer_edge.opencv import load_opencv

PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}
"""Schemes that are understood, each with its usual port."""


class NetworkCamera(CaptureCamera):
    """A camera, or a server in front of one, by its address."""

    remedy = "check the camera, its power and the network"

    def __init__(self, url: str, *, colour: bool = False, timeout: float = 5.0) -> None:
        """``timeout`` in seconds for an answer and for each frame; ``colour`` keeps the picture.

        Raises:
            FerEdgeError: not an address of a kind that is understood.
        """
        super().__init__(without_password(url), colour=colour, timeout=timeout)
        self._address = self._place = _address(url)
        scheme, colon, rest = url.partition(":")
        self._url = scheme.lower() + colon + rest  # FFmpeg knows no other

    def _connect(self) -> Any:
        cv2 = load_opencv()
        # silent name servers take their time, and FFmpeg asks them beyond its own limit
        self._place = self._look_up()
        wait = round(self.timeout * 1e3)
        limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, wait, cv2.CAP_PROP_READ_TIMEOUT_MSEC, wait]
        return cv2.VideoCapture(self._url, cv2.CAP_FFMPEG, limits)

    def _look_up(self) -> tuple[str, int]:
        """The host's number, and the port; raises FerEdgeError if it has none."""
        host, port = self._address
        try:
            (_, _, _, _, place), *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (socket.gaierror, UnicodeError) as error:  # the latter of a label empty or too long
            raise FerEdgeError(
                f"no such host: {host}", f"check the address {self.name} and the network"
            ) from error
        return str(place[0]), port

    def _why_not(self) -> FerEdgeError:
        host, port = self._address
        try:
            socket.create_connection(self._place, timeout=self.timeout).close()
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            return FerEdgeError(
                f"no camera answers at {host}, port {port}: {reason}",
                "check the address, the camera and the network",
            )
        return FerEdgeError(
            f"{self.name} answers, but gives no video that can be read",
            "check the path, the user and the password; ffplay shows what is there",
        )


def without_password(url: str) -> str:
    """The address as it may be shown: without its user and its parameters.

    Many cameras take the password in the path or the query (``/user=admin&password=…``).
    """
    scheme, slashes, rest = url.partition("//")
    host, slash, path = rest.partition("/")
    shown = host.rpartition("@")[2] + slash + path
    if "@" not in host and "@" in re.split("[?#]", path, maxsplit=1)[0]:
        shown = path.rpartition("@")[2]  # a slash in a password makes it look like a path
    plain = re.split("[?#]", shown, maxsplit=1)[0]
    if re.search("[=&;]", plain):
        return f"{scheme}{slashes}{plain.partition('/')[0]}/…"
    return scheme + slashes + plain + ("?…" if plain != shown else "")


def address_in(word: str) -> str | None:
    """What a word shows of the address that it seems to be; None where it seems to be none.

    A path has one slash left of an address's two.
    """
    found = re.match(r"([a-z][a-z0-9+.-]*):/+(?=[^/])", word, re.IGNORECASE)
    return without_password(f"{found[1]}://{word[found.end() :]}") if found else None


def refuse_address(*paths: Path | None) -> None:
    """Raise FerEdgeError where an address, with its password perhaps, stands for a file."""
    for path in paths:
        if path is not None and not path.exists() and (shown := address_in(str(path))):
            raise FerEdgeError(f"{shown} is an address, not a file", "name it with --camera")


def _address(url: str) -> tuple[str, int]:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or PORTS.get(parts.scheme)
    except ValueError as error:
        raise FerEdgeError(
            f"not an address: {without_password(url)}",
            "for example rtsp://192.168.1.20:554/stream1",
        ) from error
    if "@" in parts.path and "@" not in parts.netloc:
        raise FerEdgeError(
            f"not an address: {without_password(url)}",
            "write a / in the user's name or password as %2F",
        )
    if not host or not port or parts.scheme not in PORTS:
        raise FerEdgeError(
            f"not the address of a camera: {without_password(url)}",
            f"it begins with one of {', '.join(f'{scheme}://' for scheme in PORTS)}",
        )
    return host, port
