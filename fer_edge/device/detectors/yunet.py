"""YuNet: a small convolutional detector that OpenCV itself runs, given its ONNX file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fer_edge.chatter import silenced_stderr
from fer_edge.detection.frames import check_min_face, enlarge
from fer_edge.device.detectors.base import largest_first, shrink
from fer_edge.device.folders import MACHINE
from fer_edge.errors import FerEdgeError
from fer_edge.face import YUNET, Box, Pixels
from fer_edge.opencv import load_opencv, opencv_path


class YuNetDetector:
    """``cv2.FaceDetectorYN`` on at most 320 columns; always searches the whole frame.

    W. Wu, H. Peng, S. Yu: YuNet: A Tiny Millisecond-level Face Detector, 2023,
    DOI 10.1007/s11633-023-1423-y.
    """

    crop_rule = YUNET
    tilts: Sequence[float] = ()

    def __init__(
        self,
        path: Path,
        *,
        min_face: float = 0.15,
        max_width: int = 320,
        min_score: float = 0.7,
        name: str | None = None,
    ) -> None:
        """Load the network.

        Args:
            path: YuNet's ONNX file, as ``fer-edge doctor --get yunet`` gets it.
            min_face: smallest face that is reported, as a fraction of the frame's shorter side.
            max_width: columns to which a wider frame is reduced.
            min_score: score from which a detection counts, 0 to 1.
            name: what to call it; the path where not given.

        Raises:
            FerEdgeError: the file is missing or no YuNet, or a value is out of range.
        """
        self.name = name or str(path)
        self._min_face = check_min_face(min_face)
        self._max_width = max_width
        self._size = (0, 0)
        self._cv2 = load_opencv()
        # a service looks in the machine's folder alone, and only root writes there
        get = "sudo fer-edge" if path.is_relative_to(MACHINE) else "fer-edge"
        get = f"get one: {get} doctor --get yunet"
        if not os.access(path, os.R_OK):
            raise FerEdgeError(f"no face detector {path}", get if name else "check the path")
        file = opencv_path(path)
        try:
            with silenced_stderr():
                self._network = self._cv2.FaceDetectorYN.create(file, "", (64, 64), min_score)
                # a network with other outputs fails only when it is used
                self.detect(np.zeros((64, 64), np.uint8))
        except (self._cv2.error, SystemError) as error:
            raise FerEdgeError(
                f"{path} is not a YuNet face detector, or not one that OpenCV "
                f"{self._cv2.__version__} can run",
                get,
            ) from error

    def detect(self, gray: Pixels, near: Sequence[Box] = ()) -> list[Box]:
        """Find faces; see ``Detector.detect``."""
        small, scale = shrink(gray, self._max_width)
        height, width = small.shape
        if self._size != (width, height):
            self._size = (width, height)
            self._network.setInputSize(self._size)
        _, rows = self._network.detect(self._cv2.cvtColor(small, self._cv2.COLOR_GRAY2BGR))
        if rows is None:
            return []
        least = self._min_face * min(small.shape)
        boxes = [enlarge(row[:4], scale) for row in rows if max(row[2], row[3]) >= least]
        return largest_first(boxes)
