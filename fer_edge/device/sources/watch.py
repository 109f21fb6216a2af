"""Pictures that are there and yet wrong: black, frozen, of another size than before."""

from __future__ import annotations

import numpy as np

from fer_edge.face import Pixels

STEP = 8
"""Every eighth pixel of every eighth row is looked at: 14 µs for 640×480 on x86-64."""

_BLACK, _LIT = 32, 64
"""Nothing is brighter in a black picture; something is in one that no longer counts as black."""


class PictureWatch:
    """Looks at every frame of a camera and names each fault once, when it begins."""

    def __init__(self, frozen_after: float) -> None:
        """``frozen_after``: seconds of identical pictures that no working sensor gives."""
        self._frozen_after = frozen_after
        self._sample: Pixels | None = None
        self._size: tuple[int, ...] | None = None
        self._changed = 0.0
        self._black = self._frozen = False

    def look(self, gray: Pixels, now: float) -> tuple[str, str] | None:
        """Return a fault that begins with this picture, as its kind and what to say of the camera.

        Args:
            gray: (H, W) uint8.
            now: seconds of a monotonic clock.
        """
        sample = gray[::STEP, ::STEP].copy()
        fault = self._look_at_size(gray.shape) or self._look_at_light(sample)
        return self._look_at_change(sample, now) or fault

    def _look_at_size(self, size: tuple[int, ...]) -> tuple[str, str] | None:
        before, self._size = self._size, size
        if before is None or before == size:
            return None
        old, new = (f"{width}×{height}" for height, width in (before, size))
        return "resized", f"gives {new} pixels now, {old} before"

    def _look_at_light(self, sample: Pixels) -> tuple[str, str] | None:
        was_black, brightest = self._black, int(sample.max())
        self._black = brightest < (_LIT if was_black else _BLACK)
        if was_black or not self._black:
            return None
        return "black", "gives black pictures: no light, or something covers it"

    def _look_at_change(self, sample: Pixels, now: float) -> tuple[str, str] | None:
        # a covered lens may well give the same black over and over
        if self._black or self._sample is None or not np.array_equal(sample, self._sample):
            self._sample, self._changed, self._frozen = sample, now, False
            return None
        if self._frozen or now - self._changed < self._frozen_after:
            return None
        self._frozen = True
        return "frozen", f"gave the same picture for {self._frozen_after:g} s"
