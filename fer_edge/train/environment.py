"""What a run was made with: versions, processor, backend, precision."""

from __future__ import annotations

import os
import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import keras

import fer_edge

PACKAGES = ("keras", "tensorflow", "jax", "torch", "numpy")


def environment(dtype_policy: str) -> dict[str, Any]:
    """A JSON-ready description; absent parts are left out."""
    return {
        "fer_edge": fer_edge.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "devices": list(keras.distribution.list_devices()),
        "keras_backend": keras.config.backend(),
        "dtype_policy": dtype_policy,
        "packages": {name: _version(name) for name in PACKAGES if _version(name)},
        "command": " ".join(["fer-edge", *sys.argv[1:]]),
    }


def processor() -> str:
    """The processor's model name, as /proc/cpuinfo gives it; empty when it does not say."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "")


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""
