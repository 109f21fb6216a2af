"""Where the broker is, and how it is told who we are."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from fer_edge.errors import FerEdgeError, nearest

PORTS = {"mqtt": 1883, "mqtts": 8883}
"""The schemes and the ports that they mean."""

_AUTH = ("username", "password", "ca", "certificate", "key")
_FORM = "give an address such as mqtt://broker:1883 or mqtts://broker:8883"
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")  # what Home Assistant takes in a discovery topic
_SECRET = "secret_"  # what device/fer-edge.service has systemd put before the names of secrets


@dataclass(frozen=True)
class Broker:
    """A broker's address and our credentials there."""

    host: str
    port: int
    tls: bool
    username: str | None = None
    password: str | None = None
    ca: Path | None = None
    """Certificates that the broker's has to be signed by; None for those of the system."""
    certificate: Path | None = None
    """Our own, with ``key``, where the broker asks for one."""
    key: Path | None = None

    def __str__(self) -> str:
        return f"{'mqtts' if self.tls else 'mqtt'}://{self.host}:{self.port}"


def read_broker(url: str, auth: Path | None = None) -> Broker:
    """Return the broker at an address, with the credentials of a file.

    Args:
        url: mqtt://HOST[:PORT] or mqtts://HOST[:PORT].
        auth: a TOML file with any of ``username``, ``password``, ``ca``, ``certificate`` and
            ``key``; the last three are paths, relative to the file's folder. Among the secrets
            that systemd hands to a service they are looked for under the names it gives them.

    Raises:
        FerEdgeError: the address or the file is not like that.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
        (host or "").encode("idna")  # what looking it up begins with
    except ValueError:  # UnicodeError is one: an empty label, or one that is too long
        parts, host, port = urlsplit(""), None, None
    if parts.username or parts.password:
        raise FerEdgeError(
            "an address with a password in it can be read by every user of this machine",
            "write username and password to a TOML file, and name that with --mqtt-auth",
        )
    if parts.scheme not in PORTS or not host or parts.path.strip("/") or parts.query:
        raise FerEdgeError(f"'{url}' is no MQTT broker's address", _FORM)
    found = {} if auth is None else _read(auth)
    if (found.keys() & {"ca", "certificate", "key"}) and parts.scheme != "mqtts":
        raise FerEdgeError(
            f"{auth} names certificates, and {url} is not encrypted", "use mqtts:// instead"
        )
    named = [name for name in _AUTH[2:] if name in found]
    paths = {name: _named_in(auth, name, found[name]) for name in named if auth is not None}
    if ("certificate" in paths) != ("key" in paths):
        raise FerEdgeError(f"{auth}: certificate and key belong together", "name both, or neither")
    return Broker(
        host,
        port or PORTS[parts.scheme],
        parts.scheme == "mqtts",
        username=found.get("username"),
        password=found.get("password"),
        ca=paths.get("ca"),
        certificate=paths.get("certificate"),
        key=paths.get("key"),
    )


def device_name(given: str | None) -> str:
    """Return the name that the topics carry: the given one, or one that stays the machine's own.

    Raises:
        FerEdgeError: the given one cannot stand in a topic.
    """
    if given is not None:
        if not _NAME.fullmatch(given):
            raise FerEdgeError(
                f"'{given}' cannot be a device's name in MQTT topics",
                "use 1 to 64 letters, digits, - and _",
            )
        return given
    try:
        machine = Path("/etc/machine-id").read_text().strip()
    except OSError:
        machine = ""
    # machine-id itself is to be kept private, see machine-id(5)
    digest = hashlib.blake2b((machine or platform.node()).encode(), person=b"fer-edge")
    return f"fer-edge-{digest.hexdigest()[:8]}"


def _named_in(auth: Path, name: str, given: str) -> Path:
    """The file that is named in the credentials' file."""
    places, remedy = [auth.parent / given], "correct the path"
    handed = os.environ.get("CREDENTIALS_DIRECTORY") == str(auth.parent)
    if handed and auth.name.startswith(_SECRET):
        # of the secrets' folder a service gets copies, own/ca.pem as secret_own_ca.pem
        places.append(auth.parent / f"{_SECRET}{given.replace('/', '_')}")
        remedy = "put it beside the credentials, and give its name alone, such as ca.pem"
    for path in places:
        # where a folder on the way is closed, Path.is_file would raise
        if os.access(path, os.R_OK):
            return path
    raise FerEdgeError(f"{auth}: {name}: there is no readable file {places[0]}", remedy)


def _read(auth: Path) -> dict[str, str]:
    try:
        content = tomllib.loads(auth.read_text(encoding="utf-8"))
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise FerEdgeError(f"cannot read {auth}: {reason}", "name a readable file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        hint = 'for example: username = "camera", and on the next line: password = "…"'
        # the error may repeat a part of the password
        raise FerEdgeError(f"{auth} is not valid TOML", hint) from error
    for key, value in content.items():
        if key not in _AUTH:
            hint = nearest(key, _AUTH) or f"known keys: {', '.join(_AUTH)}"
            raise FerEdgeError(f"{auth}: unknown key '{key}'", hint)
        if not isinstance(value, str) or not value:
            raise FerEdgeError(f"{auth}: {key} is not a text", f'write {key} = "…"')
    return content
