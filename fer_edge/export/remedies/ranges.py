"""Which range of values an int8 tensor must cover: five ways to tell, on the same values.

One int8 step is a 255th of the range. A wide range loses resolution everywhere, a narrow one clips
what is rare; which loses less depends on the network, so the export can try them all.

- ``minmax``: everything seen.
- ``coverage``: all but one value in 200,000 at either end, exactly.
- ``percentile``: all but one value in 20,000 at either end.
- ``mse``: the least squared error, of clipping and rounding together.
- ``kl``: the least information lost, as TensorRT does it.

``percentile`` and ``kl`` are ONNX Runtime's, on its histograms.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fer_edge.errors import FerEdgeError
from fer_edge.export.remedies.calibration import Ranges

METHODS = ("coverage", "minmax", "percentile", "mse", "kl")
"""In the order in which equals are preferred."""
DEFAULT = "coverage"
AUTO = "auto"
"""The default, and the others where that does not do."""
PERCENTILE = 99.99
BINS = 2048
QUANTIZED_BINS = 128
"""Steps of ONNX Runtime's divergence on either side of zero taken together."""
SHRINKINGS = np.linspace(0.3, 1.0, 71)
"""Of the range from the smallest to the largest value, tried by ``mse``."""
STEPS = 255
LOGIT_DEPTH = 8.0
"""Under the largest logit: e⁻⁸ of its probability is less than a tenth of a softmax's int8 step."""

Range = tuple[float, float]


def visible_logits(logits: np.ndarray) -> np.ndarray:
    """What an int8 softmax can tell of (…, C) logits: those far below the largest are raised.

    A network that is sure of its answers says minus some hundreds of classes that are out of the
    question. A range that covers those leaves the ones that compete a handful of steps; one that
    clips them changes no probability, for the softmax sees differences alone.
    """
    lowest = logits.max(axis=-1, keepdims=True) - LOGIT_DEPTH
    return np.asarray(np.maximum(logits, lowest))


def check_method(name: str) -> None:
    """Raises:
    FerEdgeError: neither a method nor ``auto``.
    """
    if name not in (AUTO, *METHODS):
        raise FerEdgeError(
            f"there are no ranges '{name}'", f"choose from {', '.join((AUTO, *METHODS))}"
        )


def first_method(name: str) -> str:
    """The method to begin with."""
    return DEFAULT if name == AUTO else name


class Observer:
    """Collects the values of named tensors once, and tells their ranges by each method.

    Args:
        samples: how many will be added for each tensor.
        methods: the methods that will be asked for; histograms are made only where one needs them.
    """

    def __init__(self, samples: int, methods: Sequence[str] = (DEFAULT,)) -> None:
        self._exact = {
            name: Ranges(samples, 1) if name == "minmax" else Ranges(samples)
            for name in methods
            if name in ("minmax", "coverage")
        }
        self._histograms = _histograms() if set(methods) - set(self._exact) else None

    def add(self, name: str, values: np.ndarray) -> None:
        """Take one sample's values of a tensor, of any shape, float32."""
        for exact in self._exact.values():
            exact.add(name, values)
        if self._histograms is not None:
            self._histograms.collect_value({name: values})

    def ranges(self, method: str) -> dict[str, Range]:
        """The range of every tensor; each holds 0, which borders and ReLUs need to be exact."""
        if method in self._exact:
            return {name: self._exact[method][name] for name in self._exact[method]}
        assert self._histograms is not None
        histograms = self._histograms.histogram_dict
        if method == "mse":
            return {name: _least_squares(*seen[:4]) for name, seen in histograms.items()}
        return {
            name: _within(low, high, *histograms[name][2:4])
            for name, (low, high) in _by_onnxruntime(self._histograms, method).items()
        }


def _histograms() -> Any:
    from onnxruntime.quantization.calibrate import HistogramCollector

    return HistogramCollector(
        method="entropy",
        symmetric=False,
        num_bins=BINS,
        num_quantized_bins=QUANTIZED_BINS,
        percentile=PERCENTILE,
        scenario="same",
    )


def _by_onnxruntime(collector: Any, method: str) -> Mapping[str, Range]:
    # both methods read the same histograms
    collector.method = "entropy" if method == "kl" else method
    # it reports on standard output, which belongs to --json
    with contextlib.redirect_stdout(io.StringIO()), np.errstate(all="ignore"):
        found = collector.compute_collection_result()
    return {name: (float(result[0]), float(result[1])) for name, result in found.items()}


def _within(low: float, high: float, lowest: float, highest: float) -> Range:
    """A range cut to the values seen, with 0."""
    return min(max(low, float(lowest)), 0.0), max(min(high, float(highest)), 0.0)


def _least_squares(counts: np.ndarray, edges: np.ndarray, lowest: float, highest: float) -> Range:
    """The range, shrunk at both ends alike, whose int8 values lie nearest to the real ones."""
    filled = counts > 0
    values, weights = ((edges[:-1] + edges[1:]) / 2)[filled].astype(np.float64), counts[filled]
    widest = _within(lowest, highest, lowest, highest)
    if widest[0] == widest[1]:
        return widest

    def error(share: float) -> float:
        low, high = share * widest[0], share * widest[1]
        step = (high - low) / STEPS
        clipped = np.clip(values, low, high)
        rounding = np.where(values == clipped, step**2 / 12, 0)
        return float((weights * ((values - clipped) ** 2 + rounding)).sum())

    share = float(min(SHRINKINGS[::-1], key=error))
    return share * widest[0], share * widest[1]
