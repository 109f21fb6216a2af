"""A run folder in, a gated bundle out."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Collection
from importlib import metadata
from pathlib import Path

import numpy as np

import fer_edge
from fer_edge import bundle
from fer_edge.errors import FerEdgeError
from fer_edge.evaluation.calibration import reliability
from fer_edge.export.converters import onnx_model, tflite
from fer_edge.export.converters.isolating import quantizable
from fer_edge.export.converters.micro import Micro, measure_arena
from fer_edge.export.converters.tflite_graph import short_name
from fer_edge.export.findings import Export, Findings, Refusal
from fer_edge.export.formats import DEFAULT, QUANTIZED
from fer_edge.export.judging.budget import Budget
from fer_edge.export.judging.certainty import Certainty, find_certainty
from fer_edge.export.judging.counting import count_instructions
from fer_edge.export.judging.gate import SIZES, Check
from fer_edge.export.judging.layers import explain
from fer_edge.export.judging.measure import (
    Format,
    HeldOut,
    check_enough,
    check_parity,
    hold_out,
    measure,
)
from fer_edge.export.material import Material, prepare
from fer_edge.export.packing import check_replaces, pack
from fer_edge.export.remedies.batch_norm import BatchNorms, check_batch_norms
from fer_edge.export.remedies.ladder import Candidate, Ladder
from fer_edge.export.remedies.ranges import AUTO
from fer_edge.export.showing.page import write_page
from fer_edge.export.source import Source, bundle_name, open_run
from fer_edge.export.targets import Target, wants_micro
from fer_edge.macs import multiply_accumulates

TOOLS = ("keras", "tensorflow", "ai-edge-litert", "tf2onnx", "onnx", "onnxruntime", "numpy")
WORST_LAYERS = 5
"""Shown when the gate refuses."""

Say = Callable[[str], None]
"""Receives a line of progress."""


def export(
    run: Path,
    *,
    budget: Budget,
    data: str | None = None,
    head: str | None = None,
    output: Path = Path("bundles"),
    calibration: int = 350,
    balance: bool = True,
    ranges: str = AUTO,
    ladder: bool = True,
    formats: Collection[str] = DEFAULT,
    target: Target | None = None,
    recalibrate_bn: bool = False,
    report: Path | None = None,
    replace: bool = False,
    say: Say = lambda line: None,
) -> Export:
    """Convert a run's network, hold the int8 models against the float one, write the bundle.

    The test splits have no say in how the int8 models are made until they have refused one; then
    the next remedies are tried, and the findings say which were refused.

    Args:
        run: a finished run folder.
        budget: what int8 may lose.
        data: the dataset's path; None takes the one recorded in the run.
        head: of a run with several; None takes the default one.
        output: folder of the bundle, which is named after the recipe, and after the head where it
            is not the default one.
        calibration: training images for the quantizers.
        balance: as many of each class.
        ranges: one of ``ranges.METHODS``, or ``auto`` to choose when the default does not do.
        ladder: try remedies until the budget is kept.
        formats: models for the bundle, by member; the int8 TFLite is among them.
        target: the board that they are for, whose checks are made.
        recalibrate_bn: estimate the statistics of batch norms anew where they are off.
        report: folder of a page about the export; written whatever the gate says.
        replace: overwrite a bundle of another network that has the same name.
        say: told what is being done.

    Raises:
        Refusal: an int8 model lost more than the budget allows; nothing was written.
        FerEdgeError: the run is not finished, the dataset is another one, too few images are held
            out, a layer cannot be converted, a float export does not compute what Keras does, or
            the bundle would overwrite another network's.
    """
    check_writable(output)
    if report is not None:
        check_writable(report, "--report")
    wants_micro(target, budget)
    if not replace:
        check_replaces(output / f"{bundle_name(run, head)}.fer", run, head)
    say(f"reading {run} and its dataset")
    opened = open_run(run, data, head)
    check_enough(opened, budget)
    source, norms = check_batch_norms(opened, recalibrate=recalibrate_bn, say=say)
    material = prepare(
        source, budget, calibration=calibration, balance=balance, ranges=ranges, say=say
    )
    held_out = hold_out(source)
    climbing = Ladder(material, say, plain=not ladder)
    content, measured, micro = _climb(climbing, material, held_out, formats, target, say)
    certainty = find_certainty(source, held_out, content[bundle.INT8_TFLITE])
    found = _findings(
        source, material, held_out, measured, climbing, norms, target, micro, certainty
    )
    if report is not None:
        say("measuring every layer for the report")
        layers = explain(climbing.best.ranged, material.calibration, material.rehearsal)
        say(f"report: {write_page(found, layers, report)}")
    _refuse_if_failed(found, climbing.best, material.calibration, tried=ladder)
    shipped = {name: content[name] for name in content if name in formats}
    result, faces = pack(found, source, shipped, output)
    if faces:
        say(f"TFLite Micro answers as LiteRT's reference kernels do, on {faces} golden faces")
    return result


def _climb(
    ladder: Ladder,
    material: Material,
    held_out: HeldOut,
    formats: Collection[str],
    target: Target | None,
    say: Say,
) -> tuple[dict[str, bytes], tuple[Format, ...], Micro | None]:
    """Take the ladder's best to the gate, again and again until it passes or nothing is left.

    Returns:
        Every file by its member, what was measured of each, and what TFLite Micro takes.
    """
    budget, calibration = material.budget, material.calibration
    in_micro, micro = wants_micro(target, budget), None
    trained = _trained_files(material, formats)
    check_parity(trained, held_out)
    say(f"quantizing with {len(calibration)} training images, {material.rehearsal}")
    while ladder.climb():
        content = trained | _int8_files(ladder.best, calibration, formats)
        if in_micro:
            micro = measure_arena(content[bundle.INT8_TFLITE])
            say(f"{bundle.INT8_TFLITE} takes {micro}")
        say(f"measuring on {len(held_out.dataset):,} images of {', '.join(held_out.splits)}")
        measured = measure(content, held_out, budget, micro.arena_bytes if micro else None)
        failed = [
            check
            for name, checks in _failed(measured).items()
            if name in QUANTIZED
            for check in checks
        ]
        # no remedy makes a file or an arena smaller
        if ladder.plain or not failed or _too_large(measured):
            break
        ladder.refused()
        say(f"the gate refused it: {'; '.join(dict.fromkeys(map(str, failed)))}; climbing on")
    return content, measured, micro


def _findings(
    source: Source,
    material: Material,
    held_out: HeldOut,
    measured: tuple[Format, ...],
    ladder: Ladder,
    norms: BatchNorms | None,
    target: Target | None,
    micro: Micro | None,
    certainty: Certainty | None,
) -> Findings:
    reference, unleaked = held_out.reports(held_out.reference)
    who = held_out.dataset.subjects
    return Findings(
        name=source.name,
        description=" ".join(source.description.split()),
        dataset=source.roles,
        splits=held_out.splits,
        persons=None if who is None else len(np.unique(who)),
        reference=reference,
        reference_unleaked=unleaked,
        reference_reliability=reliability(
            held_out.reference[held_out.own], held_out.dataset.targets[held_out.own]
        ),
        formats=measured,
        budget=material.budget,
        precision=source.precision,
        macs=multiply_accumulates(material.folded),
        folded=material.batch_norms,
        calibration_images=len(material.calibration),
        climb=ladder.summary(),
        batch_norms=norms,
        target=None if target is None else target.name,
        micro=micro,
        head=source.head,
        base=source.base,
        truth=source.truth,
        temperature=source.temperature,
        logit_adjustment=source.logit_adjustment,
        instructions=count_instructions(source, mixed=bool(ladder.best.float_layers)),
        certainty=certainty,
        tools=tool_versions(),
    )


def _trained_files(material: Material, formats: Collection[str]) -> dict[str, bytes]:
    """Of the trained network itself; the float TFLite always, since all are timed against it."""
    files = {bundle.FLOAT_TFLITE: material.exact}
    if bundle.FLOAT_ONNX in formats:
        files[bundle.FLOAT_ONNX] = onnx_model.to_float32(material.exact)
    if bundle.FLOAT16_TFLITE in formats:
        files[bundle.FLOAT16_TFLITE] = tflite.to_float16(material.folded)
    if bundle.DYNAMIC_TFLITE in formats:
        files[bundle.DYNAMIC_TFLITE] = tflite.to_dynamic_range(material.folded)
    return files


def _int8_files(best: Candidate, images: np.ndarray, formats: Collection[str]) -> dict[str, bytes]:
    # only now: the remedies find a layer by its tensor's name
    files = {bundle.INT8_TFLITE: tflite.compacted(best.int8)}
    if bundle.INT8_ONNX in formats:
        # of the network that was quantized: its channels may be rescaled, its weights fine-tuned
        source = onnx_model.to_float32(tflite.to_float32(best.network))
        files[bundle.INT8_ONNX] = onnx_model.to_int8(
            source, images, best.ranges, keep_float=best.float_kernels
        )
    return files


def _failed(formats: tuple[Format, ...]) -> dict[str, tuple[Check, ...]]:
    """The checks that files did not pass, by file."""
    return {
        each.name: each.verdict.failures
        for each in formats
        if each.verdict and not each.verdict.passed
    }


def _too_large(formats: tuple[Format, ...]) -> bool:
    return any(each.verdict.too_large for each in formats if each.verdict)


def check_writable(folder: Path, option: str = "-o") -> None:
    """Refuse at once what would fail after minutes of work; makes nothing."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        what = "cannot be written to" if there.is_dir() else "is not a folder"
        raise FerEdgeError(
            f"cannot write into {folder}: {there} {what}", f"choose another with {option}"
        )


def _refuse_if_failed(
    found: Findings, candidate: Candidate, images: np.ndarray, *, tried: bool = True
) -> None:
    failed = _failed(found.formats)
    if not failed:
        return
    lines = [
        f"  {name}: {check}, the budget is {check.limit:g}"
        for name, checks in failed.items()
        for check in checks
    ]
    int8_failed = [check.what for name in QUANTIZED for check in failed.get(name, ())]
    if not set(int8_failed) <= set(SIZES):
        lines += ["layers that lose the most (signal over quantization noise, in decibels):"]
        names = {each.name: each.layer for each in quantizable(candidate.ranged)}
        lines += [
            f"  {decibels:5.1f} dB  {names.get(tensor) or short_name(tensor)}"
            for tensor, decibels in tflite.layer_errors(candidate.ranged, images)[:WORST_LAYERS]
        ]
    refused = "the int8 model" if int8_failed else ", ".join(failed)
    raise Refusal(
        "\n".join([f"the gate refused {refused}; no bundle was written", *lines]),
        _what_to_do(failed, found, tried=tried),
        found.to_dict(),
    )


def _what_to_do(failed: dict[str, tuple[Check, ...]], found: Findings, *, tried: bool) -> str:
    norms = found.batch_norms
    if bundle.INT8_TFLITE not in failed:
        if found.target:
            # which names the files: none can be left out
            return (
                f"the int8 TFLite passed: ship it alone, with --slim in place of "
                f"--target {found.target}"
            )
        return (
            f"the int8 TFLite passed: leave out {', '.join(failed)}, or ship it alone with --slim"
        )
    if {check.what for checks in failed.values() for check in checks} <= set(SIZES):
        return "train a narrower network, or allow more with --budget FILE"
    first = []
    if not tried:
        first.append("leave out --no-ladder, without which remedies are tried")
    if norms is not None and not norms.sound and not norms.estimated_on:
        first.append("estimate the batch norms anew with --recalibrate-bn")
    return "; ".join(
        [
            *first,
            "see with --explain which layer it is",
            "try more calibration images (--calibration), train with weight decay or longer, put "
            "batch norm before the ReLU, or allow more with --budget FILE",
        ]
    )


def tool_versions() -> dict[str, str]:
    """Names and versions of what makes a bundle."""
    versions = {"fer-edge": fer_edge.__version__, "python": platform.python_version()}
    for name in TOOLS:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions
