"""Temperature scaling (Guo et al. 2017, arXiv 1706.04599), folded into the last dense layer."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from fer_edge.metrics import expected_calibration_error
from fer_edge.train.heads import logits_of
from fer_edge.train.targets import Goal

RANGE = (0.2, 5.0)
"""Of temperatures that are looked at."""
_SMALLEST = 1e-12


def calibrate(network: keras.Model, faces: np.ndarray, goal: Goal) -> dict[str, Any]:
    """Divide a network's logits by the temperature that suits these faces best, in place.

    Args:
        network: float32, ends with Dense "logits" and a softmax.
        faces: (N, 48, 48) uint8 of the validation split.
        goal: their targets (N, C) and weights (N,).

    Returns:
        For ``metrics.json``: the temperature, and the expected calibration error on these faces
        before and after, in 0..1.
    """
    before = _probabilities(network, faces)
    temperature = best_temperature(before, goal)
    logits = logits_of(network)
    logits.set_weights([weight / temperature for weight in logits.get_weights()])
    after = _probabilities(network, faces)
    return {
        "temperature": temperature,
        "calibration_error_before": _error(before, goal),
        "calibration_error_after": _error(after, goal),
    }


def best_temperature(probabilities: np.ndarray, goal: Goal) -> float:
    """The temperature in RANGE with the smallest weighted cross-entropy.

    Args:
        probabilities: (N, C) at temperature 1.
        goal: targets (N, C) and weights (N,).
    """
    logits = np.log(np.maximum(probabilities.astype(np.float64), _SMALLEST))
    low, high = np.log(RANGE)
    # the cross-entropy has one minimum over 1 / T: halve around the best of nine until it is found
    while high - low > 1e-4:
        tried = np.linspace(low, high, 9)
        best = int(np.argmin([_cross_entropy(logits / np.exp(each), goal) for each in tried]))
        low, high = tried[max(best - 1, 0)], tried[min(best + 1, 8)]
    return float(np.exp((low + high) / 2))


def _cross_entropy(logits: np.ndarray, goal: Goal) -> float:
    shifted = logits - logits.max(axis=1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return float(-(goal.weights * (goal.targets * logs).sum(axis=1)).sum())


def _error(probabilities: np.ndarray, goal: Goal) -> float:
    """Against the likeliest class of each target; faces without weight are left out."""
    counted = goal.weights > 0
    said, right = probabilities[counted], goal.targets[counted].argmax(axis=1)
    return expected_calibration_error(said.max(axis=1), said.argmax(axis=1) == right)


def _probabilities(network: keras.Model, faces: np.ndarray) -> np.ndarray:
    said: np.ndarray = network.predict(faces[..., None], batch_size=256, verbose=0)
    return said
