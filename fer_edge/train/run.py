"""A run: a recipe and a dataset in, a run folder out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from fer_edge.data import load_dataset
from fer_edge.data.dataset import Dataset
from fer_edge.data.division import TEST, divide
from fer_edge.data.ferplus import by_majority, require_votes
from fer_edge.data.learnable import require_learnable
from fer_edge.data.sampling import oversample
from fer_edge.data.splits import TRAINING, UNSPLIT
from fer_edge.errors import FerEdgeError
from fer_edge.evaluation.classifier import evaluate, plot_confusion
from fer_edge.files import atomic_path, write_text
from fer_edge.runtime import load_model
from fer_edge.subject import DIVISION, SKIP_BAD, as_trained, finished_metrics, model_file
from fer_edge.train.averaging import face_statistics, network_of, use_average
from fer_edge.train.checkpoints import Checkpoints, State
from fer_edge.train.devices import choose_devices, placed_on
from fer_edge.train.environment import record_environment
from fer_edge.train.fit import fit
from fer_edge.train.folders import (
    check_same,
    check_unedited,
    new_folder,
    newest_run,
    record_beginning,
    recorded_run,
    require_empty,
    resumed_folder,
)
from fer_edge.train.heads import single_networks
from fer_edge.train.logit_adjustment import adjust_logits, amounts_of, check_classes
from fer_edge.train.models import check_options
from fer_edge.train.models.merging import merged
from fer_edge.train.plots import plot_curves
from fer_edge.train.precision import choose_policy
from fer_edge.train.recipe import Recipe, load_recipe, override
from fer_edge.train.starting import from_own_copy, starting_from
from fer_edge.train.teachers import TEACHERS, changed_teachers, teacher_digests
from fer_edge.train.temperature import calibrate

BATCH_NORM_SAMPLE = 2000
"""Training images on which training-mode and inference-mode accuracy are compared."""
ANOTHER_DATASET = "it was trained on another dataset"


@dataclass(frozen=True)
class Run:
    """A run folder and what is in it.

    Attributes:
        folder: where ``model.keras`` and the rest lie.
        recipe: as resolved.
        state: history and chosen epoch.
        metrics: the content of ``metrics.json``.
        interrupted: stopped by Ctrl-C before the recipe's end; the test split was not touched.
        changed_teachers: of a run that was finished before, those that are other networks today.
    """

    folder: Path
    recipe: Recipe
    state: State
    metrics: dict[str, Any]
    interrupted: bool
    changed_teachers: tuple[str, ...] = ()


def train(
    recipe_name: str | None,
    data: str | None,
    *,
    output: Path | None = None,
    overrides: Sequence[str] = (),
    drop_leaks_too: bool = False,
    skip_bad: bool = False,
    resume: bool = False,
    devices: str = "all",
    start: str | None = None,
) -> Run:
    """Train a recipe and write its run folder, or go on with one that was cut off.

    Args:
        recipe_name: a shipped recipe's name or a TOML file; when resuming it may be None.
        data: a dataset's path or ``synthetic``; when resuming, None means the one recorded.
        output: the run folder; None takes a new ``runs/NAME`` or, resuming, the newest one.
        overrides: ``table.key=value`` settings laid over the recipe, values in TOML.
        drop_leaks_too: as the recipe's ``data.drop_leaks``.
        skip_bad: leave out rows of the dataset that cannot be used.
        resume: go on from the last finished epoch.
        devices: that share every batch, as ``choose_devices`` reads them; a run may be resumed on
            others than it began on.
        start: a run folder or ``.keras`` file whose network is trained on, with the recipe
            ``fine-tune`` unless another is named.

    Raises:
        FerEdgeError: anything about the recipe, the dataset, the folder or the devices that does
            not fit.
    """
    if drop_leaks_too:
        overrides = [*overrides, "data.drop_leaks=true"]
    if resume and start is not None:
        raise FerEdgeError(
            "--resume and --from do not go together", "a run that goes on knows what it began with"
        )
    if resume:
        output = output or newest_run(recipe_name)
        recipe, recorded = recorded_run(output)
        check_unedited(output, recorded)
        check_same(recipe, recipe_name, overrides, output)
        skip_bad = skip_bad or recorded.get(SKIP_BAD) is True
        if (metrics := finished_metrics(output)) is not None:
            if data is not None:
                _check_data(output, recipe, recorded, data, skip_bad)
            # the test split is looked at once
            state = Checkpoints(output).load_state() or State()
            changed = changed_teachers(recipe, recorded)
            return Run(output, recipe, state, metrics, False, changed)
        data = data or recorded["path"]
        place = resumed_folder(output)
    else:
        recipe = override(load_recipe(recipe_name or _default(start)), overrides)
        recorded = None
        if output is not None:
            require_empty(output)
        if data is None:
            raise FerEdgeError(
                "no dataset given", "name one with --data PATH, or use --data synthetic"
            )
        place = new_folder(output, recipe.name)
    chosen = choose_devices(devices, recipe.fit.batch_size)
    if recipe.task == "detect":
        if start is not None:
            raise FerEdgeError("a detector cannot be trained --from another", "leave out --from")
        from fer_edge.train.detection.run import train_detector

        return Run(*train_detector(recipe, str(data), place, recorded, chosen))
    # a run that goes on may have begun --from a network
    dataset = load_dataset(
        data,
        skip_bad=skip_bad,
        own_labels=start is not None or resume,
        model_labels=(recorded or {}).get("labels", ()),
    )
    if start is not None:
        recipe = starting_from(recipe, start, dataset)
    fingerprint = dataset.fingerprint()
    _check_recorded(output, recorded, "fingerprint", fingerprint, ANOTHER_DATASET)
    votes = _fingerprint_of_votes(dataset) if recipe.targets.use_votes else None
    other = "its faces had other FER+ votes"
    _check_recorded(output, recorded, "votes_fingerprint", votes, other)
    roles = _roles(recipe, dataset, fingerprint)
    dataset = as_trained(dataset, roles)
    _require_splits(recipe, dataset)
    check_options(recipe.model.name, recipe.model.options)
    check_classes(recipe.fit, dataset.labels)
    described = recorded or _described(recipe, dataset, str(data), roles, votes)
    training = dataset.select(recipe.data.train)
    require_learnable(training)
    if recipe.data.oversample == "training":
        training = oversample(training, recipe.data.divide_seed)
    validation = dataset.select(recipe.data.validation) if recipe.data.validation else None
    interrupted = False
    with place as folder:
        if recorded is None:
            record_beginning(folder, recipe, described)
        state = Checkpoints(folder).load_state() or State()
        record_environment(
            folder / "environment.json",
            choose_policy(recipe.fit.mixed_precision, chosen),
            chosen,
            state.epoch,
        )
        try:
            own = from_own_copy(recipe, folder)
            state = fit(own, training, validation, folder, resume=resume, devices=chosen)
        except KeyboardInterrupt:
            state = Checkpoints(folder).load_state() or State()
            if not state.epoch:
                raise
            interrupted = True
        with placed_on(chosen[:1]):
            metrics = _finish(folder, own, dataset, training, state, interrupted)
    return Run(folder, recipe, state, metrics, interrupted)


def _check_data(
    folder: Path, recipe: Recipe, recorded: dict[str, Any], data: str, skip_bad: bool
) -> None:
    """Raise FerEdgeError where a finished run was trained on other faces than those of ``data``."""
    if recipe.task == "detect":
        from fer_edge.data.detection.photos import load_photos

        fingerprint = load_photos(data).fingerprint()
    else:
        # it may have begun --from a network, on labels of one's own
        labels = recorded.get("labels", ())
        dataset = load_dataset(data, skip_bad=skip_bad, own_labels=True, model_labels=labels)
        fingerprint = dataset.fingerprint()
    _check_recorded(folder, recorded, "fingerprint", fingerprint, ANOTHER_DATASET)


def _check_recorded(
    folder: Path | None, recorded: dict[str, Any] | None, key: str, found: str | None, other: str
) -> None:
    """Raise FerEdgeError where a run is to go on and what is ``found`` is not what it recorded."""
    if recorded is None or (before := recorded.get(key)) == found:
        return
    raise FerEdgeError(
        f"cannot resume {folder}: {other} ({str(before)[:12]}, this one is {str(found)[:12]})",
        "give the same --data, or start a new run",
    )


def _require_splits(recipe: Recipe, dataset: Dataset) -> None:
    """Raise FerEdgeError where the dataset lacks a split, or has no face in it."""
    table = recipe.data
    try:
        for split in (*table.train, *table.validation, *table.test):
            dataset.select(split)
    except FerEdgeError as error:
        if table.division is not None or dataset.split_names != (UNSPLIT,):
            raise
        raise FerEdgeError(
            error.message,
            "it comes without splits, so divide it: --set data.divide=by-image "
            f"--set 'data.train=[\"{TRAINING}\"]' --set data.validation=[] "
            f"--set 'data.test=[\"{TEST}\"]'",
        ) from error


def _roles(recipe: Recipe, dataset: Dataset, fingerprint: str) -> dict[str, Any]:
    """What evaluation and export must know to see the dataset as this run does."""
    table = recipe.data
    roles: dict[str, Any] = {
        "name": dataset.name,
        "fingerprint": fingerprint,
        "train": table.train,
        "validation": table.validation,
        "test": table.test,
        "drop_leaks": table.drop_leaks,
    }
    if dataset.skipped:
        roles[SKIP_BAD] = True
    if table.division is not None:
        divided = divide(dataset, table.division).fingerprint()
        roles[DIVISION] = {**table.division.to_dict(), "fingerprint": divided}
    return roles


def _described(
    recipe: Recipe, dataset: Dataset, path: str, roles: dict[str, Any], votes: str | None
) -> dict[str, Any]:
    """The content of ``data.json``: what resuming and exporting need to know."""
    absolute = path if path == "synthetic" else str(Path(path).absolute())
    content = {"path": absolute, "labels": list(dataset.labels), **roles}
    if recipe.targets.heads:
        content["heads"] = list(recipe.targets.heads)
    if votes is not None:
        content["votes_fingerprint"] = votes
    if teachers := teacher_digests(recipe, dataset):
        content[TEACHERS] = teachers
    return content


def _finish(
    folder: Path,
    recipe: Recipe,
    dataset: Dataset,
    training: Dataset,
    state: State,
    interrupted: bool,
) -> dict[str, Any]:
    """Write the chosen epoch's float32 network, its metrics and its pictures."""
    chosen = state.best_epoch if recipe.fit.select == "best" else state.epoch
    trainer = Checkpoints(folder).load_model(chosen)
    if recipe.fit.ema:
        use_average(trainer, face_statistics(recipe, training))
    classes = len(dataset.labels)
    singles = single_networks(network_of(trainer, recipe, classes), recipe, classes)
    default, *others = singles
    metrics: dict[str, Any] = {
        "recipe": recipe.name,
        "parameters": 0,
        "epochs": state.epoch,
        "chosen_epoch": chosen,
        "seconds": round(state.seconds, 1),
        "interrupted": interrupted,
        "training": state.history[chosen - 1],
        "batch_norm": batch_norm_check(singles[default], training, recipe.fit.seed),
    }
    for head, single in singles.items():
        network = merged(single)
        metrics["parameters"] = network.count_params()
        calibration: dict[str, Any] = {}
        if amounts := amounts_of(recipe.fit, head):
            adjust_logits(network, amounts, dataset.labels)
            calibration["logit_adjustment"] = amounts
        if recipe.fit.temperature:
            validation = dataset.select(recipe.data.validation)
            if head == "votes":
                validation = by_majority(validation)
            calibration["calibration"] = calibrate(network, validation)
        file = model_file(folder, head if head in others else None)
        with atomic_path(file) as temporary:
            network.save(temporary)
        measured = calibration | _measured(
            file, recipe, dataset, interrupted, votes=head == "votes", plot=head == default
        )
        if head == default:
            metrics |= measured
        else:
            metrics.setdefault("heads", {})[head] = measured
    write_text(folder / "metrics.json", json.dumps(metrics, indent=2) + "\n")
    plot_curves(state.history, f"{recipe.name}, {len(training):,} images", folder / "curves.png")
    return metrics


def _measured(
    file: Path, recipe: Recipe, dataset: Dataset, interrupted: bool, votes: bool, plot: bool
) -> dict[str, Any]:
    """Figures of one finished network, by part of the data; also on the votes' majority, if asked.

    The confusion is that of the last part.
    """
    parts = {"validation": recipe.data.validation, "test": recipe.data.test}
    if interrupted:
        # the test split is for finished models alone
        del parts["test"]
    truths = {"": dataset} | ({"_majority": by_majority(dataset)} if votes else {})
    model = load_model(file)
    measured = {}
    for part, splits in parts.items():
        if not splits:
            continue
        for suffix, truth in truths.items():
            result = evaluate(model, truth, splits, train_splits=recipe.data.train)
            measured[f"{part}{suffix}"] = result.to_dict()
            if plot and not suffix:
                accuracy = result.whole.accuracy.value
                title = f"{recipe.name} on {', '.join(splits)}: {accuracy:.1%}"
                plot_confusion(result.whole, title, file.with_name("confusion.png"))
    return measured


def _fingerprint_of_votes(dataset: Dataset) -> str:
    """SHA-256 of the votes, which the dataset's own fingerprint leaves out."""
    return hashlib.sha256(np.ascontiguousarray(require_votes(dataset)).data).hexdigest()


def batch_norm_check(network: keras.Model, training: Dataset, seed: int) -> dict[str, float]:
    """Accuracy on a sample of training images with batch statistics and with moving averages.

    Moving averages that still hold their initial values make a model that trained well useless at
    inference; the two figures then lie far apart. Dropout is off in both.

    Returns:
        ``batch_statistics`` and ``moving_averages``: accuracies in 0..1.
    """
    rng = np.random.default_rng(seed)
    size = min(BATCH_NORM_SAMPLE, len(training))
    sample = training.subset(rng.permutation(len(training))[:size])
    # a copy, since a call in training mode moves the averages
    copy = keras.models.clone_model(network)
    copy.set_weights(network.get_weights())
    for layer in copy.layers:
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0
    targets = sample.targets
    right = {"batch_statistics": 0, "moving_averages": 0}
    for start in range(0, size, 250):
        faces = sample.faces[start : start + 250, ..., None].astype(np.float32)
        # inference first: it must see the averages as they are
        for key, mode in (("moving_averages", False), ("batch_statistics", True)):
            model = network if key == "moving_averages" else copy
            said = keras.ops.convert_to_numpy(model(faces, training=mode)).argmax(axis=1)
            right[key] += int((said == targets[start : start + 250]).sum())
    return {key: count / size for key, count in right.items()}


def _default(start: str | None) -> str:
    return "edge-small" if start is None else "fine-tune"
