"""What a run was made with: versions, machine, backend, precision."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

import keras

import fer_edge
from fer_edge.board import read_board
from fer_edge.files import write_text

PACKAGES = ("keras", "tensorflow", "jax", "torch", "numpy")


def record_environment(
    target: Path, dtype_policy: str, devices: Sequence[str], epochs: int
) -> None:
    """Write a run's ``environment.json``, or add to it what the run goes on with.

    Args:
        target: the file.
        dtype_policy: that a network is built with; one that goes on keeps its own.
        devices: that the run uses.
        epochs: finished so far; a run that goes on after some gets an entry under ``resumed``.
    """
    content = environment(dtype_policy, devices)
    if epochs:
        with suppress(OSError, ValueError):
            content = json.loads(target.read_text(encoding="utf-8"))
        now = environment(content["dtype_policy"], devices)
        content.setdefault("resumed", []).append({"after_epoch": epochs, **now})
    write_text(target, json.dumps(content, indent=2) + "\n")


def environment(dtype_policy: str, devices: Sequence[str]) -> dict[str, Any]:
    """A JSON-ready description; absent parts are left out."""
    return {
        "fer_edge": fer_edge.__version__,
        "python": platform.python_version(),
        "board": read_board().to_dict(),
        "devices": list(devices),
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
