"""A drawn clip and a proven bundle with a tiny int8 model, both made here."""

from __future__ import annotations

import shutil
import subprocess
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fer_edge.bundle import GOLDEN, INT8_TFLITE, MODEL_CARD, Manifest, pack_golden, write_bundle
from fer_edge.chatter import import_keras, silenced_stderr
from fer_edge.data.clip import DrawnFace, render_clip
from fer_edge.face import HAAR
from fer_edge.labels import LABELS
from fer_edge.runtime import load_model

pytest.importorskip("cv2")


@dataclass(frozen=True)
class Clip:
    """A drawn video with the truth about it."""

    path: Path
    faces: list[tuple[DrawnFace, ...]]


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    """24 frames of 320×180 with two people in each."""
    path = tmp_path_factory.mktemp("clip") / "people.mp4"
    return Clip(path, render_clip(path, frames=24, size=(320, 180)))


def int8_model(size: int = 48) -> bytes:
    """A TFLite file with uint8 in and out whose answer depends on the picture."""
    keras = import_keras()
    import tensorflow as tf

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
