"""Whether pictures that are taken whole for cropped faces look like photographs."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fer_edge.data.rejects import log
from fer_edge.errors import FerEdgeError
from fer_edge.face import FACE_SIZE, Pixels
from fer_edge.shipped import shipped_detector

LARGE = 2 * FACE_SIZE
"""Pixels of the shorter side from which on a picture may be a photograph."""

LOOKED_AT = 20
"""Pictures of a dataset that are shown to the detector."""

FILLED = 0.5
"""Longer side of the face's box over that of the picture, from which on it is a cropped face."""

MARGIN = 0.25
"""Gray put around a picture, in its longer sides: a face that ends at all four borders, or beyond,
is found as one then."""

_GRAY = 128
_KEPT = 320
"""Pixels of the longer side to which the sample is reduced; the detector sees no more."""


class Photographs:
    """A sample of a dataset's large pictures, taken while they are read.

    The thresholds are measured: docs/datasets.md has the figures.
    """

    def __init__(self) -> None:
        self._rng = np.random.default_rng(0)
        self._sample: list[Pixels] = []
        self._large = 0

    def add(self, gray: Pixels) -> None:
        """Keep a picture, (H, W) uint8, for the sample, as likely as any other large one."""
        if min(gray.shape) < LARGE:
            return
        self._large += 1
        if len(self._sample) < LOOKED_AT:
            self._sample.append(_reduced(gray))
        elif (place := int(self._rng.integers(self._large))) < LOOKED_AT:
            self._sample[place] = _reduced(gray)

    def warn(self, path: Path) -> None:
        """Say so where a face fills less than half of the sample, if the detector runs here."""
        if not self._sample or (detector := shipped_detector()) is None:
            return
        try:
            unfilled = _unfilled(self._sample, detector)
        except FerEdgeError:
            return  # a machine without a runtime for it can train all the same
        if 2 * unfilled > len(self._sample):
            log.warning(
                "%s: in %d of %d pictures looked at no face fills the picture: they seem to be "
                "photographs, and are taken whole; cut the faces out with: %s",
                path,
                unfilled,
                len(self._sample),
                crop_command(path),
            )


def crop_command(path: Path) -> str:
    """The command that cuts the faces out of a dataset's pictures."""
    output = path.with_name(f"{path.name.split('.')[0]}-faces")
    return f"fer-edge data crop {shlex.quote(str(path))} -o {shlex.quote(str(output))}"


def _unfilled(pictures: Sequence[Pixels], detector_file: Path) -> int:
    """How many pictures show no face that fills them."""
    # the very one that cuts faces out on a device
    from fer_edge.detection.own import OwnDetector

    detector = OwnDetector(detector_file)
    count = 0
    for picture in pictures:
        longer = max(picture.shape)
        framed = np.pad(picture, round(MARGIN * longer), constant_values=_GRAY)
        sides = [max(box[2:]) for box in detector.detect(framed)]
        count += max(sides, default=0) < FILLED * longer
    return count


def _reduced(gray: Pixels) -> Pixels:
    """A picture of at most ``_KEPT`` pixels on its longer side."""
    import cv2

    scale = _KEPT / max(gray.shape)
    if scale >= 1:
        return gray
    size = [max(1, round(side * scale)) for side in gray.shape[::-1]]
    reduced: Pixels = cv2.resize(gray, size, interpolation=cv2.INTER_AREA)
    return reduced
