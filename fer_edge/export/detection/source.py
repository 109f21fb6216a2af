"""A detector's finished run, and the frames that calibrate and judge its int8 files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

from fer_edge.data.detection.backgrounds import load_backgrounds
from fer_edge.data.detection.frames import Composer, Composition
from fer_edge.data.detection.held_out_frames import HeldOutFrames, compose_held_out
from fer_edge.data.detection.photos import FacePhotos, load_photos
from fer_edge.detection import WHOLE, Size, padded
from fer_edge.errors import FerEdgeError
from fer_edge.export.source import read_recipe
from fer_edge.files import sha256
from fer_edge.subject import read_run

_SEED = 11


@dataclass(frozen=True)
class DetectorSource:
    """A run, opened for export.

    Attributes:
        name, description, recipe_sha256: of the recipe.
        network_sha256: of the trained network's file.
        network: float32, as it was trained.
        photos: all there are.
        content: the run's ``data.json``.
    """

    name: str
    description: str
    recipe_sha256: str
    network_sha256: str
    network: keras.Model
    photos: FacePhotos
    content: dict[str, Any]

    @property
    def backgrounds(self) -> list[str]:
        """The folders that training had."""
        return list(self.content["backgrounds"])

    def held_out(self, part: str) -> HeldOutFrames:
        """Frames of ``validation`` or ``test``, of 320×240."""
        count = int(self.content["held_out"])
        return compose_held_out(
            self.photos, self.content[part], self.backgrounds, frames=count, empty=count // 2
        )

    def calibration(self, count: int) -> list[np.ndarray]:
        """Frames (240, 320) uint8 of training photos, taken as the held-out ones are."""
        behind = load_backgrounds(self.backgrounds, self.content["train"])
        photos = self.photos.select(self.content["train"])
        composer = Composer(photos, behind, Composition(empty=0.1))
        return [frame for frame, _ in composer.frames(count, _SEED)]


def open_detector_run(run: Path, data: str | None = None) -> DetectorSource:
    """Read a finished run and its photos.

    Raises:
        FerEdgeError: the run is not finished or damaged, or the photos are others.
    """
    content = read_run(run)
    for key, kind in (("backgrounds", list), ("held_out", int)):
        if not isinstance(content.get(key), kind):
            raise FerEdgeError(f"{run / 'data.json'} has no usable '{key}'", "train again")
    recipe, recipe_sha256 = read_recipe(run)
    try:
        network = keras.models.load_model(run / "model.keras", compile=False)
    except (ValueError, OSError, KeyError) as error:
        raise FerEdgeError(f"{run / 'model.keras'} cannot be read", "train again") from error
    photos = load_photos(data or content["path"])
    if photos.fingerprint() != content["fingerprint"]:
        raise FerEdgeError(
            f"the run was trained on other photos than {data or content['path']}",
            f"give the photos '{content['name']}' of the training with --data PATH",
        )
    return DetectorSource(
        recipe["name"],
        str(recipe.get("description", "")),
        recipe_sha256,
        sha256(run / "model.keras"),
        network,
        photos,
        content,
    )


def for_size(network: keras.Model, size: Size) -> keras.Model:
    """The same weights for frames of another size, batch size 1."""
    columns, rows = (whole - side for whole, side in zip(padded(size), size, strict=True))

    def copied(layer: layers.Layer) -> layers.Layer:
        config = layer.get_config()
        if layer.name == WHOLE:
            config["padding"] = ((0, rows), (0, columns))
        return type(layer).from_config(config)

    inputs = keras.Input(batch_shape=(1, size[1], size[0], 1), name="frame")
    result: keras.Model = keras.models.clone_model(
        network, input_tensors=inputs, clone_function=copied
    )
    result.set_weights(network.get_weights())
    return result
