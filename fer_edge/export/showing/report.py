"""What a user sees when an export has passed the gate."""

from __future__ import annotations

import shlex

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from fer_edge.board import read_board
from fer_edge.data.division import describe_division
from fer_edge.evaluation.metrics import percent
from fer_edge.export.findings import Export, Findings
from fer_edge.export.judging.gate import RECALL, Verdict
from fer_edge.export.judging.measure import Format
from fer_edge.export.judging.timing import RUNS, WARM_UP
from fer_edge.export.remedies.ladder import Climb
from fer_edge.export.targets import advise
from fer_edge.files import json_text
from fer_edge.instructions import in_millions
from fer_edge.subject import BY_LABEL


def print_export(result: Export, *, as_json: bool = False) -> None:
    """Print a row a format, what the gate warns of, and the next command."""
    if as_json:
        print(json_text(result.to_dict()))
    console = Console(stderr=as_json)
    accuracy = result.reference.accuracy
    console.print(
        f"float Keras model: accuracy {accuracy.value:.2%} "
        f"({accuracy.low:.1%} – {accuracy.high:.1%}) on {result.reference.images:,} images",
        highlight=False,
    )
    if result.copies:
        console.print(copies(result), highlight=False)
    if result.base is not None:
        console.print(Text(f"fine-tuned from {result.base.name}"))
    if division := describe_division(result.dataset):
        style = "yellow" if division.startswith("LEAKY") else ""
        console.print(Text(division, style=style))
    if result.truth != BY_LABEL:
        console.print(f"judged by the {result.truth} of each image", highlight=False)
    if result.precision != "float32":
        console.print(
            f"trained in {result.precision}; exported and compared in float32", highlight=False
        )
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("format", no_wrap=True)
    for name in ("kB", "accuracy", "drop", "95% interval", "agree", "p50 ms", "p90"):
        table.add_column(name, justify="right", no_wrap=True)
    for each in result.formats:
        table.add_row(*_row(each))
    console.print(table)
    console.print(
        "drop: points of accuracy lost against the float Keras model on the same images, "
        f"with its paired 95% interval{result.over_persons}",
        highlight=False,
    )
    console.print(
        f"latency: one thread, one face, {RUNS} runs after {WARM_UP} to warm up, in turns, "
        f"on {read_board()}",
        highlight=False,
    )
    if line := instructions(result):
        console.print(line, highlight=False)
    if result.target is not None:
        for line in advise(result.target):
            console.print(f"take on {line}", highlight=False)
    for line in _sureness(result):
        console.print(line, highlight=False)
    for each in result.formats:
        for line in warnings(each.verdict) if each.verdict else ():
            console.print(f"[yellow]warning:[/] {each.name}: {escape(line)}", highlight=False)
    for line in next(unchecked(each.verdict) for each in result.formats if each.verdict):
        console.print(f"[yellow]warning:[/] {escape(line)}", highlight=False)
    if len(result.climb.rungs) > 1:
        print_climb(result.climb, console)
    judged = result.int8.own.images
    console.print(f"gate passed, on {judged:,} images: {result.bundle}", highlight=False)
    path = shlex.quote(str(result.bundle))
    console.print(f"next: fer-edge run {path} --video FILE", highlight=False)


def warnings(verdict: Verdict) -> list[str]:
    """A line for each check that warns, for all recalls on the same images one."""
    lines = []
    recalls: dict[tuple[str, float], list[str]] = {}
    for check in verdict.warnings:
        if check.what.startswith(RECALL):
            label = f"{check.what.removeprefix(RECALL)} by up to {check.measured.high:.2f}"
            recalls.setdefault((check.scope, check.limit), []).append(label)
        else:
            lines.append(f"{check}; it may miss the budget of {check.limit:g}")
    return lines + [
        f"recall may drop on {scope}, of {', '.join(labels)}, over the budget of {limit:g}; more "
        "images would tell"
        for (scope, limit), labels in recalls.items()
    ]


def unchecked(verdict: Verdict) -> list[str]:
    """A line for each scope of classes without an image."""
    return [
        f"no held-out image{where} shows {', '.join(labels)}: that recall was not checked"
        for where, labels in (
            ("", verdict.unchecked),
            (" that is not in the training splits too", verdict.unchecked_unleaked),
        )
        if labels
    ]


def instructions(found: Findings) -> str:
    """What was counted of this network in emulation; empty where nothing was."""
    counts = [
        f"{name} {in_millions((each.get('float32'), each.get('int8')), 1)}"
        for name, each in found.instructions.items()
    ]
    if not counts:
        return ""
    return f"million instructions for one face, float32 / int8, in emulation: {', '.join(counts)}"


def copies(found: Findings) -> str:
    """How many held-out images training saw, and the accuracy without them."""
    seen = f"{found.copies:,} of these images were seen in {found.phase} as well"
    own, int8 = found.reference_unleaked, found.int8.unleaked
    if own is None or int8 is None:
        return f"{seen}: the figures say nothing of other faces"
    return (
        f"{seen}; accuracy without them: float {percent(own.accuracy)}, int8 "
        f"{percent(int8.accuracy)}"
    )


def print_climb(climb: Climb, console: Console) -> None:
    """Print a row for each remedy that was tried."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("remedy", no_wrap=True)
    table.add_column("", overflow="fold")
    for name in ("drop", "agree", "mean Δp", "max Δp", ""):
        table.add_column(name, justify="right", no_wrap=True)
    for rung in climb.rungs:
        verdict = "kept" if rung.kept else "–"
        table.add_row(
            rung.name,
            rung.tried,
            f"{rung.accuracy_drop:+.2f}",
            f"{rung.agreement:.1%}",
            f"{rung.mean_difference:.4f}",
            f"{rung.largest_difference:.3f}",
            "kept, then refused" if rung.refused else verdict,
        )
    console.print(table)
    console.print(
        f"remedies: compared on {climb.images} images {climb.origin}; needed: {climb.needed}",
        highlight=False,
    )


def _sureness(result: Export) -> list[str]:
    error = f"calibration error of int8: {percent(result.int8.own.calibration_error)}"
    if result.temperature is not None:
        error += f"; logits divided by {result.temperature:.2f} in training"
    for name, amount in result.logit_adjustment.items():
        error += f"; {amount:+g} on the logit of {name}"
    if (found := result.certainty) is None:
        return [error]
    chosen = found.chosen
    where = ", ".join(chosen.splits)
    return [
        error,
        f"uncertain under {found.threshold:.3f}: of {where} {chosen.named:.0%} are named, "
        f"{chosen.precision:.1%} of them rightly",
    ]


def _row(each: Format) -> list[str]:
    lost = each.drop.accuracy
    return [
        each.name.removeprefix("model."),
        f"{each.size / 1000:,.0f}",
        f"{each.whole.accuracy.value:.2%}",
        f"{100 * lost.value:+.2f}",
        f"{100 * lost.low:+.2f} … {100 * lost.high:+.2f}",
        f"{each.drop.agreement.value:.2%}",
        f"{each.latency.p50:.2f}",
        f"{each.latency.p90:.2f}",
    ]
