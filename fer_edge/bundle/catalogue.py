"""The models that come with the package, with the figures that their manifests hold."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fer_edge.bundle.opening import INT8_TFLITE, Bundle, open_bundle
from fer_edge.bundle.report import signature_facts
from fer_edge.files import sha256


@dataclass(frozen=True)
class Entry:
    """One shipped model; figures are of the int8 TFLite on the held-out split.

    Attributes:
        name: what commands take.
        path: of the bundle.
        model_bytes: of the int8 TFLite.
        macs: multiply-accumulates of one inference; None where an older export did not count.
        judged_by: ``labels`` or ``FER+ majority``, on so many ``images`` of the ``splits``.
        accuracy, macro_f1, calibration_error: estimates, ``value``, ``low`` and ``high`` in 0..1.
        min_confidence: under which an answer is called uncertain.
        sha256: of the bundle; the same as ``bundle_sha256``.
        bundle_bytes, bundle_sha256: of the bundle's file.
        model_sha256: of the int8 TFLite in it, which ``run`` and ``bench`` tell of a model.
        signed_by: id of the key; None where nobody signed. Not checked here.
    """

    name: str
    path: str
    model_bytes: int
    macs: int | None
    judged_by: str
    splits: tuple[str, ...]
    images: int | None
    accuracy: dict[str, float] | None
    macro_f1: dict[str, float] | None
    calibration_error: dict[str, float] | None
    min_confidence: float | None
    sha256: str
    bundle_bytes: int
    bundle_sha256: str
    model_sha256: str
    signed_by: str | None


def catalogue(models: Mapping[str, Path]) -> list[Entry]:
    """Read the manifests of bundles, by name.

    Raises:
        FerEdgeError: one of them is damaged.
    """
    return [_entry(name, open_bundle(path, keys=())) for name, path in models.items()]


def print_catalogue(entries: list[Entry], *, as_json: bool = False) -> None:
    """Print a row a model, or what to do where there is none."""
    if as_json:
        print(json.dumps([asdict(each) for each in entries], indent=2))
        return
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    if not entries:
        console.print(
            "no models come with this installation; make one with: fer-edge train edge-small"
        )
        return
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("name", no_wrap=True)
    for column in ("model", "MACs", "accuracy", "F1", "ECE"):
        table.add_column(column, justify="right", no_wrap=True)
    for column in ("by", "bundle", "key"):
        table.add_column(column, no_wrap=True)
    for each in entries:
        table.add_row(
            each.name,
            f"{each.model_bytes / 1000:,.0f}",
            "–" if each.macs is None else f"{each.macs / 1e6:,.0f}M",
            f"{_percent(each.accuracy)}{_half(each.accuracy)}",
            _percent(each.macro_f1),
            _percent(each.calibration_error),
            "labels" if each.judged_by == "labels" else "votes",
            each.sha256[:8],
            each.signed_by[:4] if each.signed_by else "–",
        )
    console.print(table)
    console.print(
        "int8 on the held-out split, in percent, by labels or by the majority of FER+'s\n"
        "votes; ±: half of the 95% interval; F1: macro; ECE: expected calibration error;\n"
        "model: kB of the int8 TFLite alone; bundle: the first digits of the whole file's\n"
        "SHA-256; key: those of who signed it\n"
        "more: fer-edge bundle show NAME"
    )


def _entry(name: str, bundle: Bundle) -> Entry:
    manifest = bundle.manifest
    int8: dict[str, Any] = manifest.metrics.get("int8") or {}
    signature = signature_facts(bundle)
    digest = sha256(bundle.path)
    macs = manifest.export.get("multiply_accumulates")
    return Entry(
        name=name,
        path=str(bundle.path),
        model_bytes=bundle.content.size(INT8_TFLITE),
        macs=macs if isinstance(macs, int) else None,
        judged_by=manifest.dataset.get("truth", "labels"),
        splits=tuple(manifest.metrics.get("splits", ())),
        images=int8.get("images"),
        accuracy=int8.get("accuracy"),
        macro_f1=int8.get("macro_f1"),
        calibration_error=int8.get("calibration_error"),
        min_confidence=manifest.min_confidence,
        sha256=digest,
        bundle_bytes=bundle.path.stat().st_size,
        bundle_sha256=digest,
        model_sha256=manifest.files[INT8_TFLITE],
        signed_by=None if signature is None else signature["key"],
    )


def _percent(estimate: dict[str, float] | None) -> str:
    if estimate is None:
        return "–"
    return f"{100 * estimate['value']:.1f}"


def _half(estimate: dict[str, float] | None) -> str:
    if estimate is None:
        return ""
    return f" ±{50 * (estimate['high'] - estimate['low']):.1f}"
