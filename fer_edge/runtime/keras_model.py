"""Keras models, on whichever backend Keras has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fer_edge.chatter import import_keras
from fer_edge.errors import FerEdgeError
from fer_edge.runtime.base import Probabilities, as_batch, check_shapes, first_line, only


class KerasModel:
    format = "keras"

    def __init__(self, path: Path) -> None:
        keras = import_keras()
        self.runtime = f"Keras {keras.__version__} on {keras.config.backend()}"
        try:
            self.network: Any = keras.models.load_model(path, compile=False)
        # what a damaged archive raises depends on the byte that is wrong
        except Exception as error:
            raise FerEdgeError(
                f"{path} is not a Keras model: {first_line(error)}",
                "the file is damaged or not made by Keras 3; train again",
            ) from error
        given = only(str(path), "inputs", self.network.inputs)
        output = only(str(path), "outputs", self.network.outputs)
        check_shapes(str(path), given.shape, output.shape)
        self.classes = int(output.shape[-1])

    def probabilities(self, faces: npt.NDArray[np.uint8]) -> Probabilities:
        pixels = as_batch(faces)
        if not len(pixels):
            return np.empty((0, self.classes), np.float32)
        result: Probabilities = self.network.predict(pixels, batch_size=128, verbose=0)
        return result
