"""A detector's network as something that finds faces, on TFLite or on Keras."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from fer_edge.detection.decoding import (
    PARTS,
    STRIDES,
    Detections,
    Floats,
    Size,
    decode,
    grid,
    logit,
    padded,
    suppress,
)
from fer_edge.errors import FerEdgeError
from fer_edge.face import Pixels
from fer_edge.runtime import open_tflite
from fer_edge.runtime.tflite_check import check_tflite

_BATCH = 16  # frames that Keras computes at once


class DetectorNetwork(Protocol):
    """Finds the faces of frames of one size."""

    size: Size
    """Columns and rows."""
    runtime: str
    """What computes, such as "LiteRT 2.3.0"."""

    def find(self, frame: Pixels, min_score: float) -> Detections:
        """Faces of a frame (rows, columns) uint8 with at least this score, best first."""
        ...

    def find_all(self, frames: Sequence[Pixels], min_score: float) -> list[Detections]:
        """The same for many frames."""
        ...


class TFLiteDetector:
    """A detector's ``.tflite`` file, float32 or int8.

    Only cells over the threshold are turned into floating-point numbers.

    Args:
        content: the file.
        name: what a message calls it.
        threads: of the interpreter.
        reference_kernels: the slow ones that give the same bits on every processor.

    Raises:
        FerEdgeError: not a detector as ``fer-edge export`` makes them, or no runtime is installed.
    """

    def __init__(
        self, content: bytes, name: str, *, threads: int = 1, reference_kernels: bool = False
    ) -> None:
        try:
            check_tflite(content)
        except ValueError as error:
            raise _no_detector(name, str(error)) from error
        self._interpreter, self.runtime = open_tflite(
            content, name, threads=threads, reference_kernels=reference_kernels
        )
        given = self._interpreter.get_input_details()
        if len(given) != 1 or len(given[0]["shape"]) != 4 or given[0]["shape"][3] != 1:
            raise _no_detector(name, f"it takes {[each['shape'].tolist() for each in given]}")
        self._input, self._dtype = int(given[0]["index"]), np.dtype(given[0]["dtype"])
        self.size = (int(given[0]["shape"][2]), int(given[0]["shape"][1]))
        self._maps = self._in_order(name)

    def find(self, frame: Pixels, min_score: float) -> Detections:
        """See ``DetectorNetwork.find``."""
        self._invoke(frame)
        least = logit(min(max(min_score, 1e-6), 1 - 1e-6))
        cells, parts = [], []
        first = 0
        for score, *others in self._maps:
            said = self._interpreter.get_tensor(score["index"]).ravel()
            found = np.flatnonzero(said >= _quantized(least, score))
            if len(found):
                cells.append(found + first)
                values = [said[found]]
                for each in others:
                    rows = self._interpreter.get_tensor(each["index"])
                    values.append(rows.reshape(len(said), -1)[found])
                parts.append(
                    [_real(v, each) for v, each in zip(values, (score, *others), strict=True)]
                )
            first += len(said)
        if not cells:
            return NOTHING
        places = grid(self.size)[np.concatenate(cells)]
        scores, boxes, points = (np.concatenate(part) for part in zip(*parts, strict=True))
        return suppress(decode(places, scores, boxes, points))

    def find_all(self, frames: Sequence[Pixels], min_score: float) -> list[Detections]:
        """See ``DetectorNetwork.find_all``."""
        return [self.find(frame, min_score) for frame in frames]

    def raw(self, frame: Pixels) -> np.ndarray:
        """All numbers of all cells as the file gives them, (cells, 15) in the file's dtype."""
        self._invoke(frame)
        return np.concatenate(
            [
                np.concatenate(
                    [
                        self._interpreter.get_tensor(each["index"]).reshape(-1, numbers)
                        for each, numbers in zip(maps, PARTS.values(), strict=True)
                    ],
                    axis=1,
                )
                for maps in self._maps
            ]
        )

    def _invoke(self, frame: Pixels) -> None:
        self._interpreter.set_tensor(
            self._input, frame.reshape(1, self.size[1], self.size[0], 1).astype(self._dtype)
        )
        self._interpreter.invoke()

    def _in_order(self, name: str) -> list[list[dict[str, Any]]]:
        """The outputs by stride and part; converters order them as they like."""
        outputs = self._interpreter.get_output_details()
        by_shape = {tuple(int(side) for side in each["shape"]): each for each in outputs}
        columns, rows = padded(self.size)
        try:
            return [
                [by_shape[1, rows // stride, columns // stride, n] for n in PARTS.values()]
                for stride in STRIDES
            ]
        except KeyError as error:
            raise _no_detector(name, f"it gives no map of the shape {error}") from error


class KerasDetector:
    """A network of Keras, as it was trained."""

    def __init__(self, network: Any) -> None:
        self.network = network
        _, rows, columns, _ = network.input_shape
        self.size = (int(columns), int(rows))
        self.runtime = "Keras"

    def find(self, frame: Pixels, min_score: float) -> Detections:
        """See ``DetectorNetwork.find``."""
        return self.find_all([frame], min_score)[0]

    def find_all(self, frames: Sequence[Pixels], min_score: float) -> list[Detections]:
        """See ``DetectorNetwork.find_all``."""
        least = logit(min(max(min_score, 1e-6), 1 - 1e-6))
        result = []
        for said in self.raw(frames):
            found = np.flatnonzero(said[:, 0] >= least)
            places, said = grid(self.size)[found], said[found]
            result.append(suppress(decode(places, said[:, 0], said[:, 1:5], said[:, 5:])))
        return result

    def raw(self, frames: Sequence[Pixels]) -> Floats:
        """All numbers of all cells of frames, (N, cells, 15) float32."""
        stacked = np.stack(frames)[..., None]
        maps = self.network.predict(stacked, batch_size=_BATCH, verbose=0)
        flat = [each.reshape(len(stacked), -1, each.shape[-1]) for each in maps]
        parts = len(PARTS)
        strides = [
            np.concatenate(flat[first : first + parts], axis=2)
            for first in range(0, len(flat), parts)
        ]
        return np.concatenate(strides, axis=1).astype(np.float32)


NOTHING = Detections(
    np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty((0, 5, 2), np.float32)
)


def _quantized(value: float, tensor: dict[str, Any]) -> float:
    scale, zero = tensor["quantization"]
    return value / scale + zero if scale else value


def _real(values: np.ndarray, tensor: dict[str, Any]) -> Floats:
    scale, zero = tensor["quantization"]
    result = values.astype(np.float32)
    return (result - zero) * np.float32(scale) if scale else result


def _no_detector(name: str, what: str) -> FerEdgeError:
    return FerEdgeError(
        f"{name} is not a face detector of fer-edge: {what}",
        "export one: fer-edge export RUN --int8, of a run with task = 'detect'",
    )
