"""The training loop: Keras's ``fit``, made repeatable, resumable and safe to stop."""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import keras
import numpy as np

from fer_edge.data.dataset import Dataset
from fer_edge.errors import FerEdgeError
from fer_edge.files import atomic_path
from fer_edge.train.augment import augmentation
from fer_edge.train.averaging import AveragedNorms, face_statistics
from fer_edge.train.batches import EpochBatches
from fer_edge.train.camera import Camera
from fer_edge.train.checkpoints import Checkpoints, State
from fer_edge.train.devices import (
    local_devices,
    placed_on,
    plain_batch_norm,
    replicas,
    synchronize_batch_norm,
)
from fer_edge.train.fused import fused_batch_norms, unfused
from fer_edge.train.heads import HeadAccuracy, build_network
from fer_edge.train.optimizers import optimizer_of
from fer_edge.train.precision import choose_policy, policy
from fer_edge.train.progress import TrainingProgress
from fer_edge.train.recipe import FitTable, Recipe, TargetsTable
from fer_edge.train.targets import goals
from fer_edge.train.teachers import taught

CHECKPOINT_SHARE = 0.05
"""Of the training time, which writing checkpoints may take: epochs of a second need not each have
theirs."""
VALIDATION_BATCH = 256
"""Images that a device takes at once where nothing is learned."""


def fit(
    recipe: Recipe,
    training: Dataset,
    validation: Dataset | None,
    run: Path,
    *,
    resume: bool,
    devices: Sequence[str] | None = None,
) -> State:
    """Train until the recipe's last epoch, early stopping, or Ctrl-C.

    An epoch depends on nothing but the weights, the optimizer, the seed and its own number, so a
    run resumed from a checkpoint goes through the same numbers as one that was never cut off.
    There is a checkpoint after the first, the last and each best epoch, and after others as long as
    writing them takes no more than ``CHECKPOINT_SHARE`` of the time.

    Several ``devices`` (named as ``choose_devices`` does; None takes the first) share every batch.
    They leave out the images that do not divide among them, of each epoch and of the validation's
    end. A run may be resumed on other devices.

    Returns:
        The state after the last finished epoch; the weights are in ``run/checkpoints``.

    Raises:
        FerEdgeError: a loss or another figure became NaN or infinite, the checkpoint cannot be
            read, or there are more devices than images.
        KeyboardInterrupt: Ctrl-C; finished epochs are in ``run/checkpoints``.
    """
    devices = devices or local_devices()[:1]
    _check_shares(devices, training, validation)
    table = recipe.fit
    batches = EpochBatches(
        training,
        table.batch_size,
        table.seed,
        table.class_weights,
        devices=len(devices),
        class_balance=table.class_balance,
        goal=taught(goals(training, recipe.targets), training, recipe, run),
        mixing=recipe.augment,
    )
    return run_epochs(
        table,
        batches,
        lambda: build_trainer(recipe, len(training.labels), len(batches), devices),
        run,
        resume=resume,
        devices=devices,
        validation=_validation_data(validation, recipe.targets, devices),
        averaging=[AveragedNorms(face_statistics(recipe, training))],
    )


class Batches(Protocol):
    """What an epoch is made of: a ``keras.utils.PyDataset`` whose ``epoch`` is set before each."""

    epoch: int

    def __len__(self) -> int: ...


def run_epochs(
    table: FitTable,
    batches: Batches,
    build: Callable[[], keras.Model],
    run: Path,
    *,
    resume: bool,
    devices: Sequence[str],
    validation: Any,
    averaging: Sequence[keras.callbacks.Callback] = (),
    before_epochs: Sequence[keras.callbacks.Callback] = (),
) -> State:
    """Keras's ``fit`` for whatever is trained, as ``fit`` describes it.

    Args:
        table: how long and how.
        batches: of an epoch.
        build: makes the compiled training model; called where there is no checkpoint.
        run: the run folder.
        resume: go on from its checkpoint.
        devices: that share every batch.
        validation: Keras's ``validation_data``.
        averaging: what averaged weights need before they are validated, with ``table.ema``.
        before_epochs: what prepares the batches of each.
    """
    checkpoints = Checkpoints(run)
    state = (checkpoints.load_state() if resume else None) or State()
    with placed_on(devices):
        if state.epoch:
            trainer = checkpoints.load_model(state.epoch)
        else:
            keras.utils.set_random_seed(table.seed)
            trainer = build()
        if state.epoch >= table.epochs or _patience_is_over(table, state):
            # it may have been killed before it had written the last
            write_history(state, run / "history.csv")
            return state
        synchronize_batch_norm(trainer, devices)
        progress = TrainingProgress(table.epochs, len(batches), state.epoch, devices)
        try:
            with fused_batch_norms(trainer):
                trainer.fit(
                    batches,
                    validation_data=validation,
                    validation_batch_size=VALIDATION_BATCH * len(devices),
                    initial_epoch=state.epoch,
                    epochs=table.epochs,
                    shuffle=False,
                    verbose=0,
                    callbacks=[
                        *((keras.callbacks.SwapEMAWeights(), *averaging) if table.ema else ()),
                        _Epochs(table, batches, checkpoints, state),
                        *before_epochs,
                        _TensorBoard(run / "tensorboard"),
                        progress,
                    ],
                )
        finally:
            progress.close()
            write_history(state, run / "history.csv")
    return state


def seed_generators(model: keras.Model, seed: int, epoch: int) -> None:
    """Set the model's random generators by seed and epoch alone, on each device in its own way."""
    states = [v for v in model.variables if v.name == "seed_generator_state"]
    for index, state in enumerate(states):
        rng = np.random.default_rng([seed, epoch, index])
        for copy in replicas(state):
            copy.assign(rng.integers(2**32, size=2).astype(state.dtype))


def write_history(state: State, target: Path) -> None:
    """One row an epoch, as CSV."""
    with atomic_path(target) as temporary, temporary.open("w", newline="") as file:
        names = list(state.history[0]) if state.history else ["epoch"]
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(state.history)


def build_trainer(
    recipe: Recipe, classes: int, steps: int, devices: Sequence[str] | None = None
) -> keras.Model:
    """Augmentation and network as one compiled model, so that augmentation runs in the graph.

    Call it inside ``placed_on(devices)``; None is the first device, which needs no placing.
    """
    with policy(choose_policy(recipe.fit.mixed_precision, devices)):
        network = build_network(recipe, classes)
    x = inputs = keras.Input(network.input_shape[1:])
    for layer in augmentation(recipe.augment, recipe.fit.seed):
        x = layer(x)
    if recipe.camera.used:
        x = Camera(recipe.camera.model_dump(), recipe.fit.seed + 8, name="camera")(x)
    trainer = keras.Model(inputs, network(x))
    trainer.compile(
        optimizer_of(recipe.fit, steps),
        keras.losses.CategoricalCrossentropy(label_smoothing=recipe.fit.label_smoothing),
        metrics=[
            keras.metrics.CategoricalAccuracy(name="accuracy"),
            *(
                HeadAccuracy(number, f"accuracy_{head}")
                for number, head in enumerate(recipe.targets.heads)
            ),
        ],
    )
    return trainer


def _check_shares(devices: Sequence[str], *parts: Dataset | None) -> None:
    for part in parts:
        if part is not None and len(part) < len(devices):
            raise FerEdgeError(
                f"{len(part)} images cannot be shared among {len(devices)} devices",
                "give more images, or use --devices 1",
            )


def _validation_data(
    dataset: Dataset | None, table: TargetsTable, devices: Sequence[str]
) -> tuple[np.ndarray, ...] | None:
    """Faces (N, 48, 48), targets and, for votes, weights; as many as divide among the devices."""
    if dataset is None:
        return None
    count = len(dataset) - len(dataset) % len(devices)
    goal = goals(dataset, table)
    if not table.use_votes:
        return dataset.faces[:count], goal.targets[:count]
    return dataset.faces[:count], goal.targets[:count], goal.weights[:count]


def _patience_is_over(table: FitTable, state: State) -> bool:
    return bool(table.patience) and state.epoch - state.best_epoch >= table.patience


class _Epochs(keras.callbacks.Callback):
    """Seeds each epoch, watches the figures, keeps the history, writes the checkpoint."""

    def __init__(
        self, table: FitTable, batches: Batches, checkpoints: Checkpoints, state: State
    ) -> None:
        super().__init__()
        self.table, self.batches, self.checkpoints, self.state = table, batches, checkpoints, state
        self.next_checkpoint = -math.inf

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.started = time.monotonic()
        self.batches.epoch = epoch
        # Keras does not save the state of dropout's and augmentation's generators
        seed_generators(self.model, self.table.seed, epoch)

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        loss = (logs or {}).get("loss", 0.0)
        self._stop_without_numbers({"loss": loss}, f"{self.state.epoch + 1}, step {batch + 1}")

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        state, figures = self.state, {k: float(v) for k, v in (logs or {}).items()}
        # before it becomes a checkpoint
        self._stop_without_numbers(figures, str(epoch + 1))
        state.epoch = epoch + 1
        seconds = time.monotonic() - self.started
        state.seconds += seconds
        rate = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        state.history.append(
            {"epoch": state.epoch, **figures, "learning_rate": rate, "seconds": round(seconds, 2)}
        )
        best = figures.get("val_accuracy", -1.0) > state.best_value
        if best or "val_accuracy" not in figures:
            state.best_epoch = state.epoch
            state.best_value = figures.get("val_accuracy", -1.0)
        if _patience_is_over(self.table, state):
            self.model.stop_training = True
        last = self.model.stop_training or state.epoch == self.table.epochs
        if best or last or time.monotonic() >= self.next_checkpoint:
            started = time.monotonic()
            with plain_batch_norm(self.model), unfused(self.model):
                self.checkpoints.save(self.model, state)
            ended = time.monotonic()
            self.next_checkpoint = ended + (ended - started) / CHECKPOINT_SHARE

    def _stop_without_numbers(self, figures: dict[str, float], epoch: str) -> None:
        for name, value in figures.items():
            if not math.isfinite(value):
                rate = self.table.learning_rate
                raise FerEdgeError(
                    f"the {name.replace('val_', 'validation ')} became {value} in epoch {epoch}",
                    f"begin anew at a lower learning rate than {rate:g}, with --set "
                    f"fit.learning_rate={rate / 10:g} -o ANOTHER, or with --set "
                    "fit.mixed_precision=off; --resume would meet the same numbers again",
                )


class _TensorBoard(keras.callbacks.Callback):
    """Scalars for TensorBoard, on every Keras backend (Keras's own callback needs TensorFlow)."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        from tensorboard.summary import Writer

        self.writer = Writer(str(self.folder))

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        for name, value in (logs or {}).items():
            self.writer.add_scalar(name, float(value), epoch + 1)
        self.writer.flush()

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        self.writer.close()
