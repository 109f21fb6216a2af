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

from fer_edge.errors import FerEdgeError
from fer_edge.files import atomic_path, sha256

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
    """Where a model of that file name lies once it was fetched: in the user's data folder."""
    data = os.environ.get("XDG_DATA_HOME", "")
    # the XDG specification has relative paths ignored; a service may have no home at all
    base = Path(data) if data.startswith("/") else Path("~/.local/share").expanduser()
    return base / "fer-edge" / "models" / file


def fetch(model: StoredModel, *, stall_s: float = 15, limit_s: float = 120) -> tuple[Path, bool]:
    """Download a model, unless it is there already.

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
    target = stored(model.file)
    if target.is_file() and sha256(target) == model.sha256:
        return target, False
    content = _download(model, stall_s, time.monotonic() + limit_s)
    if len(content) != model.size:
        raise _wrong(model, f"sent {_bytes(len(content))} of {_bytes(model.size)}")
    if hashlib.sha256(content).hexdigest() != model.sha256:
        raise _wrong(model, "sent another file: its SHA-256 differs")
    with atomic_path(target) as temporary:
        temporary.write_bytes(content)
    return target, True


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
