"""Where int8 hurts: layer by layer, what it does to the numbers and what that costs in answers."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fer_edge.export.converters import tflite, tflite_graph
from fer_edge.export.converters.isolating import Operator, isolated, quantizable
from fer_edge.export.judging.budget import Budget
from fer_edge.export.judging.rehearsal import Rehearsal
from fer_edge.export.material import prepare
from fer_edge.export.remedies.batch_norm import check_batch_norms
from fer_edge.export.remedies.equalizing import equalize
from fer_edge.export.remedies.ranges import AUTO, first_method, visible_logits
from fer_edge.export.source import open_run
from fer_edge.files import json_text

IMAGES = 100
"""Of the rehearsal; each layer is run on all of them."""
CLIP_IMAGES = 32
_WEIGHING = "convolution|depthwise|BiasAdd|MatMul"


@dataclass(frozen=True)
class LayerCost:
    """One layer of an int8 network.

    Attributes:
        name: its output tensor.
        kind: of operator, such as CONV_2D.
        decibels: signal over quantization noise of its output, given undisturbed inputs; None where
            the debugger does not tell.
        low, high: the range that int8 covers.
        clipped: share of its output's values, on images not calibrated on, beyond the range.
        spread: largest over smallest of the weight channels' largest values; None without weights.
        agreement: with the float network when this layer alone is quantized, 0..1.
        mean_difference, largest_difference: the same, of a probability.
    """

    name: str
    kind: str
    decibels: float | None
    low: float
    high: float
    clipped: float
    spread: float | None
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
        """By mean difference of probabilities, then by agreement."""
        return sorted(self.layers, key=lambda each: (-each.mean_difference, each.agreement))

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


def explain_run(
    run: Path,
    *,
    data: str | None = None,
    head: str | None = None,
    calibration: int = 350,
    balance: bool = True,
    ranges: str = AUTO,
    recalibrate_bn: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> Explanation:
    """Measure every layer of a run's network as the export would quantize it first.

    Args:
        run: a finished run folder.
        data: the dataset's path; None takes the one recorded in the run.
        head: of a run with several; None takes the default one.
        calibration, balance, ranges, recalibrate_bn: as ``exporter.export`` takes them.
        say: told what is being done.

    Raises:
        FerEdgeError: as ``exporter.export``.
    """
    say(f"reading {run} and its dataset")
    source, _ = check_batch_norms(open_run(run, data, head), recalibrate=recalibrate_bn, say=say)
    material = prepare(
        source, Budget(), calibration=calibration, balance=balance, ranges=ranges, say=say
    )
    images, method = material.calibration, first_method(ranges)
    rangeless = tflite.calibratable(equalize(material.folded, images), images)
    ranged = tflite.with_ranges(rangeless, tflite.observe(rangeless, images, (method,)), method)
    say("quantizing each layer alone")
    return explain(ranged, images, material.rehearsal)


def explain(ranged: bytes, calibration: np.ndarray, rehearsal: Rehearsal) -> Explanation:
    """Measure every layer.

    Args:
        ranged: the float flatbuffer with its ranges, of ``tflite.with_ranges``.
        calibration: (M, 48, 48, 1) uint8, for the noise of each layer.
        rehearsal: images not calibrated on; the first ``IMAGES`` of a mixed order are used.
    """
    few = rehearsal.first(IMAGES)
    operators = quantizable(ranged)
    decibels = dict(tflite.layer_errors(ranged, calibration))
    clipped = _clipped(ranged, operators, few.faces[:CLIP_IMAGES, ..., None])
    costs = layer_costs(ranged, operators, few)
    layers = tuple(
        LayerCost(
            name=op.name,
            kind=op.kind,
            decibels=decibels.get(op.name),
            low=op.low,
            high=op.high,
            clipped=share,
            spread=op.spread,
            agreement=agreement,
            mean_difference=mean,
            largest_difference=largest,
        )
        for op, share, (agreement, mean, largest) in zip(operators, clipped, costs, strict=True)
    )
    return Explanation(layers, few.origin, len(few.faces))


def layer_costs(
    ranged: bytes, operators: Sequence[Operator], rehearsal: Rehearsal
) -> list[tuple[float, float, float]]:
    """Agreement, mean and largest difference of probability with each layer quantized alone."""
    costs = []
    for operator in operators:
        lost = rehearsal.compare(isolated(ranged, operator))
        costs.append(
            (lost.agreement.value, lost.mean_difference.value, lost.largest_difference.value)
        )
    return costs


def print_explanation(found: Explanation, *, as_json: bool = False) -> None:
    """Print a row a layer, the costliest marked."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    if as_json:
        print(json_text(found.to_dict()))
        return
    worst = found.worst_first[0].name if found.layers else None
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("layer", overflow="fold")
    for name in ("dB", "range", "clipped", "spread", "agree", "mean Δp", "max Δp"):
        table.add_column(name, justify="right", no_wrap=True)
    for each in found.layers:
        style = "bold red" if each.name == worst else None
        table.add_row(*_row(each), style=style)
    console = Console()
    console.print(table)
    console.print(
        f"agree, Δp: against the float network with this layer alone in int8, on {found.images} "
        f"images {found.origin}; spread: largest over smallest weight channel",
        highlight=False,
    )
    if worst is not None:
        console.print(f"costs the most: {worst}", highlight=False, markup=False)


def short_name(tensor: str) -> str:
    """The layer in a converter's tensor name: ``net_1/relu_1/Relu;net_1/conv_1/BiasAdd`` is conv.

    A tensor is named after every operation that was fused into what makes it.
    """
    parts = [part.split("/") for part in tensor.split(";")]
    weighing = [part for part in parts if re.match(_WEIGHING, part[-1])]
    chosen = (weighing or parts)[0]
    if len(chosen) < 2:
        return chosen[0]
    # Keras numbers all names of a network that is traced again
    number = re.search(r"_\d+$", chosen[0])
    return chosen[1].removesuffix(number[0]) if number else chosen[1]


def _row(each: LayerCost) -> list[str]:
    return [
        short_name(each.name),
        "–" if each.decibels is None else f"{each.decibels:.1f}",
        f"{each.low:.3g} … {each.high:.3g}",
        f"{each.clipped:.3%}",
        "–" if each.spread is None else f"{each.spread:.3g}",
        f"{each.agreement:.1%}",
        f"{each.mean_difference:.4f}",
        f"{each.largest_difference:.3f}",
    ]


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
