"""Two benchmarks' JSON files side by side: ratios, and what makes them doubtful."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fer_edge.device.bench.document import KIND, VERSION
from fer_edge.device.bench.table import SCENARIOS
from fer_edge.errors import FerEdgeError

_STATISTICS = ("p50", "p90", "p99", "mean")
_MACHINE = ("model", "cpu", "architecture", "cores")
_NOT_COMPARED = ("name", "sha256", "detector")
"""Of a pipeline's frames: where they lay, and what is compared by itself."""
LIMIT = 16 << 20
"""Bytes of a file; a benchmark's are a few thousand."""
WEAK = (
    "the two were measured at different times, so that anything else that changed is in these "
    "ratios too; for two models in one run: fer-edge bench A B"
)


@dataclass(frozen=True)
class Measured:
    """What a comparison needs of one file."""

    path: Path
    machine: dict[str, Any]
    versions: dict[str, Any]
    model: dict[str, Any]
    frames: dict[str, Any]
    """Of the pipeline, as its detector; empty where it was not measured."""
    detector: dict[str, Any]
    digests: tuple[str | None, str | None]
    """Of the frames and of the detector; None where the file tells none."""
    quick: bool
    complete: bool
    throttled: bool | None
    governor: str | None
    latencies: dict[tuple[str, int], dict[str, float]]
    """By scenario and threads."""


def compare(one: Path, other: Path) -> dict[str, Any]:
    """Compare two files that ``fer-edge bench -o`` wrote, each of one model.

    Returns:
        For JSON: the ratios of ``other`` to ``one``, above 1 where it takes longer, and warnings.

    Raises:
        FerEdgeError: a file cannot be read, or the ratios would mean nothing: another machine and
            another model at once, or nothing that both measured.
    """
    a, b = read(one), read(other)
    machines, models = _same_machine(a, b), a.model["sha256"] == b.model["sha256"]
    if not machines and not models:
        raise FerEdgeError(
            f"{one} and {other} are of different models on different machines: their ratio means "
            "nothing",
            "compare two models on one machine, or two machines with one model",
        )
    warnings = list(_warnings(a, b))
    shared = [key for key in a.latencies if key in b.latencies]
    if any(scenario == "pipeline" for scenario, _ in shared):
        if not _same_pipeline(a, b):
            shared = [key for key in shared if key[0] != "pipeline"]
            warnings.append(
                "the pipelines had other frames or another detector and are not compared"
            )
        else:
            warnings += [
                f"{each.path} does not tell which frames and detector it had, an older fer-edge "
                "made it: the ratios of the pipelines may be those of other faces"
                for each in (a, b)
                if _unsure(each)
            ]
    if not shared:
        raise FerEdgeError(
            f"{one} and {other} have nothing in common that could be compared",
            "measure the same scenarios, with the same frames and threads",
        )
    return {
        "kind": f"{KIND} --compare",
        "schema": "{}.{}".format(*VERSION),
        "files": [str(one), str(other)],
        "differ": [
            name
            for name, same in (
                ("machine", machines),
                ("model", models),
                ("versions", not _differing(a.versions, b.versions)),
                ("governor", a.governor == b.governor),
            )
            if not same
        ],
        "warnings": [*warnings, WEAK],
        "ratios": [
            {
                "scenario": scenario,
                "threads": threads,
                **{
                    name: round(b.latencies[key][name] / a.latencies[key][name], 4)
                    for name in _STATISTICS
                },
            }
            for key in shared
            for scenario, threads in [key]
        ],
    }


def print_comparison(comparison: dict[str, Any], console: Console) -> None:
    """Print the ratios and the warnings."""
    one, other = comparison["files"]
    table = Table(
        title=f"Time of {other} against {one}",
        title_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
    )
    table.add_column("")
    for name in ("threads", *_STATISTICS):
        table.add_column(name, justify="right")
    for ratio in comparison["ratios"]:
        figures = [f"{ratio[name]:.3f}" for name in _STATISTICS]
        table.add_row(ratio["scenario"], str(ratio["threads"]), *figures)
    console.print(table)
    for line in comparison["warnings"]:
        console.print(f"[yellow]{escape(line)}[/]", highlight=False, soft_wrap=True)


def read(path: Path) -> Measured:
    """Read one file; raises FerEdgeError when it is none of ours, or of several models."""
    hint = "give a file that fer-edge bench -o wrote"
    try:
        with path.open("rb") as file:
            content = json.loads(file.read(LIMIT))
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise FerEdgeError(f"cannot read {path}: {reason}", hint) from error
    except (ValueError, RecursionError) as error:
        raise FerEdgeError(f"{path} is not JSON", hint) from error
    if not isinstance(content, dict) or content.get("kind") != KIND:
        raise FerEdgeError(f"{path} is not a benchmark", hint)
    schema = str(content.get("schema"))
    if schema.partition(".")[0] != str(VERSION[0]):
        raise FerEdgeError(
            f"{path} has schema {schema}, this program reads {VERSION[0]}.x",
            "measure again, or compare with the newer fer-edge",
        )
    try:
        measured = _measured(path, content)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise FerEdgeError(f"{path} is damaged: a part of it is missing", hint) from error
    if len(content["models"]) != 1:
        raise FerEdgeError(
            f"{path} is of {len(content['models'])} models that took turns, and holds their "
            "ratios already",
            "compare files of one model each",
        )
    return measured


def _measured(path: Path, content: dict[str, Any]) -> Measured:
    pipeline = content["inputs"]["pipeline"] or {}
    detector = pipeline.get("detector") or {}
    return Measured(
        path=path,
        machine={key: content["machine"][key] for key in _MACHINE},
        # null is what was not needed, such as OpenCV for a model alone
        versions={key: value for key, value in content["versions"].items() if value is not None},
        model={"sha256": str(content["models"][0]["sha256"])},
        frames={key: pipeline[key] for key in pipeline if key not in _NOT_COMPARED},
        detector={key: detector[key] for key in detector if key != "sha256"},
        digests=(_text(pipeline.get("sha256")), _text(detector.get("sha256"))),
        quick=bool(content["quick"]),
        complete=bool(content["complete"]),
        throttled=content["throttled"],
        governor=content["health"]["before"]["governor"],
        latencies={
            (_known(result["scenario"]), int(result["threads"])): {
                name: _positive(result["latency_ms"][name]) for name in _STATISTICS
            }
            for result in content["results"]
        },
    )


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _known(scenario: str) -> str:
    if scenario not in SCENARIOS:
        raise ValueError(scenario)
    return scenario


def _positive(value: Any) -> float:
    number = float(value)
    if not 0 < number < float("inf"):
        raise ValueError(value)
    return number


def _same_machine(a: Measured, b: Measured) -> bool:
    return a.machine == b.machine


def _same_pipeline(a: Measured, b: Measured) -> bool:
    """Whether nothing tells that the frames or the detectors were others."""
    known = [pair for pair in zip(a.digests, b.digests, strict=True) if None not in pair]
    return (
        a.frames == b.frames
        and a.detector == b.detector
        and all(one == other for one, other in known)
    )


def _unsure(each: Measured) -> bool:
    """Whether a digest lacks that should be there: not that of what comes with the program."""
    frames, detector = each.digests
    drawn, cascade = each.frames.get("source") == "drawn", each.detector.get("name") == "haar"
    return (frames is None and not drawn) or (detector is None and not cascade)


def _warnings(a: Measured, b: Measured) -> Iterator[str]:
    if a.quick != b.quick:
        quick, full = (a, b) if a.quick else (b, a)
        yield f"{quick.path} is a quick look, {full.path} is not: its tail is hardly known"
    elif a.quick:
        yield "both are quick looks"
    for each in (a, b):
        if not each.complete:
            yield f"{each.path} was ended before it was complete"
        if each.throttled:
            yield f"{each.path} was held back while it was measured"
    if not _same_machine(a, b):
        yield f"two machines: {_differing(a.machine, b.machine)}"
    elif a.governor != b.governor:
        yield f"the governor was {a.governor}, then {b.governor}"
    if other := _differing(a.versions, b.versions):
        yield f"other versions: {other}"


def _differing(one: dict[str, Any], other: dict[str, Any]) -> str:
    """What both have but not alike; empty where there is no such thing."""
    return ", ".join(
        f"{key} {one[key]} and {other[key]}"
        for key in one
        if key in other and one[key] != other[key]
    )
