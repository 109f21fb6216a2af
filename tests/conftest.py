"""Data that several tests share: small, drawn here, seeded."""

from __future__ import annotations

import os
import shutil
import subprocess
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from exported import Exported, train_and_export

from fer_edge.bundle import GOLDEN, INT8_TFLITE, MODEL_CARD, Manifest, pack_golden, write_bundle
from fer_edge.chatter import import_keras, silenced_stderr
from fer_edge.data.dataset import Dataset
from fer_edge.face import HAAR
from fer_edge.labels import LABELS
from fer_edge.runtime import load_model

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def blobs(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Noisy (N, 48, 48) uint8 pictures whose class is where a bright blob lies, and (N,) uint8."""
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, len(LABELS), count).astype(np.uint8)
    faces = rng.integers(0, 90, (count, 48, 48)).astype(np.uint8)
    for face, target in zip(faces, targets, strict=True):
        row, column = divmod(int(target), 3)
        face[4 + 14 * row : 16 + 14 * row, 4 + 14 * column : 16 + 14 * column] += 130
    return faces, targets


@pytest.fixture(scope="session")
def blob_dataset() -> Dataset:
    """448 training, 96 validation and 96 test pictures that a small network learns in seconds."""
    faces, targets = blobs(640, seed=3)
    splits = np.repeat(["Training", "PublicTest", "PrivateTest"], [448, 96, 96])
    return Dataset("blobs", LABELS, faces, targets, splits)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with FER2013 and the clips; the test is skipped where it is not at hand."""
    folder = os.environ.get("FER_EDGE_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("set FER_EDGE_DATA to a folder with fer2013.tar.gz and the clips")
    return Path(folder)


def int8_model(size: int = 48) -> bytes:
    """A TFLite file with uint8 in and out whose answer depends on the picture."""
    keras = import_keras()
    keras.utils.set_random_seed(5)
    network = keras.Sequential(
        [
            keras.Input(batch_shape=(1, size, size, 1)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.AveragePooling2D(8),
            keras.layers.Flatten(),
            keras.layers.Dense(len(LABELS), activation="softmax"),
        ]
    )
    network.layers[-1].set_weights([6 * w for w in network.layers[-1].get_weights()])
    return to_int8(network, size)


def to_int8(network: Any, size: int = 48) -> bytes:
    """A Keras network with fixed batch size 1 as int8 TFLite, uint8 in and out."""
    import tensorflow as tf

    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (16, 1, size, size, 1)).astype(np.float32)
    converter = tf.lite.TFLiteConverter.from_keras_model(network)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([picture] for picture in pictures)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.uint8
    # LiteRT's converter complains of statistics that it does not need
    with silenced_stderr(), warnings.catch_warnings(action="ignore"):
        content: bytes = converter.convert()
    return content


@dataclass(frozen=True)
class Maker:
    """Makes bundles around one model."""

    content: bytes
    folder: Path

    def model_for(self, size: int) -> bytes:
        """A model for square pictures of another size."""
        return int8_model(size)

    def bundle(self, name: str, *, golden_shift: int = 0, **changes: Any) -> Path:
        """Write one; ``changes`` go to the manifest, ``golden_shift`` spoils the golden set."""
        faces = np.random.default_rng(1).integers(0, 256, (6, 48, 48, 1)).astype(np.uint8)
        expected = np.roll(load_model(self.content).probabilities(faces), golden_shift, axis=1)
        manifest = Manifest("tiny", LABELS, HAAR, 0.02, {}, {}, {}, {}, {})
        path = self.folder / name
        write_bundle(
            path,
            replace(manifest, **changes),
            {INT8_TFLITE: self.content, GOLDEN: pack_golden(faces, expected), MODEL_CARD: b"#\n"},
        )
        return path


@pytest.fixture(scope="session")
def maker(tmp_path_factory: pytest.TempPathFactory) -> Maker:
    return Maker(int8_model(), tmp_path_factory.mktemp("bundles"))


@pytest.fixture(scope="session")
def bundle(maker: Maker) -> Path:
    """A bundle that proves itself."""
    return maker.bundle("tiny.fer")


@pytest.fixture(scope="session")
def exported(blob_dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """A dataset, the run trained on it and its export, shared by all tests; nobody changes them."""
    return train_and_export(blob_dataset, tmp_path_factory.mktemp("exported"))


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB; skipped where this user may not mount one."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs the right to mount a small tmpfs")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)
