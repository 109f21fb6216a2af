"""``fer-edge export --explain``: where int8 hurts, layer by layer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fer_edge.export.converters import tflite
from fer_edge.export.judging.budget import Budget
from fer_edge.export.judging.layers import Explanation, LayerCost, explain
from fer_edge.export.material import prepare
from fer_edge.export.remedies.batch_norm import check_batch_norms
from fer_edge.export.remedies.equalizing import equalize
from fer_edge.export.remedies.ranges import AUTO, first_method
from fer_edge.export.source import open_run
from fer_edge.files import json_text


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


def print_explanation(found: Explanation, *, as_json: bool = False) -> None:
    """Print a row a layer, the costliest marked."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    if as_json:
        print(json_text(found.to_dict()))
        return
    worst = found.worst_first[:1]
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("layer", overflow="fold")
    for name in ("dB", "range", "clipped", "spread", "drop", "agree", "mean Δp", "max Δp"):
        table.add_column(name, justify="right", no_wrap=True)
    for each in found.layers:
        table.add_row(*_row(each), style="bold red" if each in worst else None)
    console = Console()
    console.print(table)
    console.print(
        f"drop (points of accuracy), agree, Δp: against the float network with this layer alone in "
        f"int8, on {found.images} images {found.origin}; spread: largest over smallest weight "
        "channel",
        highlight=False,
    )
    for each in worst:
        console.print(f"costs the most: {each.layer}", highlight=False, markup=False)


def _row(each: LayerCost) -> list[str]:
    return [
        each.layer,
        "–" if each.decibels is None else f"{each.decibels:.1f}",
        f"{each.low:.3g} … {each.high:.3g}",
        f"{each.clipped:.3%}",
        "–" if each.spread is None else f"{each.spread:.3g}",
        f"{each.accuracy_drop:+.1f}",
        f"{each.agreement:.1%}",
        f"{each.mean_difference:.4f}",
        f"{each.largest_difference:.3f}",
    ]
