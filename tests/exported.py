"""What a user has after ``fer-edge train`` and ``fer-edge export``, made small and for real."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fer_edge.bundle import DYNAMIC_TFLITE, FLOAT16_TFLITE
from fer_edge.chatter import import_keras
from fer_edge.data.dataset import Dataset
from fer_edge.data.packed import write_packed
from fer_edge.labels import LABELS

if TYPE_CHECKING:
    from fer_edge.export.findings import Export

LEAKS = 12
"""Test pictures that were trained on."""
MISLABELLED = 9
"""Test pictures with a wrong label, so that no model is right on all."""

RECIPE = """
name = "blobs"
description = "Bright blobs"
[data]
validation = ["PublicTest"]
[model]
name = "compact"
width = 4
[fit]
epochs = 3
batch_size = 16
learning_rate = 0.02
label_smoothing = 0.3 # so that probabilities are other than 0 and 1
mixed_precision = "off"
"""


@dataclass(frozen=True)
class Exported:
    """A packed dataset, the run trained on it, and the bundle exported from that."""

    data: Path
    dataset: Dataset
    run: Path
    bundle: Path
    result: Export


def copied_run(exported: Exported, folder: Path) -> Path:
    """A copy of the run that a test may spoil."""
    run = folder / "run"
    run.mkdir()
    for name in ("model.keras", "recipe.toml", "data.json", "metrics.json"):
        shutil.copy(exported.run / name, run / name)
    return run


def broken_run(exported: Exported, folder: Path, offset: float = 200) -> Path:
    """A run whose network suits float and not int8: all its last features lie around ``offset``.

    The last bias takes that back. In int8 one step of the features is as large as what they tell,
    in every channel alike, so that no rescaling of channels helps.
    """
    run = copied_run(exported, folder)
    keras = import_keras()
    network = keras.models.load_model(run / "model.keras", compile=False)
    norm, logits = network.get_layer("bn4"), network.get_layer("logits")
    norm.beta.assign(np.array(norm.beta) + offset)
    logits.bias.assign(np.array(logits.bias) - offset * np.array(logits.kernel).sum(axis=0))
    network.save(run / "model.keras")
    return run


def listing(folder: Path) -> list[str]:
    """Every file and folder in a folder, by its path."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def train_and_export(dataset: Dataset, folder: Path) -> Exported:
    """Plant leaks and wrong labels in a dataset's test split; pack, train and export it."""
    import_keras()
    from fer_edge.export.exporter import export
    from fer_edge.export.formats import DEFAULT
    from fer_edge.export.judging.budget import Budget
    from fer_edge.train.run import train

    faces, targets = dataset.faces.copy(), dataset.targets.copy()
    test = np.flatnonzero(dataset.splits == "PrivateTest")
    faces[test[:LEAKS]], targets[test[:LEAKS]] = faces[:LEAKS], targets[:LEAKS]
    targets[test[-MISLABELLED:]] = (targets[test[-MISLABELLED:]] + 1) % len(LABELS)
    leaky = replace(dataset, faces=faces, targets=targets)
    data, recipe = folder / "blobs.npz", folder / "blobs.toml"
    write_packed(leaky, data)
    recipe.write_text(RECIPE)
    run = train(str(recipe), str(data), output=folder / "run").folder
    result = export(
        run,
        budget=Budget(),
        output=folder / "bundles",
        calibration=70,
        formats=(*DEFAULT, FLOAT16_TFLITE, DYNAMIC_TFLITE),
    )
    return Exported(data, leaky, run, result.bundle, result)
