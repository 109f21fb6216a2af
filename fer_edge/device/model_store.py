"""Models that a user fetches once, by name: where they lie, and how they are fetched and proven."""

from __future__ import annotations

import hashlib
import http.client
import os
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from fer_edge.device import folders
from fer_edge.errors import FerEdgeError
from fer_edge.files import atomic_path, explain, sha256

_ZOO = "https://github.com/opencv/opencv_zoo/raw/f12e12798e8314f7c074a6656816c048dcc95b7a/models"
_CHUNK = 1 << 16


@dataclass(frozen=True)
class StoredModel:
    """A file on the web that is what it should be when its size and SHA-256 are these."""

    file: str
    """Its name in the store."""
    url: str
    size: int
    """Bytes."""
    sha256: str
    """In hexadecimal."""
    licence: str


YUNET_FILE = "face_detection_yunet_2023mar.onnx"

MODELS = {
    "yunet": StoredModel(
        YUNET_FILE,
        f"{_ZOO}/face_detection_yunet/{YUNET_FILE}",
        232_589,
        "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4",
        "MIT",
    )
}
"""What ``fer-edge doctor --get`` knows, by the name that a user gives."""


def stored(file: str) -> Path:
    """Where a model of that file name lies once it was fetched: this user's, else the machine's."""
    places = [folder / "models" / file for folder in (folders.data_folder(), folders.MACHINE)]
    return next(filter(_readable, places), places[0])


def is_stored(file: str) -> bool:
    """Whether a model of that file name was fetched, and this user may read it."""
    return _readable(stored(file))


def fetch(model: StoredModel, *, stall_s: float = 15, limit_s: float = 120) -> tuple[Path, bool]:
    """Download a model, unless it is there already; as root, for every user of the machine.

    Args:
        model: what to fetch.
        stall_s: seconds without a byte after which the server is given up.
        limit_s: seconds that the whole download may take.

    Returns:
        Where it lies, and whether it was downloaded now.

    Raises:
        FerEdgeError: no connection, the server stalls, or what it sends is not the model; nothing
            is kept of that, and what lay there before still does.
    """
    found = stored(model.file)
    if _readable(found) and sha256(found) == model.sha256:
        _share(found)
        return found, False
    content = _download(model, stall_s, time.monotonic() + limit_s)
    if len(content) != model.size:
        raise _wrong(model, f"sent {_bytes(len(content))} of {_bytes(model.size)}")
    if hashlib.sha256(content).hexdigest() != model.sha256:
        raise _wrong(model, "sent another file: its SHA-256 differs")
    target = folders.data_folder() / "models" / model.file
    with atomic_path(target) as temporary:
        temporary.write_bytes(content)
    _share(target)
    return target, True


def _readable(path: Path) -> bool:
    # where a folder on the way is closed, Path.is_file would raise
    return os.access(path, os.R_OK)


def _share(path: Path) -> None:
    """Let every user read it, where it was fetched for all."""
    if folders.data_folder() == folders.MACHINE:
        try:
            folders.share(path)
        except OSError as error:
            raise explain(error, path) from error


def _download(model: StoredModel, stall_s: float, deadline: float) -> bytes:
    parts: list[bytes] = []
    left = model.size + 1  # one byte more than wanted shows that a file is too long
    try:
        with urllib.request.urlopen(model.url, timeout=stall_s) as answer:
            # read1 hands out what has come, so that a server that drips is noticed in time
            while left > 0 and (part := answer.read1(min(left, _CHUNK))):
                parts.append(part)
                left -= len(part)
                if time.monotonic() > deadline:
                    raise TimeoutError
    except urllib.error.HTTPError as error:
        raise _wrong(model, f"answered {error.code} {error.reason}") from error
    except http.client.HTTPException as error:
        raise _wrong(model, "broke off its answer") from error
    except OSError as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, TimeoutError):
            raise _wrong(model, "does not answer, or too slowly") from error
        raise _wrong(model, f"cannot be reached: {reason}") from error
    return b"".join(parts)


def _wrong(model: StoredModel, what: str) -> FerEdgeError:
    host = model.url.split("/")[2]
    return FerEdgeError(
        f"cannot get {model.file}: {host} {what}",
        f"try again, or bring the file from elsewhere and name it: --detector {model.file}",
    )


def _bytes(count: int) -> str:
    return f"{count:,} bytes"
