"""What int8 costs layer by layer: in the numbers, and in answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from fer_edge.evaluation.metrics import Drop
from fer_edge.export.converters import tflite, tflite_graph
from fer_edge.export.converters.isolating import SOFTMAX, Operator, isolated, quantizable
from fer_edge.export.judging.rehearsal import Rehearsal
from fer_edge.export.remedies.ranges import visible_logits

IMAGES = 100
"""Of the rehearsal; each layer is run on all of them."""
CLIP_IMAGES = 32


@dataclass(frozen=True)
class LayerCost:
    """One layer of an int8 network.

    Attributes:
        name: its output tensor.
        layer: what people call it.
        kind: of operator, such as CONV_2D.
        decibels: signal over quantization noise of its output, given undisturbed inputs; None where
            the debugger does not tell.
        low, high: the range that int8 covers.
        clipped: share of its output's values beyond the range, on ``CLIP_IMAGES`` images.
        spread: largest over smallest of the weight channels' largest values; None without weights.
        accuracy_drop: points lost against the float network when this layer alone is quantized.
        agreement: with it, 0..1.
        mean_difference, largest_difference: of a probability.
    """

    name: str
    layer: str
    kind: str
    decibels: float | None
    low: float
    high: float
    clipped: float
    spread: float | None
    accuracy_drop: float
    agreement: float
    mean_difference: float
    largest_difference: float


@dataclass(frozen=True)
class Explanation:
    """Every layer of a network in order, and the images they were measured on.

    Attributes:
        layers: in the network's order.
        origin: of the images.
        images: how many.
    """

    layers: tuple[LayerCost, ...]
    origin: str
    images: int

    @property
    def worst_first(self) -> list[LayerCost]:
        """By mean difference of probabilities, then by agreement; without the softmax.

        What that costs is the step of int8 answers, 1/256, which no remedy makes smaller.
        """
        layers = (each for each in self.layers if each.kind != SOFTMAX)
        return sorted(layers, key=lambda each: (-each.mean_difference, each.agreement))

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


def explain(ranged: bytes, calibration: np.ndarray, rehearsal: Rehearsal) -> Explanation:
    """Measure every layer.

    Args:
        ranged: the float flatbuffer with its ranges, of ``tflite.with_ranges``.
        calibration: (M, 48, 48, 1) uint8, for the noise of each layer.
        rehearsal: images in a mixed order, of which the first ``IMAGES`` are used.
    """
    few = rehearsal.first(IMAGES)
    operators = quantizable(ranged)
    decibels = dict(tflite.layer_errors(ranged, calibration))
    clipped = _clipped(ranged, operators, few.faces[:CLIP_IMAGES, ..., None])
    costs = layer_costs(ranged, operators, few)
    layers = tuple(
        LayerCost(
            name=op.name,
            layer=op.layer,
            kind=op.kind,
            decibels=decibels.get(op.name),
            low=op.low,
            high=op.high,
            clipped=share,
            spread=op.spread,
            accuracy_drop=100 * lost.accuracy.value,
            agreement=lost.agreement.value,
            mean_difference=lost.mean_difference.value,
            largest_difference=lost.largest_difference.value,
        )
        for op, share, lost in zip(operators, clipped, costs, strict=True)
    )
    return Explanation(layers, few.origin, len(few.faces))


def layer_costs(ranged: bytes, operators: Sequence[Operator], rehearsal: Rehearsal) -> list[Drop]:
    """What is lost against the float network with each layer quantized alone."""
    return [rehearsal.compare(isolated(ranged, operator)) for operator in operators]


def _clipped(ranged: bytes, operators: Sequence[Operator], images: np.ndarray) -> list[float]:
    model = tflite_graph.read(ranged)
    (graph,) = model.subgraphs
    logits = tflite_graph.logits(model, graph)
    outputs = [int(graph.operators[op.place].outputs[0]) for op in operators]
    shares = np.zeros(len(operators))
    for values in tflite_graph.run(ranged, images, outputs):
        for place, (operator, index) in enumerate(zip(operators, outputs, strict=True)):
            seen = visible_logits(values[index]) if index in logits else values[index]
            beyond = (seen < operator.low) | (seen > operator.high)
            shares[place] += beyond.mean() / len(images)
    return [float(share) for share in shares]
