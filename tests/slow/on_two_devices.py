"""Trains on one and on two virtual CPU devices and prints the histories as JSON.

``python on_two_devices.py tensorflow | jax``. A process of its own: a backend counts its devices
once, when it starts.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

BACKEND = sys.argv[1]
if BACKEND == "jax":
    # with two threads, those of a machine of two cores, XLA's devices may wait for each other
    os.environ["NPROC"] = "8"
    os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=2"

from fer_edge.chatter import import_keras  # noqa: E402

keras = import_keras(BACKEND)
if BACKEND == "tensorflow":
    import tensorflow as tf

    (processor,) = tf.config.list_physical_devices("CPU")
    half = tf.config.LogicalDeviceConfiguration()
    tf.config.set_logical_device_configuration(processor, [half, half])

import fer_edge.train.fit as training_loop  # noqa: E402
from fer_edge.data.dataset import Dataset  # noqa: E402
from fer_edge.labels import LABELS  # noqa: E402
from fer_edge.train.checkpoints import Checkpoints, State  # noqa: E402
from fer_edge.train.devices import choose_devices, placed_on  # noqa: E402
from fer_edge.train.fit import fit, seed_generators  # noqa: E402
from fer_edge.train.recipe import parse_recipe  # noqa: E402

# a checkpoint after every epoch
training_loop.CHECKPOINT_SHARE = 1e9
BOTH = ("cpu:0", "cpu:1")
# without dropout and augmentation: on TensorFlow each device draws its own
RECIPE = parse_recipe(
    """
    name = "shared"
    [data]
    validation = ["PublicTest"]
    [model]
    name = "compact"
    width = 4
    dropout = 0
    [fit]
    epochs = 3
    batch_size = 32
    optimizer = "sgd"
    learning_rate = 0.02
    class_weights = true
    ema = 0.8
    mixed_precision = "off"
    """,
    "test",
)


def shades() -> Dataset:
    """160 pictures to train on and 40 to validate on; a class is a brightness."""
    rng = np.random.default_rng(3)
    targets = rng.integers(0, len(LABELS), 200).astype(np.uint8)
    faces = rng.integers(0, 60, (200, 48, 48)) + 25 * targets[:, None, None]
    splits = np.repeat(["Training", "PublicTest"], [160, 40])
    return Dataset("shades", LABELS, faces.astype(np.uint8), targets, splits)


def history(
    run: Path, devices: str, *, epochs: int, resume: bool = False
) -> list[dict[str, float]]:
    """Train up to an epoch, as if cut off behind it."""
    save = Checkpoints.save

    def cut_off(checkpoints: Checkpoints, model: keras.Model, state: State) -> None:
        save(checkpoints, model, state)
        if state.epoch == epochs:
            raise KeyboardInterrupt

    dataset, chosen = shades(), choose_devices(devices, RECIPE.fit.batch_size)
    training, validation = dataset.select("Training"), dataset.select("PublicTest")
    Checkpoints.save = cut_off
    with suppress(KeyboardInterrupt):
        fit(RECIPE, training, validation, run, resume=resume, devices=chosen)
    Checkpoints.save = save
    state = Checkpoints(run).load_state()
    return state.history if state else []


def dropped() -> list[list[bool]]:
    """Which of its inputs each device drops in the first step of an epoch."""
    with placed_on(BOTH):
        model = keras.Sequential([keras.Input((64,)), keras.layers.Dropout(0.5)])
        seed_generators(model, seed=1, epoch=0)
        strategy = tf.distribute.get_strategy()
        outputs = strategy.run(lambda: model(tf.ones((1, 64)), training=True))
        return [(output.numpy()[0] == 0).tolist() for output in outputs.values]


def synchronized(run: Path, epoch: int) -> list[bool]:
    """A checkpoint's mark on each of its batch norms."""
    trainer = Checkpoints(run).load_model(epoch)
    network = trainer.get_layer(RECIPE.model.name)
    kind = keras.layers.BatchNormalization
    return [layer.synchronized for layer in network.layers if isinstance(layer, kind)]


def main(folder: Path) -> None:
    one, cut = folder / "one", folder / "cut"
    begun = history(cut, ",".join(BOTH), epochs=2)
    found: dict[str, Any] = {"begun": begun, "marks": synchronized(cut, 2)}
    found["resumed"] = history(cut, "cpu:0", epochs=3, resume=True)
    found["one"] = history(one, "cpu:0", epochs=3)
    if BACKEND == "tensorflow":
        found["dropped"] = dropped()
    print(json.dumps(found))


with tempfile.TemporaryDirectory() as folder:
    main(Path(folder))
