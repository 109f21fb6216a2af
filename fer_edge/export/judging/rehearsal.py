"""Images to develop the int8 model on: the test split judges what they let pass, and no more.

Where it refuses that, the ladder climbs on, and the export says so.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from fer_edge.evaluation.metrics import Drop, drop
from fer_edge.export.judging.budget import Budget
from fer_edge.export.judging.gate import Verdict, judge
from fer_edge.export.source import Source
from fer_edge.runtime.many import classify_many

IMAGES = 1000
"""Enough to tell 97% agreement from 98%, few enough to be asked for every remedy."""
FEWEST = 100
"""On fewer images chance decides between remedies."""


@dataclass(frozen=True)
class Rehearsal:
    """Images that are not tested on, with the float model's answers.

    Attributes:
        origin: where they are from, and of training images whether they calibrate, for people.
        faces: (N, 48, 48) uint8.
        targets: (N,) uint8.
        labels: class names.
        reference: (N, classes) float32, the float model's probabilities.
        subjects: (N,) unicode, who is in the picture, or None where nobody knows.
    """

    origin: str
    faces: np.ndarray
    targets: np.ndarray
    labels: tuple[str, ...]
    reference: np.ndarray
    subjects: np.ndarray | None = None

    def __str__(self) -> str:
        return f"rehearsing on {len(self.faces)} images {self.origin}"

    def first(self, count: int) -> Rehearsal:
        """The first ``count`` images alone."""
        return replace(
            self,
            faces=self.faces[:count],
            targets=self.targets[:count],
            reference=self.reference[:count],
            subjects=None if self.subjects is None else self.subjects[:count],
        )

    def compare(self, model: bytes) -> Drop:
        """What a model file loses against the float model."""
        said = classify_many(model, self.faces)
        return drop(self.reference, said, self.targets, self.labels, subjects=self.subjects)

    def judge(self, lost: Drop, budget: Budget) -> Verdict:
        """The gate's answer, had these been the test images."""
        counts = np.bincount(self.targets, minlength=len(self.labels))
        return judge(lost, dict(zip(self.labels, counts.tolist(), strict=True)), budget)


def rehearse(
    source: Source, model: bytes, calibration: np.ndarray, count: int = IMAGES, seed: int = 1
) -> Rehearsal:
    """Choose the images: of the validation splits, else of the training splits.

    A network knows its training images, and what int8 costs it on them says little; so they are
    mirrored. Those that calibrate are left out, unless fewer than ``FEWEST`` others are there.

    Args:
        source: the run; its test splits are not touched, and no other one holds their images.
        model: the float TFLite.
        calibration: (M, 48, 48, 1) uint8, the images that calibrate.
        count: at most so many images.
        seed: of the draw.
    """
    validation = list(source.roles.get("validation") or ())
    chosen = source.dataset.select(validation or source.roles["train"])
    origin = f"of {', '.join(validation)}" if validation else "of training, mirrored"
    taken = {image.tobytes() for image in calibration}
    free = [i for i, face in enumerate(chosen.faces) if face.tobytes() not in taken]
    # a small dataset calibrates on nearly all it has
    shared = len(free) < min(FEWEST, len(chosen))
    if shared:
        origin += ", those that calibrate among them"
    elif not validation:
        origin += ", none of which calibrate"
    order = np.random.default_rng(seed).permutation(len(chosen) if shared else free)
    chosen = chosen.subset(order[:count])
    faces = chosen.faces if validation else np.ascontiguousarray(chosen.faces[:, :, ::-1])
    reference = classify_many(model, faces)
    labels, who = source.dataset.labels, chosen.subjects
    return Rehearsal(origin, faces, chosen.targets, labels, reference, who)
