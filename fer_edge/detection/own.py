"""The package's own detector, on the runtime that the expression model is on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fer_edge.bundle import open_bundle
from fer_edge.bundle.golden_frames import MEMBERS, prove_detector
from fer_edge.bundle.minisign import PublicKey
from fer_edge.detection import RELIABLE, Detections
from fer_edge.detection.decoding import Floats
from fer_edge.detection.frames import check_min_face, enlarge, fit
from fer_edge.face import OWN, Box, Pixels

EARLY = 5
"""Frames computed before the first one: the interpreter sets itself up."""


class OwnDetector:
    """A detector's bundle; always searches the whole frame.

    The bundle is proven on this machine first. Of its networks the one for the smallest frames is
    taken that still sees the smallest face wanted at ``RELIABLE`` pixels, else the largest.
    """

    crop_rule = OWN
    tilts: Sequence[float] = ()

    def __init__(
        self,
        path: Path,
        *,
        min_face: float = 0.15,
        min_score: float | None = None,
        threads: int = 1,
        name: str | None = None,
        keys: Sequence[PublicKey] | None = None,
    ) -> None:
        """Open and prove the bundle.

        Args:
            path: the ``.fer`` file.
            min_face: smallest face that is reported, as a fraction of the frame's shorter side.
            min_score: score from which a detection counts; None takes the bundle's.
            threads: of the interpreter.
            name: what to call it; the path where not given.
            keys: of which one must have signed it; None takes those that this machine trusts.

        Raises:
            FerEdgeError: no such bundle, it is no detector's, it is not signed by a trusted key
                where there is one, or this machine computes something else than its maker's did.
        """
        self.name = name or str(path)
        self._min_face = check_min_face(min_face)
        bundle = open_bundle(path, keys=keys)
        by_size = sorted(MEMBERS, key=lambda member: MEMBERS[member])
        enough = [m for m in by_size if min_face * min(MEMBERS[m]) >= RELIABLE]
        self.member = (enough or by_size[-1:])[0]
        self._network, _ = prove_detector(bundle, self.member, threads=threads)
        stored = bundle.manifest.detector.get("min_score", {}).get(self.member, 0.5)
        self._min_score = float(stored) if min_score is None else min_score
        self.crop_rule = bundle.manifest.crop
        blank = np.zeros(MEMBERS[self.member][::-1], np.uint8)
        for _ in range(EARLY):
            self.find(blank)

    def detect(self, gray: Pixels, near: Sequence[Box] = ()) -> list[Box]:
        """Find faces; see ``Detector.detect``."""
        found = self.find(gray)
        found = found.take(np.argsort(-found.boxes[:, 2:].prod(axis=1), kind="stable"))
        self.tilts = [tilt_of(points) for points in found.landmarks]
        return [enlarge(box, 1.0) for box in found.boxes]

    def find(self, gray: Pixels) -> Detections:
        """Faces with scores and landmarks, in pixels of ``gray``, best first."""
        picture, scale = fit(gray, self._network.size)
        found = self._network.find(picture, self._min_score).scaled(1 / scale)
        return found.take(
            found.boxes[:, 2:].max(axis=1, initial=0) >= self._min_face * min(gray.shape)
        )


def tilt_of(landmarks: Floats) -> float:
    """How far the line of the eyes is turned clockwise, in degrees; (5, 2), right eye first."""
    across, down = landmarks[1] - landmarks[0]
    return math.degrees(math.atan2(float(down), float(across)))
