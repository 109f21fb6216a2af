"""Findings and files that passed the gate, packed into a bundle that proves itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fer_edge import bundle
from fer_edge.bundle.shapes import MOST_TOLERANCE
from fer_edge.errors import FerEdgeError
from fer_edge.export.converters.micro import check_answers
from fer_edge.export.findings import Export, Findings
from fer_edge.export.judging.golden import golden_set
from fer_edge.export.showing.model_card import model_card
from fer_edge.export.source import Source
from fer_edge.face import HAAR
from fer_edge.metrics import Report


def pack(
    found: Findings,
    source: Source,
    content: Mapping[str, bytes],
    output: Path,
    say: Callable[[str], None] = lambda line: None,
) -> tuple[Export, int]:
    """Record the golden set, write manifest and model card, and the bundle, whole or not at all.

    Args:
        found: what was measured.
        source: the run that it was measured of.
        content: the models to ship, by member; the int8 TFLite is among them.
        output: folder of the bundle, which is named after the recipe.
        say: told where another network's bundle is replaced.

    Returns:
        The export, and how many golden faces TFLite Micro was asked about.

    Raises:
        FerEdgeError: the golden set would prove nothing, TFLite Micro answers otherwise, or the
            bundle cannot be written.
    """
    int8 = content[bundle.INT8_TFLITE]
    golden, tolerance = golden_set(int8, content.get(bundle.INT8_ONNX))
    _check_tolerance(tolerance)
    in_micro = 0 if found.micro is None else check_answers(int8, golden)
    card = model_card(source, found).encode()
    path = output / f"{found.name}.fer"
    replaces = holds_another(path, int8)
    bundle.write_bundle(
        path,
        _manifest(found, source, tolerance),
        {**content, bundle.GOLDEN: golden, bundle.MODEL_CARD: card},
    )
    if replaces:
        say(replaced(path))
    return Export(**vars(found), bundle=path), in_micro


def holds_another(path: Path, int8: bytes) -> bool:
    """Whether a file is there that is no bundle of this int8 TFLite."""
    if not path.exists():
        return False
    try:
        return bundle.open_bundle(path, keys=()).read(bundle.INT8_TFLITE) != int8
    except FerEdgeError:
        return True


def replaced(path: Path) -> str:
    """What people are told where ``holds_another`` was true of a bundle that was written."""
    return f"replaced {path}, which held another network; -o FOLDER keeps both"


def _manifest(found: Findings, source: Source, tolerance: float) -> bundle.Manifest:
    judged = [each for each in found.formats if each.verdict]

    def figures(report: Report | None) -> dict[str, Any] | None:
        return None if report is None else report.to_dict()

    return bundle.Manifest(
        name=found.name,
        labels=source.dataset.labels,
        crop=HAAR,
        golden_tolerance=tolerance,
        recipe={"name": found.name, "sha256": source.recipe_sha256, **_origin(found)},
        dataset={**found.dataset, "truth": found.truth},
        metrics={
            "splits": list(found.splits),
            "float": figures(found.reference),
            "float_unleaked": figures(found.reference_unleaked),
            "int8": figures(found.int8.whole),
            "int8_unleaked": figures(found.int8.unleaked),
            "drop": {each.name: each.drop.to_dict() for each in judged},
            "drop_unleaked": {
                each.name: each.drop_unleaked.to_dict() for each in judged if each.drop_unleaked
            },
        },
        gate={
            "budget": found.budget.model_dump(),
            **{each.name: each.verdict.to_dict() for each in judged if each.verdict},
        },
        export=found.making,
        tools=found.tools,
        description=found.description,
        uncertain={} if found.certainty is None else found.certainty.to_dict(),
    )


def _origin(found: Findings) -> dict[str, Any]:
    origin: dict[str, Any] = {} if found.head is None else {"head": found.head}
    return origin if found.base is None else origin | {"base": found.base.to_dict()}


def _check_tolerance(tolerance: float) -> None:
    if tolerance > MOST_TOLERANCE:
        raise FerEdgeError(
            f"the fast kernels of this machine may differ from the reference kernels by "
            f"{tolerance:.2f} in a probability, so that a golden set would prove nothing",
            "train with weight decay or longer, so that the network's answers are steadier",
        )
