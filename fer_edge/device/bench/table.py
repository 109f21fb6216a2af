"""What a person sees of a benchmark's JSON."""

from __future__ import annotations

import math
from collections.abc import Iterator
from string import ascii_uppercase
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fer_edge.board import FULL_CLOCK

SCENARIOS = {"model": "model alone", "pipeline": "whole pipeline"}
BUSY = 0.5
"""Processes that were running or waiting, on average over the minute before."""
_RATIOS = ("p50", "p90")
_COLUMNS = ("p50", "p90", "p99", "mean", "min", "max")


def print_bench(document: dict[str, Any], console: Console) -> None:
    """Print the latencies, the ratios, the machine and what spoils the figures."""
    console.print(_latencies(document))
    if document["ratios"]:
        console.print(_ratios(document))
    for line in _facts(document):
        console.print(escape(line), highlight=False, soft_wrap=True)
    for line in document["throttle_reasons"]:
        _say(console, "red", f"held back: {line}; these figures are not the machine's best")
    for line in _remarks(document):
        _say(console, "yellow", line)


def _say(console: Console, colour: str, line: str) -> None:
    console.print(f"[{colour}]{escape(line)}[/]", highlight=False, soft_wrap=True)


def _latencies(document: dict[str, Any]) -> Table:
    marks = [] if document["complete"] else ["incomplete"]
    marks += ["quick: not by the rule"] if document["quick"] else []
    table = _table("Latency in ms" + "".join(f", {mark}" for mark in marks))
    for name in (*_COLUMNS, "queries", "per s"):
        table.add_column(name, justify="right", no_wrap=True)
    for result in document["results"]:
        table.add_row(
            _named(result, document),
            str(result["threads"]),
            *(short(result["latency_ms"][column]) for column in _COLUMNS),
            f"{result['queries']:,}",
            f"{result['per_second']:,.{0 if result['per_second'] >= 1000 else 1}f}",
        )
    return table


def _ratios(document: dict[str, Any]) -> Table:
    table = _table("Time against A in the same run, with 95% interval")
    for name in _RATIOS:
        table.add_column(name, justify="right", no_wrap=True)
    for ratio in document["ratios"]:
        table.add_row(
            _named(ratio, document),
            str(ratio["threads"]),
            *("{value:.3f} ({low:.3f} – {high:.3f})".format(**ratio[name]) for name in _RATIOS),
        )
    return table


def _table(title: str) -> Table:
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False, padding=0)
    table.add_column("", no_wrap=True)
    table.add_column("threads", justify="right", no_wrap=True)
    return table


def _named(row: dict[str, Any], document: dict[str, Any]) -> str:
    """Its scenario, with the letter of the model where there are several."""
    return row["scenario"] + _letter(row["model"], document)


def _letter(number: int, document: dict[str, Any]) -> str:
    return f" {ascii_uppercase[number]}" if len(document["models"]) > 1 else ""


def short(milliseconds: float) -> str:
    """Three figures, as more are noise."""
    if milliseconds >= 100:
        return f"{milliseconds:,.0f}"
    return f"{milliseconds:.{2 - math.floor(math.log10(max(milliseconds, 1e-4)))}f}"


def _facts(document: dict[str, Any]) -> Iterator[str]:
    rule, machine, versions = document["rule"], document["machine"], document["versions"]
    yield (
        f"single stream: at least {rule['min_seconds']:g} s and {rule['min_queries']:,} queries "
        f"each, after {rule['warm_up_seconds']:g} s of warm-up; the score is p90; "
        f"{document['seconds']:.0f} s in all"
    )
    for result in document["results"]:
        if result["stages_ms"]:
            yield _stages(result, document)
    yield _input(document["inputs"]["pipeline"])
    for number, model in enumerate(document["models"]):
        letter = _letter(number, document).lstrip()
        inside = f" ({model['member']})" if model["member"] else ""
        proof = "verified on this machine" if model["verified"] else "nothing verified"
        yield (
            f"{letter and letter + ': '}{model['file']}{inside}, {model['format']}, {proof}, "
            f"the model's SHA-256 {model['sha256']}"
        )
    name = machine["model"] or machine["cpu"] or machine["architecture"]
    cpu = f", {machine['cpu']}" if machine["model"] and machine["cpu"] else ""
    yield f"{name}{cpu}, {machine['cores']} cores, {machine['system']}, Linux {versions['kernel']}"
    runtimes = ", ".join(dict.fromkeys(model["runtime"] for model in document["models"]))
    opencv = f", OpenCV {versions['opencv']}" if versions["opencv"] else ""
    yield (
        f"fer-edge {versions['fer_edge']}, {runtimes}, numpy {versions['numpy']}{opencv}, "
        f"Python {versions['python']}"
    )
    yield from _sensed(document)


def _stages(result: dict[str, Any], document: dict[str, Any]) -> str:
    stages = ", ".join(
        f"{stage} {short(found['p50'])} / {short(found['p90'])}"
        for stage, found in result["stages_ms"].items()
        if found
    )
    return (
        f"{_named(result, document)}, threads {result['threads']}, p50 / p90: {stages} ms; "
        f"{result['faces_per_frame']:g} faces a frame"
    )


def _input(pipeline: dict[str, Any] | None) -> str:
    faces = "model: one face of noise to its probabilities"
    if pipeline is None:
        return faces
    where = "a drawn clip (synthetic)" if pipeline["synthetic"] else pipeline["name"]
    detector = pipeline["detector"]
    every = f" every {detector['every']} frames" if detector["every"] > 1 else ""
    return (
        f"{faces}; pipeline: a gray frame in memory to its labels, {pipeline['frames']} frames of "
        f"{pipeline['width']}×{pipeline['height']}, {where}, {detector['name']}{every}"
    )


def _sensed(document: dict[str, Any]) -> Iterator[str]:
    """What the machine's sensors told; a line is left out where they told nothing."""
    before, after = document["health"]["before"], document["health"]["after"]
    told = []
    if document["memory"]["peak_rss_mib"] is not None:
        told.append(f"peak memory {document['memory']['peak_rss_mib']:g} MiB")
    if before["governor"]:
        told.append(f"governor {before['governor']}")
    if before["temperature_c"] is not None and after["temperature_c"] is not None:
        told.append(f"{before['temperature_c']:.0f} → {after['temperature_c']:.0f} °C")
    clocks = [result["sensors"]["measured_mhz_min"] for result in document["results"]]
    if any(clocks):
        told.append(f"cores at {min(clock for clock in clocks if clock):.0f} MHz or more")
    if before["throttled"] is not None and after["throttled"] is not None:
        told.append(f"throttle bits {before['throttled']:#x} → {after['throttled']:#x}")
    if told:
        yield ", ".join(told)
    for result in document["results"]:
        if result["energy_mj"]:
            energy, watts = result["energy_mj"], result["sensors"]["watts_mean"]
            above = energy["above_idle"]
            yield (
                f"{_named(result, document)}, threads {result['threads']}: {watts:.2f} W on the "
                f"rails, {short(energy['whole'])} mJ a query"
                + ("" if above is None else f", {above:.3g} above idling")
            )


def _remarks(document: dict[str, Any]) -> Iterator[str]:
    if not document["complete"]:
        cut = [
            f"{_named(result, document)}, threads {result['threads']}"
            for result in document["results"]
            if not result["complete"]
        ]
        yield "ended before it was complete" + (f"; cut short: {'; '.join(cut)}" if cut else "")
    if document["quick"]:
        yield "--quick is for a first look; leave it out for figures worth keeping"
    governor = document["health"]["before"]["governor"]
    if governor not in (None, "performance"):
        yield (
            f"governor {governor}: the clock changes while measuring; for steady figures: "
            + FULL_CLOCK
        )
    load = document["health"]["before"]["load"]
    if load is not None and load >= BUSY:
        yield (
            f"other programs were at work (load {load:g} before the start): they are in the "
            "tail; stop them, or give the minute after them to the load to fall"
        )
    if any(result["faces_per_frame"] == 0 for result in document["results"]):
        yield "no face was found in the frames: the pipeline's figures are of the detector alone"
    if len(document["models"]) > 1:
        yield (
            "models that take turns push each other out of the caches, so that each alone is a "
            "little faster; a ratio within 1% of 1 is no difference, as the same model opened "
            "twice differs by as much"
        )
