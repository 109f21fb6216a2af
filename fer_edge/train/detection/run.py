"""A detector's run: photos and backgrounds in, the run folder of every other training out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import keras
import numpy as np

from fer_edge.data.detection.backgrounds import Backgrounds, load_backgrounds
from fer_edge.data.detection.frames import Composer
from fer_edge.data.detection.held_out_frames import compose_held_out
from fer_edge.data.detection.photos import FacePhotos, load_photos
from fer_edge.detection.evaluating import measure
from fer_edge.detection.network import KerasDetector
from fer_edge.errors import FerEdgeError
from fer_edge.files import atomic_path, write_text
from fer_edge.train.averaging import AveragedNorms, Statistics, use_average
from fer_edge.train.checkpoints import Checkpoints, State
from fer_edge.train.detection.batches import FrameBatches
from fer_edge.train.detection.mining import HardNegatives
from fer_edge.train.detection.trainer import build_detection_trainer, detector_of
from fer_edge.train.devices import placed_on
from fer_edge.train.environment import record_environment
from fer_edge.train.fit import run_epochs
from fer_edge.train.folders import record_beginning
from fer_edge.train.plots import plot_curves
from fer_edge.train.precision import choose_policy
from fer_edge.train.recipe import Recipe

VALIDATION_FRAMES = 160
"""Composed once, whose loss is told after every epoch."""
STATISTICS_FRAMES = 256
"""Behind the batch norms of averaged weights."""


def train_detector(
    recipe: Recipe,
    data: str,
    place: AbstractContextManager[Path],
    recorded: dict[str, Any] | None,
    devices: Sequence[str],
) -> tuple[Path, Recipe, State, dict[str, Any], bool]:
    """Train, and write the run folder.

    Args:
        recipe: with ``task = "detect"``.
        data: the photos' path, or ``synthetic``.
        place: gives the run's folder and holds it.
        recorded: its ``data.json`` where the run is resumed.
        devices: that share every batch.

    Returns:
        The folder, the recipe, the state, the content of ``metrics.json``, and whether Ctrl-C ended
        it.

    Raises:
        FerEdgeError: no such photos or backgrounds, or others than the run began with.
    """
    photos = load_photos(data)
    parts = {
        name: load_backgrounds(recipe.frames.backgrounds, getattr(recipe.data, name))
        for name in ("train", "validation", "test")
    }
    content = _described(recipe, photos, data, parts)
    interrupted = False
    with place as folder:
        if recorded is None:
            record_beginning(folder, recipe, content)
        else:
            _check_same(folder, recorded, content)
        state = Checkpoints(folder).load_state() or State()
        policy = choose_policy(recipe.fit.mixed_precision, devices)
        record_environment(folder / "environment.json", policy, devices, state.epoch)
        try:
            state = _fit(recipe, photos, parts, folder, devices, resume=recorded is not None)
        except KeyboardInterrupt:
            state = Checkpoints(folder).load_state() or State()
            if not state.epoch:
                raise
            interrupted = True
        with placed_on(devices[:1]):
            metrics = _finish(folder, recipe, photos, parts, state, interrupted)
    return folder, recipe, state, metrics, interrupted


def _fit(
    recipe: Recipe,
    photos: FacePhotos,
    parts: dict[str, Backgrounds],
    folder: Path,
    devices: Sequence[str],
    *,
    resume: bool,
) -> State:
    fit, composition = recipe.fit, recipe.frames.composition()
    batches = _training_frames(recipe, photos, parts)
    statistics = _statistics(recipe, batches)
    validation = FrameBatches(
        Composer(photos.select(recipe.data.validation), parts["validation"], composition),
        min(VALIDATION_FRAMES, recipe.frames.per_epoch),
        fit.batch_size,
        fit.seed + 1,
    )
    return run_epochs(
        fit,
        batches,
        lambda: build_detection_trainer(recipe, len(batches), devices),
        folder,
        resume=resume,
        devices=devices,
        validation=_once(validation),
        averaging=[AveragedNorms(statistics)],
        before_epochs=[HardNegatives(batches, statistics)],
    )


def _training_frames(
    recipe: Recipe, photos: FacePhotos, parts: dict[str, Backgrounds]
) -> FrameBatches:
    return FrameBatches(
        Composer(photos.select(recipe.data.train), parts["train"], recipe.frames.composition()),
        recipe.frames.per_epoch,
        recipe.fit.batch_size,
        recipe.fit.seed,
        recipe.frames.mined,
    )


def _statistics(recipe: Recipe, batches: FrameBatches) -> Statistics:
    """The statistics of the batch norms, on some of the first epoch's frames."""
    count = max(1, min(STATISTICS_FRAMES // batches.batch_size, len(batches)))
    frames = np.concatenate([batches[index][0] for index in range(count)])[..., 0]
    return Statistics(
        lambda trainer: detector_of(trainer, recipe), frames, batch=batches.batch_size
    )


def _once(batches: FrameBatches) -> Any:
    """All of the batches as arrays."""
    parts = [batches[index] for index in range(len(batches))]
    return tuple(
        keras.ops.convert_to_numpy(keras.ops.concatenate(part)) for part in zip(*parts, strict=True)
    )


def _described(
    recipe: Recipe, photos: FacePhotos, data: str, parts: dict[str, Backgrounds]
) -> dict[str, Any]:
    """What evaluation and export must know to compose the same frames."""
    return {
        "task": "detect",
        "path": data if data == "synthetic" else str(Path(data).absolute()),
        "labels": ["face"],
        "name": photos.name,
        "fingerprint": photos.fingerprint(),
        "train": recipe.data.train,
        "validation": recipe.data.validation,
        "test": recipe.data.test,
        "drop_leaks": False,
        "held_out": recipe.frames.held_out,
        "backgrounds": [str(Path(each).absolute()) for each in recipe.frames.backgrounds],
        "backgrounds_fingerprint": {name: each.fingerprint for name, each in parts.items()},
    }


def _check_same(folder: Path, recorded: dict[str, Any], content: dict[str, Any]) -> None:
    for key, what in (("fingerprint", "photos"), ("backgrounds_fingerprint", "backgrounds")):
        if recorded.get(key) != content[key]:
            raise FerEdgeError(
                f"cannot resume {folder}: it was trained on other {what}",
                "give the same ones, or start a new run",
            )


def _finish(
    folder: Path,
    recipe: Recipe,
    photos: FacePhotos,
    parts: dict[str, Backgrounds],
    state: State,
    interrupted: bool,
) -> dict[str, Any]:
    """Write the last epoch's float32 network, its metrics and curves."""
    trainer = Checkpoints(folder).load_model(state.epoch)
    if recipe.fit.ema:
        use_average(trainer, _statistics(recipe, _training_frames(recipe, photos, parts)))
    network = detector_of(trainer, recipe)
    with atomic_path(folder / "model.keras") as temporary:
        network.save(temporary)
    detector = KerasDetector(network)
    metrics: dict[str, Any] = {
        "recipe": recipe.name,
        "task": recipe.task,
        "parameters": network.count_params(),
        "epochs": state.epoch,
        "chosen_epoch": state.epoch,
        "seconds": round(state.seconds, 1),
        "interrupted": interrupted,
        "training": state.history[-1],
    }
    # the test split is for finished models alone
    for part in ("validation",) if interrupted else ("validation", "test"):
        splits = getattr(recipe.data, part)
        count = recipe.frames.held_out
        frames = compose_held_out(
            photos, splits, recipe.frames.backgrounds, frames=count, empty=count // 2
        )
        found = measure(detector, frames.resized(detector.size))
        metrics[part] = {"splits": list(splits), **found.report()}
    write_text(folder / "metrics.json", json.dumps(metrics, indent=2) + "\n")
    title = f"{recipe.name}, {recipe.frames.per_epoch:,} frames an epoch"
    plot_curves(state.history, title, folder / "curves.png", "overlap")
    return metrics
