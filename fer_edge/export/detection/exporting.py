"""A detector's run in, a gated bundle for its frame sizes out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fer_edge import bundle
from fer_edge.bundle.golden_frames import (
    FRAMES,
    MEMBERS,
    difference_from,
    frames_for,
    pack_golden_frames,
)
from fer_edge.bundle.shapes import FRAME_INPUT, MOST_TOLERANCE
from fer_edge.data.detection.backgrounds import Backgrounds
from fer_edge.data.detection.frames import Composer, Composition
from fer_edge.data.detection.held_out_frames import HeldOutFrames
from fer_edge.data.detection.photos import load_photos
from fer_edge.detection import LANDMARKS, STRIDES
from fer_edge.detection.evaluating import number
from fer_edge.detection.network import KerasDetector, TFLiteDetector
from fer_edge.errors import FerEdgeError, GateRefused
from fer_edge.export.converters import tflite
from fer_edge.export.detection.card import model_card
from fer_edge.export.detection.judging import Judged, judge_detector
from fer_edge.export.detection.source import DetectorSource, for_size, open_detector_run
from fer_edge.export.exporter import check_writable, tool_versions
from fer_edge.export.findings import Refusal
from fer_edge.export.judging.budget import Budget
from fer_edge.export.packing import check_replaces
from fer_edge.export.remedies.ranges import AUTO, METHODS, first_method
from fer_edge.face import OWN
from fer_edge.files import json_text
from fer_edge.subject import ROLES

PARITY = 1e-3
"""Largest difference of any number between Keras and the float file."""
STEP = 1 / 256
ALLOWED_STEPS = 6
"""Of a number's range, which another processor's fast kernels may add."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class DetectorExport:
    """What was exported, and how good it is.

    Attributes:
        bundle: the file written.
        rate: false positives a frame at which recall is given.
        judged: by size, the largest first.
        ranges: the method that the int8 ranges were found by.
    """

    bundle: Path
    rate: float
    judged: tuple[Judged, ...]
    ranges: str

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "bundle": str(self.bundle),
            "task": "detect",
            "passed": all(each.verdict.passed for each in self.judged),
            "ranges": self.ranges,
            "files": {each.member: each.to_dict(self.rate) for each in self.judged},
        }


def export_detector(
    run: Path,
    *,
    budget: Budget,
    data: str | None = None,
    output: Path = Path("bundles"),
    calibration: int = 100,
    ranges: str = AUTO,
    replace: bool = False,
    say: Say = lambda line: None,
) -> DetectorExport:
    """Convert a detector for every frame size, judge each once, write the bundle.

    Args:
        run: a finished run folder with ``task = "detect"``.
        budget: what int8 may lose; its ``detector`` table.
        data: the photos' path; None takes the one recorded in the run.
        output: folder of the bundle, which is named after the recipe.
        calibration: composed training frames for the quantizer.
        ranges: one of ``ranges.METHODS``, or ``auto`` for the first one that keeps the budget on
            the validation frames, else the one that loses the least there.
        replace: overwrite a bundle of another network that has the same name.
        say: told what is being done.

    Raises:
        Refusal: an int8 file lost more than the budget allows; nothing was written.
        FerEdgeError: the run is not finished, the photos are others, a layer cannot be converted,
            or the bundle would overwrite another network's.
    """
    check_writable(output)
    say(f"reading {run} and its photos")
    source = open_detector_run(run, data)
    if not replace:
        check_replaces(output / f"{source.name}.fer", run)
    say("composing frames to calibrate, to find the threshold and to judge")
    frames = source.calibration(calibration)
    validation, test = source.held_out("validation"), source.held_out("test")
    methods = METHODS if ranges == AUTO else (first_method(ranges),)
    prepared = {member: _prepared(source, size, frames, say) for member, size in MEMBERS.items()}
    method, int8 = _chosen(prepared, methods, validation, budget, say)
    say(f"judging int8 with ranges by {method} on {len(test.frames):,} frames")
    judged = tuple(
        judge_detector(member, made.exact, int8[member], validation, test, budget)
        for member, made in prepared.items()
    )
    result = DetectorExport(
        output / f"{source.name}.fer", budget.detector.false_positives_per_frame, judged, method
    )
    try:
        refuse_if_failed(judged)
    except GateRefused as error:
        findings = {key: value for key, value in result.to_dict().items() if key != "bundle"}
        raise Refusal(error.message, error.hint, findings) from error
    _write(result, source, budget)
    return result


@dataclass(frozen=True)
class _Prepared:
    """One size: the float file, and what int8 ones are made from."""

    exact: bytes
    rangeless: bytes
    frames: np.ndarray

    def quantized(self, method: str) -> bytes:
        seen = tflite.observe(self.rangeless, self.frames, (method,))
        return tflite.compacted(tflite.quantize(tflite.with_ranges(self.rangeless, seen, method)))


def _chosen(
    prepared: Mapping[str, _Prepared],
    methods: Sequence[str],
    validation: HeldOutFrames,
    budget: Budget,
    say: Say,
) -> tuple[str, dict[str, bytes]]:
    """The method of the ranges and its int8 files by member; test frames have no say in it."""
    tried: dict[str, tuple[float, dict[str, bytes]]] = {}
    for method in methods:
        int8 = {member: made.quantized(method) for member, made in prepared.items()}
        if len(methods) == 1:
            return method, int8
        say(f"trying ranges by {method} on {len(validation.frames):,} validation frames")
        rehearsed = [
            judge_detector(member, made.exact, int8[member], validation, validation, budget)
            for member, made in prepared.items()
        ]
        if all(each.verdict.passed for each in rehearsed):
            return method, int8
        tried[method] = sum(each.verdict.checks[0].measured.value for each in rehearsed), int8
    best = min(tried, key=lambda method: tried[method][0])
    return best, tried[best][1]


def _prepared(
    source: DetectorSource,
    size: tuple[int, int],
    frames: list[np.ndarray],
    say: Say,
) -> _Prepared:
    import cv2

    say(f"converting for {size[0]}×{size[1]}")
    network = for_size(source.network, size)
    own = np.stack([cv2.resize(each, size, interpolation=cv2.INTER_AREA) for each in frames])
    exact = tflite.to_float32(network)
    _check_parity(KerasDetector(network), exact, own[:2])
    rangeless = tflite.calibratable(network, own[..., None])
    return _Prepared(exact, rangeless, own[..., None])


def _check_parity(network: KerasDetector, exact: bytes, frames: np.ndarray) -> None:
    converted = TFLiteDetector(exact, "the float file")
    wanted = np.concatenate([network.raw([frame]) for frame in frames])
    said = np.stack([converted.raw(frame) for frame in frames])
    difference = float(np.abs(said - wanted).max())
    # a NaN must fail as well
    if not difference <= PARITY:
        raise FerEdgeError(
            "the float file does not compute what Keras does: a number differs by "
            f"{difference:.2g}",
            "a layer is converted wrongly; report it with the recipe",
        )


def refuse_if_failed(judged: Sequence[Judged]) -> None:
    """Raises:
    GateRefused: a check failed; the message names each.
    """
    failed = [check for each in judged for check in each.verdict.failures]
    if failed:
        lines = [f"  {check}, the budget is {check.limit:g}" for check in failed]
        raise GateRefused(
            "\n".join(["the gate refused the int8 detector; no bundle was written", *lines]),
            "train for longer, calibrate on more frames (--calibration), or allow more with "
            "--budget FILE and its [detector]",
        )


def _write(result: DetectorExport, source: DetectorSource, budget: Budget) -> None:
    files = {each.member: each.int8 for each in result.judged}
    golden, tolerance = golden_set(files)
    figures = {each.member: each.to_dict(result.rate) for each in result.judged}
    roles = {key: source.content[key] for key in ("name", *ROLES)}
    manifest = bundle.Manifest(
        name=source.name,
        labels=("face",),
        crop=OWN,
        golden_tolerance=tolerance,
        recipe={
            "name": source.name,
            "sha256": source.recipe_sha256,
            "network": source.network_sha256,
        },
        dataset=roles | {"backgrounds": len(source.backgrounds)},
        metrics={"splits": roles["test"], "detection": figures},
        gate={"budget": budget.detector.model_dump()}
        | {each.member: each.verdict.to_dict() for each in result.judged},
        export={"ranges": result.ranges},
        tools=tool_versions(),
        description=" ".join(source.description.split()),
        input=dict(FRAME_INPUT),
        task="detect",
        detector={
            "min_score": {each.member: each.min_score for each in result.judged},
            "sizes": {each.member: list(each.size) for each in result.judged},
            "strides": list(STRIDES),
            "landmarks": list(LANDMARKS),
        },
    )
    card = model_card(source.name, source.content["name"], figures).encode()
    content = {**files, bundle.GOLDEN: golden, bundle.MODEL_CARD: card}
    bundle.write_bundle(result.bundle, manifest, content)


def golden_set(files: Mapping[str, bytes]) -> tuple[bytes, float]:
    """Record what the reference kernels say of drawn frames; no picture of anybody goes into it.

    Args:
        files: the int8 files by member.

    Returns:
        The packed golden set, and the tolerance for fast kernels.

    Raises:
        FerEdgeError: fast and reference kernels differ so much that it would prove nothing.
    """
    columns, rows = MEMBERS[bundle.INT8_160_TFLITE]
    composition = Composition(size=(columns, rows), smallest=20, largest=110, empty=0)
    composer = Composer(load_photos("synthetic"), Backgrounds(), composition)
    frames = np.stack([frame for frame, _ in composer.frames(FRAMES, 3)])
    said, furthest = {}, 0.0
    for member, content in files.items():
        own = frames_for(member, frames)
        reference = TFLiteDetector(content, member, reference_kernels=True)
        said[member] = np.stack([reference.raw(frame) for frame in own])
        furthest = max(
            furthest, difference_from(TFLiteDetector(content, member), own, said[member])
        )
    tolerance = round(furthest + ALLOWED_STEPS * STEP, 6)
    if tolerance > MOST_TOLERANCE:
        raise FerEdgeError(
            f"the fast kernels of this machine differ from the reference kernels by {furthest:.2f} "
            "of a number's range, so that a golden set would prove nothing",
            "train with weight decay or longer",
        )
    return pack_golden_frames(frames, said), tolerance


def print_detector_export(result: DetectorExport, *, as_json: bool = False) -> None:
    """Print each size's figures, float against int8, and the gate's warnings."""
    if as_json:
        print(json_text(result.to_dict()))
        return
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    compared = Table(
        title=f"recall at {result.rate:g} false positives a frame, "
        "at the threshold that gives each file so many",
        title_justify="left",
    )
    for name in ("file", "kB", "float", "int8", "drop, points", "landmarks"):
        compared.add_column(name, justify="left" if name == "file" else "right")
    ships = Table(title="int8 at the threshold of the bundle", title_justify="left")
    for name in ("file", "threshold", "recall", "false positives a frame", "an empty frame"):
        ships.add_column(name, justify="left" if name == "file" else "right")
    for each in result.judged:
        figures = each.to_dict(result.rate)
        drop = each.verdict.checks[0].measured
        error = figures["int8"]["landmark_error"]["p50"]
        compared.add_row(
            each.member,
            f"{len(each.int8) / 1000:.0f}",
            f"{figures['float']['recall']['value']:.1%}",
            f"{figures['int8']['recall']['value']:.1%}",
            f"{drop.value:.2f} ({drop.low:.2f} – {drop.high:.2f})",
            number(error),
        )
        found = figures["at_min_score"]
        ships.add_row(
            each.member,
            f"{each.min_score:.3f}",
            f"{found['recall']:.1%}",
            *map(number, found["false_positives"]),
        )
    console.print(compared)
    console.print(ships)
    for each in result.judged:
        for check in each.verdict.warnings:
            console.print(f"[yellow]warning:[/] {check}, the budget is {check.limit:g}")
    console.print(f"bundle: {result.bundle}")
    console.print(f"next: fer-edge run BUNDLE --camera --detector {result.bundle}")
