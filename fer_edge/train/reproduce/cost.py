"""What a network costs: parameters, multiply-accumulates, and a training time to expect."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from fer_edge.data.dataset import Dataset
from fer_edge.data.sampling import oversample
from fer_edge.macs import multiply_accumulates
from fer_edge.train.fit import build_trainer
from fer_edge.train.models import build_model
from fer_edge.train.recipe import Recipe

PROBE_STEPS = 6
"""Training steps behind an estimate when no epoch was trained yet."""


@dataclass(frozen=True)
class Cost:
    """Of one experiment.

    Attributes:
        parameters: of the network, trainable or not.
        macs: multiply-accumulates of one inference, of convolutions and dense layers.
        training_macs: the same over all faces and epochs of the training, forward only.
    """

    parameters: int
    macs: int
    training_macs: int


def cost(recipe: Recipe, training_faces: int, classes: int) -> Cost:
    """Count a recipe's network."""
    network = build_model(recipe.model.name, classes, recipe.model.options)
    each = multiply_accumulates(network)
    return Cost(network.count_params(), each, each * training_faces * recipe.fit.epochs)


def training_faces(recipe: Recipe, dataset: Dataset) -> int:
    """How many faces an epoch goes through."""
    table = recipe.data
    if table.division is None:
        training = dataset.select(table.train)
        return len(oversample(training, 0) if table.oversample == "training" else training)
    counts = np.bincount(dataset.targets)
    counts = counts[counts > 0]
    if table.leaky:
        return round((1 - table.test_share) * len(counts) * counts.max())
    kept = (1 - table.test_share) * counts
    return round(len(counts) * kept.max() if table.oversample == "training" else kept.sum())


def speed_of(epochs: Iterable[tuple[float, float]]) -> float | None:
    """Multiply-accumulates a second, median over epochs (their training MACs, seconds)."""
    speeds = [macs / seconds for macs, seconds in epochs if seconds > 0]
    return float(np.median(speeds)) if speeds else None


def probe_speed(recipe: Recipe, classes: int) -> float:
    """Multiply-accumulates a second of a few training steps here and now."""
    trainer = build_trainer(recipe, classes, steps=PROBE_STEPS)
    batch = recipe.fit.batch_size
    faces = np.zeros((batch, 48, 48, 1), np.uint8)
    targets = np.eye(classes, dtype=np.float32)[np.arange(batch) % classes]
    trainer.train_on_batch(faces, targets)
    started = time.monotonic()
    for _ in range(PROBE_STEPS):
        trainer.train_on_batch(faces, targets)
    network = build_model(recipe.model.name, classes, recipe.model.options)
    macs = multiply_accumulates(network)
    return macs * batch * PROBE_STEPS / (time.monotonic() - started)
