"""Temperature scaling (Guo et al. 2017, arXiv 1706.04599), folded into the last dense layer."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from fer_edge.data.dataset import Dataset
from fer_edge.evaluation.calibration import expected_calibration_error
from fer_edge.evaluation.metrics import cross_entropy
from fer_edge.train.heads import logits_of

RANGE = (0.2, 5.0)
"""Of temperatures that are looked at."""
_SMALLEST = 1e-12


def calibrate(network: keras.Model, validation: Dataset) -> dict[str, Any]:
    """Divide a network's logits by the temperature that suits these faces best, in place.

    Args:
        network: float32, ends with Dense "logits" and a softmax.
        validation: faces with the labels that the network is to be judged by. Soft targets would
            make it as undecided as people are, where its confidence is to say how often it is
            right.

    Returns:
        For ``metrics.json``: the temperature, and the expected calibration error on these faces
        before and after, in 0..1.
    """
    before = _probabilities(network, validation.faces)
    temperature = best_temperature(before, validation.targets)
    logits = logits_of(network)
    logits.set_weights([weight / temperature for weight in logits.get_weights()])
    after = _probabilities(network, validation.faces)
    return {
        "temperature": temperature,
        "calibration_error_before": _error(before, validation.targets),
        "calibration_error_after": _error(after, validation.targets),
    }


def best_temperature(probabilities: np.ndarray, targets: np.ndarray) -> float:
    """The temperature in RANGE with the smallest cross-entropy.

    Args:
        probabilities: (N, C) at temperature 1.
        targets: (N,) class numbers.
    """
    logits = np.log(np.maximum(probabilities.astype(np.float64), _SMALLEST))
    low, high = np.log(RANGE)
    # the cross-entropy has one minimum over 1 / T: halve around the best of nine until it is found
    while high - low > 1e-4:
        tried = np.linspace(low, high, 9)
        best = int(np.argmin([_loss(logits / np.exp(each), targets) for each in tried]))
        low, high = tried[max(best - 1, 0)], tried[min(best + 1, 8)]
    return float(np.exp((low + high) / 2))


def _loss(logits: np.ndarray, targets: np.ndarray) -> float:
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return cross_entropy(shifted / shifted.sum(axis=1, keepdims=True), targets)


def _error(probabilities: np.ndarray, targets: np.ndarray) -> float:
    right = probabilities.argmax(axis=1) == targets
    return expected_calibration_error(probabilities.max(axis=1), right)


def _probabilities(network: keras.Model, faces: np.ndarray) -> np.ndarray:
    said: np.ndarray = network.predict(faces[..., None], batch_size=256, verbose=0)
    return said
