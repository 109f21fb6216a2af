"""Face detectors: a gray plane in, face boxes out."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from fer_edge.device.opencv import load_opencv
from fer_edge.errors import FerEdgeError
from fer_edge.face import HAAR, Box, CropRule, Pixels


class Detector(Protocol):
    """Finds the faces of one frame; may remember where they were in the frame before."""

    crop_rule: CropRule
    """How this detector's boxes become a model's input, unless the bundle says otherwise."""

    def detect(self, gray: Pixels) -> list[Box]:
        """Return the face boxes of ``gray``, (H, W) uint8, largest first, in its pixels."""
        ...


class HaarDetector:
    """Viola–Jones' cascade from the OpenCV wheel, on at most 320 columns.

    Every box is a detection on the frame it is reported for. What makes it fast is where it looks:
    around the previous frame's faces, and everywhere when one of them is not found again, when
    there was none, or in every ``full_every``-th frame; so a face that joins others may be seen
    ``full_every`` - 1 frames late.

    The alt2 cascade, scale step 1.1 and 3 neighbours found the one face in 464 of 464 and 113 of
    115 frames of two 596×336 clips without a false box; the median frame took 3.3 ms where a full
    search takes 11 (2 threads), the default cascade 5.8. A step of 1.2 halves the full search, and
    loses one frame in ten of the harder clip.
    """

    crop_rule = HAAR

    def __init__(
        self,
        *,
        min_face: float = 0.15,
        max_width: int = 320,
        full_every: int = 10,
        cascade: Path | None = None,
    ) -> None:
        """Load the cascade.

        Args:
            min_face: the smallest face, as a fraction of the frame's shorter side, above 0 to 1.
                Time grows steeply as it falls.
            max_width: columns to which a wider frame is reduced before the search.
            full_every: frames between two searches of the whole frame; 1 searches each.
            cascade: another cascade file in OpenCV's XML format.

        Raises:
            FerEdgeError: a value is out of range, or the cascade cannot be loaded.
        """
        if not 0 < min_face <= 1:
            raise FerEdgeError(
                f"the smallest face is a fraction of the frame, got {min_face:g}",
                "give a number above 0 and at most 1, such as 0.15",
            )
        self._cv2 = load_opencv()
        path = cascade or Path(self._cv2.data.haarcascades) / "haarcascade_frontalface_alt2.xml"
        self._cascade: Any = None
        if path.is_file():
            with suppress(self._cv2.error, SystemError):
                self._cascade = self._cv2.CascadeClassifier(str(path))
        if self._cascade is None or self._cascade.empty():
            raise FerEdgeError(f"{path} is not a Haar cascade", "name an OpenCV cascade's XML file")
        self._min_face = min_face
        self._max_width = max_width
        self._full_every = full_every
        self._found: list[Box] = []
        self._since_full = 0

    def detect(self, gray: Pixels) -> list[Box]:
        """Return the faces of ``gray``, (H, W) uint8, as boxes in its pixels, largest first."""
        small, scale = self._shrink(gray)
        found: list[Box] | None = None
        self._since_full += 1
        if self._found and self._since_full < self._full_every:
            found = self._search_near(small)
        if found is None:
            found = self._search_everywhere(small)
            self._since_full = 0
        self._found = found
        boxes = [_enlarge(box, scale) for box in found]
        return sorted(boxes, key=lambda box: box[2] * box[3], reverse=True)

    def _shrink(self, gray: Pixels) -> tuple[Pixels, float]:
        height, width = gray.shape
        if width <= self._max_width:
            return gray, 1.0
        scale = self._max_width / width
        size = (self._max_width, max(1, round(height * scale)))
        return self._cv2.resize(gray, size, interpolation=self._cv2.INTER_AREA), scale

    def _search_everywhere(self, small: Pixels) -> list[Box]:
        least = max(1, round(self._min_face * min(small.shape)))
        return self._search(small, least, max(small.shape))

    def _search_near(self, small: Pixels) -> list[Box] | None:
        """Find each known face again, or None when one of them is not where it was."""
        rows, columns = small.shape
        found: list[Box] = []
        for x, y, width, height in self._found:
            margin = round(0.4 * width)
            left, top = max(0, x - margin), max(0, y - margin)
            right, bottom = min(columns, x + width + margin), min(rows, y + height + margin)
            inside = self._search(
                small[top:bottom, left:right], round(0.75 * width), round(1.35 * width)
            )
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


def _enlarge(box: Box, scale: float) -> Box:
    x, y, width, height = box
    return round(x / scale), round(y / scale), round(width / scale), round(height / scale)


def _same_face(one: Box, other: Box) -> bool:
    """Whether each box's centre lies inside the other."""
    return _holds_centre(one, other) and _holds_centre(other, one)


def _holds_centre(box: Box, other: Box) -> bool:
    x, y = other[0] + other[2] / 2, other[1] + other[3] / 2
    return box[0] <= x <= box[0] + box[2] and box[1] <= y <= box[1] + box[3]
