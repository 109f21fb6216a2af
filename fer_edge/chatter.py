"""C++ libraries that print notices to standard error, kept from a user's terminal."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from fer_edge.errors import require_extra


@contextmanager
def silenced_stderr() -> Iterator[None]:
    """Send what the process writes to file descriptor 2 to nowhere, C++ libraries included.

    For the moment of an import or of a delegate's creation only: errors of those come as Python
    exceptions.
    """
    sys.stderr.flush()
    saved = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        sys.stderr.flush()
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)


def import_keras(backend: str | None = None) -> ModuleType:
    """Import Keras quietly.

    Args:
        backend: None takes the one that KERAS_BACKEND names, else TensorFlow.

    Raises:
        FerEdgeError: Keras or its backend is not installed.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    require_extra("keras", "train")
    backend = backend or os.environ.get("KERAS_BACKEND", "tensorflow")
    require_extra(backend, "train")
    os.environ["KERAS_BACKEND"] = backend
    # TensorFlow warns of retracing whenever several models are evaluated in one process
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    with silenced_stderr():
        import keras
    return keras
