"""What a run was made with: versions, machine, backend, precision."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import keras

import fer_edge
from fer_edge.board import read_board
from fer_edge.files import read_json, write_text

PACKAGES = ("keras", "tensorflow", "jax", "torch", "numpy")
_THREADS = {"tensorflow": "TF_NUM_INTRAOP_THREADS", "jax": "NPROC"}
"""By the backend, what it takes for the number of its threads; else it takes all cores."""


def record_environment(
    target: Path, dtype_policy: str, devices: Sequence[str], epochs: int
) -> None:
    """Write a run's ``environment.json``, or add to it what the run goes on with.

    Where that is another number of threads than before, it is said on standard error.

    Args:
        target: the file.
        dtype_policy: that a network is built with; one that goes on keeps its own.
        devices: that the run uses.
        epochs: finished so far; a run that goes on after some gets an entry under ``resumed``.
    """
    content = environment(dtype_policy, devices)
    if epochs:
        content = read_json(target) or content
        now = environment(content["dtype_policy"], devices)
        _compare_threads(content, now)
        content.setdefault("resumed", []).append({"after_epoch": epochs, **now})
    write_text(target, json.dumps(content, indent=2) + "\n")


def environment(dtype_policy: str, devices: Sequence[str]) -> dict[str, Any]:
    """A JSON-ready description; absent parts are left out."""
    return {
        "fer_edge": fer_edge.__version__,
        "python": platform.python_version(),
        "board": read_board().to_dict(),
        "devices": list(devices),
        "threads": _threads(),
        "keras_backend": keras.config.backend(),
        "dtype_policy": dtype_policy,
        "packages": {name: _version(name) for name in PACKAGES if _version(name)},
        "command": " ".join(["fer-edge", *sys.argv[1:]]),
    }


def _threads() -> int:
    """Threads that share one operation on the processor."""
    asked = os.environ.get(_THREADS.get(keras.config.backend(), ""), "")
    return int(asked) if asked.isdecimal() and int(asked) else read_board().cores


def _compare_threads(content: dict[str, Any], now: dict[str, Any]) -> None:
    """Say where an earlier part of a run, if it recorded them, had another number of threads."""
    parts = (content, *content.get("resumed", ()))
    before = {part["threads"] for part in parts if "threads" in part} - {now["threads"]}
    if before and now["devices"][0].startswith("cpu"):
        print(
            f"note: the number of threads was {' and '.join(map(str, sorted(before)))} and is "
            f"{now['threads']} now, so the run does not end with the bits of one that was never "
            "cut off",
            file=sys.stderr,
        )


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""
