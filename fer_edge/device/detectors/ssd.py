"""Single-shot detectors as .tflite files.

BlazeFace, and networks that end in TFLite's own operator, ``TFLite_Detection_PostProcess``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fer_edge.detection.frames import check_min_face, enlarge, fit
from fer_edge.device.detectors.base import largest_first
from fer_edge.errors import FerEdgeError
from fer_edge.face import BLAZEFACE, BLAZEFACE_FULL, YUNET, Box, Pixels
from fer_edge.opencv import load_opencv
from fer_edge.runtime import import_runtime, open_tflite
from fer_edge.runtime.trial import NoProcess, as_rehearsed, rehearse

Floats = npt.NDArray[np.float32]

ANCHORS: Mapping[int, tuple[tuple[int, int], ...]] = {
    896: ((16, 2), (8, 6)),
    2304: ((48, 1),),
}
"""BlazeFace's anchors by their number: cells along each side of a grid, and anchors in each cell.

896 is the short-range network (128 pixels) and the back camera's (256), 2304 the full-range one.
"""

_FULL_RANGE = 2304
_REHEARSAL = 20  # seconds for a first try, which takes a hundredth of one
_OVERLAP = 0.3  # two boxes that share more than this, as intersection over union, are one face


class SsdDetector:
    """A detector in the same runtime as the expression model; always searches the whole frame.

    The frame is fitted into the network's input with its proportions kept, in the upper left
    corner, and turned into what the input takes: uint8 as it is, int8 less 128, float32 in -1..1.
    """

    tilts: Sequence[float] = ()

    def __init__(
        self, path: Path, *, min_face: float = 0.15, min_score: float = 0.5, threads: int = 1
    ) -> None:
        """Load the network and find out which kind it is.

        Args:
            path: the .tflite file.
            min_face: smallest face that is reported, as a fraction of the frame's shorter side.
            min_score: score from which a detection counts, 0 to 1.
            threads: of the interpreter.

        Raises:
            FerEdgeError: the file is missing, cannot be run, or is no such detector.
        """
        self.name = str(path)
        self._min_face = check_min_face(min_face)
        self._min_score = min_score
        if not path.is_file():
            raise FerEdgeError(f"no face detector {path}", "name a .tflite file, or use haar")
        try:
            content = path.read_bytes()
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise FerEdgeError(
                f"cannot read the face detector {path}: {reason}", "give a file that you may read"
            ) from error
        import_runtime(self.name)  # once, rather than in the child as well
        try:
            # the interpreter ends the process over some damaged files
            done = rehearse(lambda: _try(content, self.name), seconds=_REHEARSAL)
        except NoProcess:
            raise
        except FerEdgeError as error:
            raise _no_detector(path, f"cannot be run: {error.message}") from error
        with as_rehearsed(done):
            self._network, _ = open_tflite(content, self.name, threads=threads)
        given = self._network.get_input_details()
        if len(given) != 1 or len(given[0]["shape"]) != 4 or given[0]["shape"][3] not in (1, 3):
            raise _no_detector(path, f"takes {[detail['shape'].tolist() for detail in given]}")
        self._input: Any = given[0]
        self._rows, self._columns, self._channels = (int(side) for side in self._input["shape"][1:])
        self._read, self.crop_rule = self._kind(path)
        try:
            self.detect(np.zeros((self._rows, self._columns), np.uint8))
        except (ValueError, RuntimeError) as error:
            raise _no_detector(path, f"cannot be run: {error}") from error

    def detect(self, gray: Pixels, near: Sequence[Box] = ()) -> list[Box]:
        """Find faces; see ``Detector.detect``."""
        picture, scale = self._fit(gray)
        self._network.set_tensor(self._input["index"], picture)
        self._network.invoke()
        corners, scores = self._read()
        sides = np.array([self._columns, self._rows] * 2, np.float32) / scale
        found = (scores >= self._min_score) & np.isfinite(corners).all(axis=1)
        left_top, right_bottom = np.split(corners[found] * sides, 2, axis=1)
        boxes = np.concatenate([left_top, right_bottom - left_top], axis=1)
        side = boxes[:, 2:].max(axis=1, initial=0)
        good = (side >= self._min_face * min(gray.shape)) & (side <= 2 * max(gray.shape))
        good &= boxes[:, 2:].min(axis=1, initial=np.inf) > 0
        kept = _without_doubles(boxes[good], scores[found][good], self._min_score)
        return largest_first([enlarge(box, 1.0) for box in kept])

    def _fit(self, gray: Pixels) -> tuple[npt.NDArray[Any], float]:
        """The network's input, and its pixels over those of the frame."""
        picture, scale = fit(gray, (self._columns, self._rows))
        dtype = np.dtype(self._input["dtype"])
        canvas = np.empty((1, self._rows, self._columns, self._channels), np.float32)
        canvas[0] = picture[..., None]
        if dtype == np.float32:
            canvas = canvas / 127.5 - 1
        elif dtype == np.int8:
            canvas -= 128
        return canvas.astype(dtype), scale

    def _kind(self, path: Path) -> tuple[Callable[[], tuple[Floats, Floats]], Any]:
        """How to read the outputs as corners and scores, and the crop rule for such boxes."""
        outputs = self._network.get_output_details()
        shapes = {tuple(int(side) for side in detail["shape"]): detail for detail in outputs}
        boxes = [detail for shape, detail in shapes.items() if shape[-1:] == (16,)]
        scores = [detail for shape, detail in shapes.items() if shape[-1:] == (1,)]
        if len(outputs) == 2 and boxes and scores and int(boxes[0]["shape"][1]) in ANCHORS:
            centres = anchor_centres(int(boxes[0]["shape"][1]))
            size = float(self._columns)

            def blazeface() -> tuple[Floats, Floats]:
                return decode_blazeface(
                    self._network.get_tensor(boxes[0]["index"])[0],
                    self._network.get_tensor(scores[0]["index"])[0, :, 0],
                    centres,
                    size,
                )

            return blazeface, BLAZEFACE_FULL if len(centres) == _FULL_RANGE else BLAZEFACE
        if len(outputs) == 4:
            box, score, number = (detail["index"] for detail in _post_processed(outputs))

            def post_processed() -> tuple[Floats, Floats]:
                # what follows the last detection is whatever was in memory
                count = int(self._network.get_tensor(number)[0])
                top_left_first = self._network.get_tensor(box)[0, :count]
                return top_left_first[:, [1, 0, 3, 2]], self._network.get_tensor(score)[0, :count]

            # trained on the same tight boxes as YuNet, as face detectors commonly are
            return post_processed, YUNET
        raise _no_detector(path, f"gives {sorted(shapes)}")


def anchor_centres(count: int) -> Floats:
    """Centres x, y of BlazeFace's ``count`` anchors, (count, 2), in 0..1 of the input."""
    parts = []
    for cells, each in ANCHORS[count]:
        middle = (np.arange(cells, dtype=np.float32) + 0.5) / cells
        y, x = np.meshgrid(middle, middle, indexing="ij")
        parts.append(np.repeat(np.stack([x.ravel(), y.ravel()], axis=1), each, axis=0))
    return np.concatenate(parts)


def decode_blazeface(
    regressors: Floats, logits: Floats, centres: Floats, size: float
) -> tuple[Floats, Floats]:
    """Turn BlazeFace's outputs into boxes.

    Args:
        regressors: (N, 16): the box's centre from its anchor's, its width and height, then six
            landmarks, in pixels of the input.
        logits: (N,) scores before the sigmoid.
        centres: (N, 2) of the anchors, in 0..1.
        size: pixels along the input's side.

    Returns:
        (N, 4) left, top, right, bottom in 0..1 of the input, and (N,) scores from 0 to 1.
    """
    middle = regressors[:, :2] / size + centres
    half = regressors[:, 2:4] / size / 2
    scores = (1 / (1 + np.exp(-np.clip(logits, -50, 50)))).astype(np.float32)
    return np.concatenate([middle - half, middle + half], axis=1), scores


def _post_processed(outputs: Sequence[Any]) -> tuple[Any, Any, Any]:
    """Boxes, scores and count among the outputs of TFLite_Detection_PostProcess.

    The operator gives boxes, classes, scores and count; a converter may have sorted them by the
    names that it gave them, which end in :0 to :3, counted from either end.
    """
    boxes = [detail for detail in outputs if len(detail["shape"]) == 3]
    lists = [detail for detail in outputs if len(detail["shape"]) == 2]
    count = [detail for detail in outputs if len(detail["shape"]) == 1]
    if not (len(boxes) == len(count) == 1 and len(lists) == 2):
        shapes = [detail["shape"].tolist() for detail in outputs]
        raise FerEdgeError(
            f"a face detector's four outputs have the shapes {shapes}",
            "name a network that ends in TFLite_Detection_PostProcess, or use haar",
        )
    end = ":1" if boxes[0]["name"].endswith(":3") else ":2"
    scores = next((detail for detail in lists if detail["name"].endswith(end)), lists[1])
    return boxes[0], scores, count[0]


def _without_doubles(boxes: Floats, scores: Floats, min_score: float) -> Floats:
    """Keep the best of the boxes that are one face; (N, 4) x, y, width, height."""
    if len(boxes) < 2:
        return boxes
    kept = load_opencv().dnn.NMSBoxes(boxes.tolist(), scores.tolist(), min_score, _OVERLAP)
    return boxes[np.asarray(kept, dtype=int).ravel()]


def _try(content: bytes, name: str) -> None:
    open_tflite(content, name)[0].invoke()


def _no_detector(path: Path, what: str) -> FerEdgeError:
    return FerEdgeError(
        f"{path} is not a face detector that is known here: it {what}",
        "BlazeFace or a network that ends in TFLite_Detection_PostProcess will do; or use haar",
    )
