"""Findings and files that passed the gate, packed into a bundle that proves itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fer_edge import bundle
from fer_edge.bundle.shapes import MOST_TOLERANCE
from fer_edge.errors import FerEdgeError
from fer_edge.evaluation.metrics import Report
from fer_edge.export.converters.micro import check_answers
from fer_edge.export.findings import Export, Findings
from fer_edge.export.judging.golden import golden_set
from fer_edge.export.showing.model_card import model_card
from fer_edge.export.source import Source, read_recipe
from fer_edge.face import HAAR
from fer_edge.files import sha256
from fer_edge.subject import find_head, read_run


def pack(
    found: Findings,
    source: Source,
    content: Mapping[str, bytes],
    output: Path,
) -> tuple[Export, int]:
    """Record the golden set, write manifest and model card, and the bundle, whole or not at all.

    Args:
        found: what was measured.
        source: the run that it was measured of.
        content: the models to ship, by member; the int8 TFLite is among them.
        output: folder of the bundle, which is named after the recipe.

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
    bundle.write_bundle(
        path,
        _manifest(found, source, tolerance),
        {**content, bundle.GOLDEN: golden, bundle.MODEL_CARD: card},
    )
    return Export(**vars(found), bundle=path), in_micro


def check_replaces(path: Path, run: Path, head: str | None = None) -> None:
    """Refuse at once to overwrite a bundle of another network; one of the same run may go.

    Raises:
        FerEdgeError: the file holds something else than an earlier export of this run.
    """
    if not path.exists():
        return
    hint = "-o FOLDER keeps both, --replace overwrites it"
    try:
        manifest = bundle.open_bundle(path, keys=()).manifest
    except FerEdgeError as error:
        raise FerEdgeError(f"{path} is there and is no bundle that can be read", hint) from error
    # a bundle of before this was recorded is known by its recipe and dataset
    known = manifest.recipe.get("network")
    of_this_run = (
        known == sha256(find_head(run, head))
        if known
        else manifest.recipe.get("sha256") == read_recipe(run)[1]
        and manifest.dataset.get("fingerprint") == read_run(run)["fingerprint"]
    )
    if not of_this_run:
        raise FerEdgeError(f"{path} holds another network", hint)


def _manifest(found: Findings, source: Source, tolerance: float) -> bundle.Manifest:
    judged = [each for each in found.formats if each.verdict]

    def figures(report: Report | None) -> dict[str, Any] | None:
        return None if report is None else report.to_dict()

    return bundle.Manifest(
        name=found.name,
        labels=source.dataset.labels,
        crop=HAAR,
        golden_tolerance=tolerance,
        recipe={
            "name": found.name,
            "sha256": source.recipe_sha256,
            "network": source.network_sha256,
            **_origin(found),
        },
        dataset={**found.dataset, "truth": found.truth},
        metrics={
            "splits": list(found.splits),
            **({} if found.persons is None else {"persons": found.persons}),
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
