"""Viola–Jones: a cascade that comes with OpenCV, so that nothing has to be downloaded."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from fer_edge.detection.frames import check_min_face, enlarge
from fer_edge.device.detectors.base import largest_first, overlap, shrink
from fer_edge.errors import FerEdgeError
from fer_edge.face import HAAR, Box, Pixels
from fer_edge.opencv import load_opencv, opencv_path

_FEW = 4
"""Known faces up to which looking around each is cheaper than looking everywhere."""


class HaarDetector:
    """OpenCV's alt2 cascade on at most 320 columns.

    Told where faces were, it looks around those, which takes a tenth of the time of a search of the
    whole frame; a known face that is not found again has the whole frame searched at once.

    The alt2 cascade, scale step 1.1 and 3 neighbours found the one face in 464 of 464 and 112 of
    115 frames of two 596×336 clips, with 5 false boxes. A step of 1.2 halves the time, and loses
    one frame in ten of the harder clip.
    """

    crop_rule = HAAR
    tilts: Sequence[float] = ()

    def __init__(
        self,
        *,
        min_face: float = 0.15,
        max_width: int = 320,
        cascade: Path | None = None,
    ) -> None:
        """Load the cascade.

        Args:
            min_face: the smallest face, as a fraction of the frame's shorter side, above 0 to 1.
                Time grows steeply as it falls.
            max_width: columns to which a wider frame is reduced before the search.
            cascade: another cascade file in OpenCV's XML format.

        Raises:
            FerEdgeError: a value is out of range, or the cascade cannot be loaded.
        """
        self._min_face = check_min_face(min_face)
        self._cv2 = load_opencv()
        self.name = "haar" if cascade is None else str(cascade)
        path = cascade or Path(self._cv2.data.haarcascades) / "haarcascade_frontalface_alt2.xml"
        self._cascade: Any = None
        if path.is_file():
            with suppress(self._cv2.error, SystemError):
                self._cascade = self._cv2.CascadeClassifier(opencv_path(path))
        if self._cascade is None or self._cascade.empty():
            raise FerEdgeError(f"{path} is not a Haar cascade", "name an OpenCV cascade's XML file")
        self._max_width = max_width

    def detect(self, gray: Pixels, near: Sequence[Box] = ()) -> list[Box]:
        """Find faces; see ``Detector.detect``."""
        small, scale = shrink(gray, self._max_width)
        found: list[Box] | None = None
        if 0 < len(near) <= _FEW:
            found = self._search_near(small, [enlarge(box, 1 / scale) for box in near])
        if found is None:
            least = max(1, round(self._min_face * min(small.shape)))
            found = self._search(small, least, max(small.shape))
        return largest_first([enlarge(box, scale) for box in found])

    def _search_near(self, small: Pixels, known: Sequence[Box]) -> list[Box] | None:
        """Find each known face again, or None when one of them is not where it was."""
        rows, columns = small.shape
        found: list[Box] = []
        for x, y, width, height in known:
            margin = round(0.4 * width)
            left, top = max(0, x - margin), max(0, y - margin)
            right, bottom = min(columns, x + width + margin), min(rows, y + height + margin)
            if right <= left or bottom <= top:
                return None
            region = small[top:bottom, left:right]
            inside = self._search(region, round(0.75 * width), round(1.35 * width))
            if not inside:
                return None
            nearest = max(inside, key=lambda box: box[2])
            box = (nearest[0] + left, nearest[1] + top, nearest[2], nearest[3])
            if any(_same_face(box, other) for other in found):
                return None  # two neighbours became one box: look again at the whole frame
            found.append(box)
        return found

    def _search(self, region: Pixels, least: int, most: int) -> list[Box]:
        hits = self._cascade.detectMultiScale(
            region, scaleFactor=1.1, minNeighbors=3, minSize=(least, least), maxSize=(most, most)
        )
        return [(int(x), int(y), int(width), int(height)) for x, y, width, height in hits]


def _same_face(one: Box, other: Box) -> bool:
    """Whether the boxes overlap well, or each holds the other's centre."""
    return overlap(one, other) > 0.3 or (_holds_centre(one, other) and _holds_centre(other, one))


def _holds_centre(box: Box, other: Box) -> bool:
    x, y = other[0] + other[2] / 2, other[1] + other[3] / 2
    return box[0] <= x <= box[0] + box[2] and box[1] <= y <= box[1] + box[3]
