"""A run folder in, a gated bundle out."""

from __future__ import annotations

import hashlib
import platform
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import keras
import numpy as np

import fer_edge
from fer_edge import bundle
from fer_edge.data import load_dataset
from fer_edge.data.dataset import Dataset
from fer_edge.errors import FerEdgeError, GateRefused
from fer_edge.evaluate import ROLES, as_trained, leaked_mask, read_run
from fer_edge.export import onnx_model, tflite
from fer_edge.export.budget import Budget
from fer_edge.export.calibration import calibration_images
from fer_edge.export.folding import fold_batch_norms
from fer_edge.export.gate import Verdict, judge
from fer_edge.export.golden import golden_set
from fer_edge.export.model_card import model_card
from fer_edge.export.timing import Latency, compare_latency
from fer_edge.face import HAAR
from fer_edge.metrics import Drop, Report, drop, report
from fer_edge.runtime import load_model

PARITY = 1e-4
"""Largest difference in probability between Keras and a float export."""
PARITY_IMAGES = 256
TOOLS = ("keras", "tensorflow", "ai-edge-litert", "tf2onnx", "onnx", "onnxruntime", "numpy")

Say = Callable[[str], None]
"""Receives a line of progress."""


@dataclass(frozen=True)
class Format:
    """One exported file: its figures on the held-out split and against the float Keras model.

    Attributes:
        name: member of the bundle, such as ``model.int8.tflite``.
        size: bytes.
        whole, unleaked: figures on all held-out images and on those that training never saw.
        drop: against the float model, on all held-out images.
        verdict: of the gate; None for a float format.
        latency: single-thread, for one face.
    """

    name: str
    size: int
    whole: Report
    unleaked: Report | None
    drop: Drop
    verdict: Verdict | None
    latency: Latency


@dataclass(frozen=True)
class Export:
    """What an export measured.

    Attributes:
        bundle: the file written.
        reference: the float32 Keras model with its batch norms, on all held-out images.
        formats: the exported files.
        folded: batch norms folded by ``fold_batch_norms``.
        calibration_images: how many the quantizer saw.
    """

    bundle: Path
    reference: Report
    formats: tuple[Format, ...]
    folded: int
    calibration_images: int

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "bundle": str(self.bundle),
            "reference": self.reference.to_dict(),
            "folded_batch_norms": self.folded,
            "calibration_images": self.calibration_images,
            "formats": [asdict(each) for each in self.formats],
        }


@dataclass(frozen=True)
class _HeldOut:
    """The images that decide, and what the float model says of them."""

    dataset: Dataset
    splits: tuple[str, ...]
    clean: np.ndarray
    reference: np.ndarray


def export(
    run: Path,
    *,
    budget: Budget,
    data: str | None = None,
    output: Path = Path("bundles"),
    calibration: int = 350,
    slim: bool = False,
    say: Say = lambda line: None,
) -> Export:
    """Convert a run's network, hold the int8 models against the float one, write the bundle.

    Args:
        run: a finished run folder.
        budget: what int8 may lose.
        data: the dataset's path; None takes the one recorded in the run.
        output: folder of the bundle, which is named after the recipe.
        calibration: training images for the quantizers, balanced over the classes.
        slim: leave the float and ONNX models out of the bundle.
        say: told what is being done.

    Raises:
        GateRefused: an int8 model lost more than the budget allows; nothing was written.
        FerEdgeError: the run is not finished, the dataset is another one, a layer cannot be
            converted, or a float export does not compute what Keras does.
    """
    described = read_run(run)
    recipe, recipe_sum = _read_recipe(run)
    network = _float32_network(run / "model.keras")
    say("reading the dataset")
    dataset = _same_dataset(data or described["path"], described)
    images = calibration_images(dataset, described["train"], calibration)
    folded, count = fold_batch_norms(network)
    say(f"converting ({count} batch norms folded behind a ReLU)")
    content = _convert(folded, images, say)
    say("measuring on the held-out split")
    held_out = _held_out(network, dataset, described)
    _check_parity(content, held_out)
    formats = _measure(content, held_out, budget)
    _refuse_if_failed(formats, folded, images)
    golden, tolerance = golden_set(content[bundle.INT8_TFLITE])
    int8 = next(each for each in formats if each.name == bundle.INT8_TFLITE)
    reference = report(held_out.reference, held_out.dataset.targets, dataset.labels)
    known = {key: described[key] for key in ("name", *ROLES)}
    manifest = bundle.Manifest(
        name=recipe["name"],
        labels=dataset.labels,
        crop=HAAR,
        golden_tolerance=tolerance,
        recipe={"name": recipe["name"], "sha256": recipe_sum},
        dataset=known,
        metrics={
            "splits": list(held_out.splits),
            "float": reference.to_dict(),
            "int8": int8.whole.to_dict(),
            "int8_unleaked": int8.unleaked.to_dict() if int8.unleaked else {},
            "drop": int8.drop.to_dict(),
        },
        gate={
            "budget": budget.model_dump(),
            **{each.name: each.verdict.to_dict() for each in formats if each.verdict},
        },
        tools=_tools(),
    )
    card = model_card(
        recipe["name"],
        recipe.get("description", ""),
        known,
        held_out.splits,
        int8.whole,
        int8.unleaked,
    )
    shipped = {bundle.INT8_TFLITE} if slim else set(content)
    target = output / f"{recipe['name']}.fer"
    bundle.write_bundle(
        target,
        manifest,
        {
            **{name: data for name, data in content.items() if name in shipped},
            bundle.GOLDEN: golden,
            bundle.MODEL_CARD: card.encode(),
        },
    )
    return Export(target, reference, formats, count, len(images))


def newest_run(folder: Path = Path("runs")) -> Path:
    """The run folder whose model was written last.

    Raises:
        FerEdgeError: there is none.
    """
    models = list(folder.glob("*/model.keras"))
    if not models:
        raise FerEdgeError(
            f"there is no finished run in ./{folder}", "train one first, or name a run folder"
        )
    return max(models, key=lambda path: path.stat().st_mtime).parent


def _read_recipe(run: Path) -> tuple[dict[str, Any], str]:
    try:
        text = (run / "recipe.toml").read_text(encoding="utf-8")
        recipe = tomllib.loads(text)
        recipe["name"]
    except (OSError, ValueError, KeyError) as error:
        raise FerEdgeError(
            f"{run} is not a run folder: its recipe.toml cannot be read", "train again"
        ) from error
    return recipe, hashlib.sha256(text.encode()).hexdigest()


def _float32_network(path: Path) -> keras.Model:
    network: keras.Model = load_model(path).network  # type: ignore[attr-defined]
    for layer in network.layers:
        if layer.compute_dtype != "float32":
            raise FerEdgeError(
                f"{path}: layer {layer.name} computes in {layer.compute_dtype}, not float32",
                "export the model.keras of a run folder: fer-edge train writes it in float32",
            )
    return network


def _same_dataset(path: str, described: dict[str, Any]) -> Dataset:
    dataset = load_dataset(path)
    fingerprint = dataset.fingerprint()
    if fingerprint != described["fingerprint"]:
        raise FerEdgeError(
            f"the run was trained on another dataset than {path} (fingerprint "
            f"{described['fingerprint'][:12]}, this one has {fingerprint[:12]})",
            f"give the dataset '{described['name']}' of the training with --data PATH",
        )
    return as_trained(dataset, described)


def _convert(network: keras.Model, images: np.ndarray, say: Say) -> dict[str, bytes]:
    float_tflite = tflite.to_float32(network)
    float_onnx = onnx_model.to_float32(float_tflite)
    say(f"quantizing with {len(images)} training images")
    return {
        bundle.FLOAT_TFLITE: float_tflite,
        bundle.INT8_TFLITE: tflite.to_int8(network, images),
        bundle.FLOAT_ONNX: float_onnx,
        bundle.INT8_ONNX: onnx_model.to_int8(float_onnx, images),
    }


def _held_out(network: keras.Model, dataset: Dataset, described: dict[str, Any]) -> _HeldOut:
    splits = tuple(described["test"])
    selected = dataset.select(splits)
    reference = network.predict(selected.faces[..., None], batch_size=128, verbose=0)
    clean = ~leaked_mask(dataset, described["train"], splits)
    return _HeldOut(selected, splits, clean, reference)


def _check_parity(content: Mapping[str, bytes], held_out: _HeldOut) -> None:
    faces = held_out.dataset.faces[:PARITY_IMAGES]
    for name in (bundle.FLOAT_TFLITE, bundle.FLOAT_ONNX):
        difference = np.abs(
            load_model(content[name]).probabilities(faces) - held_out.reference[: len(faces)]
        ).max()
        if not difference <= PARITY:
            raise FerEdgeError(
                f"{name} does not compute what Keras does: a probability differs by "
                f"{difference:.2g}, {PARITY:g} is allowed",
                "a layer is converted wrongly; report it with the recipe",
            )


def _measure(
    content: Mapping[str, bytes], held_out: _HeldOut, budget: Budget
) -> tuple[Format, ...]:
    models = {name: load_model(data) for name, data in content.items()}
    dataset, clean = held_out.dataset, held_out.clean
    latency = compare_latency(models, dataset.faces[:1, ..., None])
    images = {
        label: int((dataset.targets == index).sum()) for index, label in enumerate(dataset.labels)
    }
    formats = []
    for name, model in models.items():
        said = model.probabilities(dataset.faces)
        lost = drop(held_out.reference, said, dataset.targets, dataset.labels)
        unleaked = (
            report(said[clean], dataset.targets[clean], dataset.labels) if clean.any() else None
        )
        formats.append(
            Format(
                name=name,
                size=len(content[name]),
                whole=report(said, dataset.targets, dataset.labels),
                unleaked=unleaked,
                drop=lost,
                verdict=judge(lost, images, budget) if "int8" in name else None,
                latency=latency[name],
            )
        )
    return tuple(formats)


def _refuse_if_failed(
    formats: tuple[Format, ...], network: keras.Model, images: np.ndarray
) -> None:
    failed = [each for each in formats if each.verdict and not each.verdict.passed]
    if not failed:
        return
    lines = [
        f"{each.name}: {check.what} {check.measured.value:.2f}, the budget is {check.limit:g}"
        for each in failed
        for check in each.verdict.failures  # type: ignore[union-attr]
    ]
    worst = [
        f"  {error:5.2f} steps  {name}" for name, error in tflite.layer_errors(network, images)[:5]
    ]
    raise GateRefused(
        "the gate refused the int8 model; no bundle was written\n"
        + "\n".join(lines)
        + "\nlayers that lose the most (error in quantization steps; rounding alone is 0.29):\n"
        + "\n".join(worst),
        "try more calibration images (--calibration), train with weight decay or longer, put batch "
        "norm before the ReLU, or allow more with --budget FILE",
    )


def _tools() -> dict[str, str]:
    versions = {"fer-edge": fer_edge.__version__, "python": platform.python_version()}
    for name in TOOLS:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions
