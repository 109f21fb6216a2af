"""The frames that a detector is measured on: the same ones for everybody with the same photos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fer_edge.data.detection.backgrounds import load_backgrounds
from fer_edge.data.detection.frames import Composer, Composition, Truth
from fer_edge.data.detection.photos import FacePhotos

FRAMES, EMPTY = 600, 300
_SEED = 7


@dataclass(frozen=True)
class HeldOutFrames:
    """Frames with faces, then empty ones.

    Attributes:
        frames: (rows, columns) uint8 each.
        truths: of each; None for the empty ones.
    """

    frames: tuple[np.ndarray, ...]
    truths: tuple[Truth | None, ...]

    def resized(self, size: tuple[int, int]) -> HeldOutFrames:
        """The same frames reduced to ``size`` by area, as a camera's smaller picture is."""
        import cv2

        columns, rows = size
        if self.frames[0].shape == (rows, columns):
            return self
        factor = columns / self.frames[0].shape[1]
        return HeldOutFrames(
            tuple(cv2.resize(each, size, interpolation=cv2.INTER_AREA) for each in self.frames),
            tuple(None if truth is None else truth.scaled(factor) for truth in self.truths),
        )


def compose_held_out(
    photos: FacePhotos,
    splits: Sequence[str],
    backgrounds: Sequence[str] = (),
    *,
    frames: int = FRAMES,
    empty: int = EMPTY,
    seed: int = _SEED,
) -> HeldOutFrames:
    """Compose frames of 320×240 by the standard ``Composition``.

    Args:
        photos: all there are.
        splits: whose photos and backgrounds are taken.
        backgrounds: folders; none draws clutter.
        frames: with faces, each with one at least.
        empty: without.
        seed: of everything.

    Raises:
        FerEdgeError: no such split, or no such folder.
    """
    behind = load_backgrounds(backgrounds, splits)
    composer = Composer(photos.select(splits), behind, Composition(empty=0))
    made = list(composer.frames(frames, seed))
    return HeldOutFrames(
        (*(frame for frame, _ in made), *composer.empty_frames(empty, seed)),
        (*(truth for _, truth in made), *[None] * empty),
    )
