"""What a model bears: its accuracy on held-out faces that were blurred, moved or darkened."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Unpack

from fer_edge.bundle import FLOAT_TFLITE, INT8_TFLITE, open_bundle
from fer_edge.data.dataset import Dataset
from fer_edge.errors import require_extra
from fer_edge.evaluation.classifier import Judging, check_labels, check_numbers, open_judged
from fer_edge.evaluation.distortions import Distortion, distortions
from fer_edge.evaluation.metrics import Estimate, drop, report
from fer_edge.runtime import Model, load_model
from fer_edge.subject import Subject

SEED = 0
"""Of whatever is drawn for a face."""
CLEAN = "as they are"


@dataclass(frozen=True)
class Row:
    """One model on faces changed in one way.

    Attributes:
        kind, strength: of the change; ``as they are`` and nothing for none.
        model: ``float`` or ``int8``.
        accuracy, macro_f1: in 0..1.
        lost: accuracy lost against the same model on the same faces unchanged, paired, in 0..1.
    """

    kind: str
    strength: str
    model: str
    accuracy: Estimate
    macro_f1: Estimate
    lost: Estimate


@dataclass(frozen=True)
class Robustness:
    """Every model under every change.

    Attributes:
        splits: whose faces.
        images: how many.
        truth: what they were judged by.
        rows: by change, then by model.
        note: for people, where the truth is not what the model has learned.
    """

    splits: tuple[str, ...]
    images: int
    truth: str
    rows: tuple[Row, ...]
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


def robustness_path(
    path: Path | str,
    data: str | None,
    splits: Sequence[str] = (),
    **how: Unpack[Judging],
) -> Robustness:
    """Measure a run folder, a bundle or a model file; arguments as those of ``evaluate_path``.

    Of a bundle that holds a float model too, both are measured.

    Raises:
        FerEdgeError: as ``evaluate_path``, OpenCV is missing, or a model gives no numbers.
    """
    require_extra("cv2", "device")
    judged = open_judged(path, data, splits, **how)
    models = _models(judged.subject)
    for model in models.values():
        check_labels(model, judged.dataset, judged.subject.labels)
    held_out = judged.dataset.select(judged.splits)
    rows = measure(models, held_out, distortions())
    return Robustness(judged.splits, len(held_out), judged.truth, rows, judged.note)


def measure(
    models: Mapping[str, Model], held_out: Dataset, changes: Iterable[Distortion]
) -> tuple[Row, ...]:
    """Ask every model about the faces as they are and under each change.

    Raises:
        FerEdgeError: a model gives no numbers.
    """
    targets, labels, who = held_out.targets, held_out.labels, held_out.subjects
    clean = {name: model.probabilities(held_out.faces) for name, model in models.items()}

    def row(kind: str, strength: str, name: str, said: Any) -> Row:
        check_numbers(said)
        figures = report(said, targets, labels, subjects=who)
        lost = drop(clean[name], said, targets, labels, subjects=who).accuracy
        return Row(kind, strength, name, figures.accuracy, figures.macro_f1, lost)

    rows = [row(CLEAN, "", name, said) for name, said in clean.items()]
    for change in changes:
        faces = change.apply(held_out.faces, SEED)
        rows += [
            row(change.kind, change.strength, name, model.probabilities(faces))
            for name, model in models.items()
        ]
    return tuple(rows)


def print_robustness(found: Robustness, *, as_json: bool = False) -> None:
    """Print a line a change, with what it costs in points of accuracy."""
    if as_json:
        print(json.dumps(found.to_dict(), indent=2))
        return
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    names = list(dict.fromkeys(row.model for row in found.rows))
    title = f"{', '.join(found.splits)}, {found.images:,} images, by {found.truth}"
    # rich would take brackets in names of one's own for markup
    table = Table(title=escape(title), title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("faces", no_wrap=True)
    for name in names:
        table.add_column(escape(name), justify="right", no_wrap=True)
        table.add_column("lost, points", justify="right", no_wrap=True)
    by_change: dict[str, list[Row]] = {}
    for row in found.rows:
        by_change.setdefault(f"{row.kind} {row.strength}".strip(), []).append(row)
    for change, rows in by_change.items():
        cells = []
        for row in rows:
            lost = row.lost
            interval = f"{100 * lost.value:.1f} ({100 * lost.low:.1f} – {100 * lost.high:.1f})"
            cells += [f"{row.accuracy.value:.1%}", "" if row.kind == CLEAN else interval]
        table.add_row(change, *cells)
    console = Console(highlight=False)
    console.print(table)
    console.print("lost: against the same faces as they are, with its paired 95% interval")
    if found.note:
        console.print(f"[yellow]note:[/] {escape(found.note)}")


def _models(subject: Subject) -> dict[str, Model]:
    threads = os.cpu_count() or 1
    if subject.source.suffix == ".fer":
        bundle = open_bundle(subject.source)
        members = {"float": FLOAT_TFLITE, "int8": INT8_TFLITE}
        return {
            name: load_model(bundle.read(member), threads=threads)
            for name, member in members.items()
            if member in bundle.content
        }
    name = "float" if subject.source.is_dir() else subject.source.name
    return {name: load_model(subject.model, threads=threads)}
