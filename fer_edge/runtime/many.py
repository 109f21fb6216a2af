"""Many faces through one model, on every processor."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from fer_edge.runtime import load_model
from fer_edge.runtime.base import Probabilities


def classify_many(model: bytes, faces: npt.NDArray[np.uint8]) -> Probabilities:
    """Classify faces, (N, 48, 48) or (N, 48, 48, 1) uint8; returns (N, classes) float32.

    An interpreter a processor, each with a part of the faces: the threads of a single one wait for
    one another in every operator, for long where the machine has something else to do.

    Args:
        model: a TFLite or ONNX file's content.
        faces: at least one.

    Raises:
        FerEdgeError: as ``load_model``.
    """
    parts = np.array_split(faces, min(os.cpu_count() or 1, len(faces)))
    with ThreadPoolExecutor(len(parts)) as pool:
        return np.concatenate(list(pool.map(lambda p: load_model(model).probabilities(p), parts)))
