"""Bundles around a model of a few kilobytes, made in a second."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from fer_edge.bundle import GOLDEN, INT8_TFLITE, MODEL_CARD, Manifest, pack_golden, write_bundle
from fer_edge.chatter import import_keras, silenced_stderr
from fer_edge.face import HAAR
from fer_edge.labels import LABELS
from fer_edge.runtime import load_model


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

    def bundle(self, file: str, /, *, golden_shift: int = 0, **changes: Any) -> Path:
        """Write one; ``changes`` go to the manifest, ``golden_shift`` spoils the golden set."""
        faces = np.random.default_rng(1).integers(0, 256, (6, 48, 48, 1)).astype(np.uint8)
        said = load_model(self.content, reference_kernels=True).probabilities(faces)
        expected = np.roll(said, golden_shift, axis=1)
        tools = {"ai-edge-litert": metadata.version("ai-edge-litert")}
        manifest = Manifest("tiny", LABELS, HAAR, 0.02, {}, {}, {}, {}, tools)
        path = self.folder / file
        write_bundle(
            path,
            replace(manifest, **changes),
            {INT8_TFLITE: self.content, GOLDEN: pack_golden(faces, expected), MODEL_CARD: b"#\n"},
        )
        return path
