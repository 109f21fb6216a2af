"""What a run was made with: versions, machine, backend, precision."""

from __future__ import annotations

import platform
import sys
from importlib import metadata
from typing import Any

import keras

import fer_edge
from fer_edge.board import read_board

PACKAGES = ("keras", "tensorflow", "jax", "torch", "numpy")


def environment(dtype_policy: str) -> dict[str, Any]:
    """A JSON-ready description; absent parts are left out."""
    return {
        "fer_edge": fer_edge.__version__,
        "python": platform.python_version(),
        "board": read_board().to_dict(),
        "devices": list(keras.distribution.list_devices()),
        "keras_backend": keras.config.backend(),
        "dtype_policy": dtype_policy,
        "packages": {name: _version(name) for name in PACKAGES if _version(name)},
        "command": " ".join(["fer-edge", *sys.argv[1:]]),
    }


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""
