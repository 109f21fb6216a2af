"""A finished network to go on from, with its own head or a new one."""

from __future__ import annotations

import hashlib
from pathlib import Path

import keras
from keras import layers

from fer_edge.bundle import FLOAT_TFLITE, INT8_TFLITE, open_bundle
from fer_edge.errors import FerEdgeError
from fer_edge.runtime import load_model
from fer_edge.train.models.from_tflite import network_from_tflite


def pretrained(
    classes: int = 7, file: str = "", sha256: str = "", new_head: bool = False
) -> keras.Model:
    """Load a network and give it a new last layer where the classes are others.

    Args:
        classes: width of the output.
        file: a ``.keras`` file whose network ends in Dense "logits" and a softmax, as all of the
            package's do; or a bundle, whose float32 model is taken, or else its int8 one.
        sha256: what the file must have, so that a run goes on from what it began on.
        new_head: start the last layer anew.

    Returns:
        A model from (N, 48, 48, 1) pixels in 0..255 to (N, classes) probabilities, float32.

    Raises:
        FerEdgeError: no such file, another one than before, or not such a network.
    """
    path = Path(file)
    if not file or not path.is_file():
        raise FerEdgeError(
            f"there is no network to start from at '{file}'",
            "name a finished run with: fer-edge train --from RUN",
        )
    if sha256 and hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
        raise FerEdgeError(
            f"{path} is not the network any more that the run began with", "start a new run"
        )
    network = _load(path, pinned=bool(sha256))
    network.trainable = True
    ends = {layer.name: layer for layer in network.layers}.get("logits")
    if not isinstance(ends, layers.Dense):
        raise FerEdgeError(
            f"{path} does not end in a dense layer 'logits'", "train from a run of fer-edge"
        )
    if not new_head and ends.units == classes:
        return network
    x = layers.Dense(classes, name="logits")(ends.input)
    outputs = layers.Softmax(dtype="float32", name="probabilities")(x)
    return keras.Model(network.inputs[0], outputs, name=network.name)


def _load(path: Path, *, pinned: bool) -> keras.Model:
    if path.suffix != ".fer":
        return load_model(path).network  # type: ignore[attr-defined]
    # the one that the recipe pins was trusted where it came from; a run's copy lies elsewhere
    bundle = open_bundle(path, keys=() if pinned else None)
    member = FLOAT_TFLITE if FLOAT_TFLITE in bundle.content else INT8_TFLITE
    return network_from_tflite(bundle.read(member), str(path))
