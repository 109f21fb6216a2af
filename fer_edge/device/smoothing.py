"""One face's expression over time: probabilities smoothed, a label held until another leads."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from fer_edge.errors import FerEdgeError

UNCERTAIN = "uncertain"
"""What a face is called while no expression is probable enough."""

MIN_CONFIDENCE = 0.35
"""Probability that an expression needs to be named where neither a person nor the model says."""


@dataclass(frozen=True)
class Smoothing:
    """How sure and how steady a label has to be."""

    time_constant: float = 0.2
    """Seconds in which an old expression's weight falls to 37%; 0 takes each frame by itself."""
    min_confidence: float | None = None
    """Probability that an expression needs to be named, 0 to 1; None takes the model's own."""
    margin: float = 0.1
    """Lead in probability that another expression needs to replace the one that is named."""

    def __post_init__(self) -> None:
        if not 0 <= self.time_constant <= 60:
            raise FerEdgeError(
                f"--smoothing is a time constant in seconds, 0 to 60, got {self.time_constant:g}",
                "for example 0.2; 0 takes each frame by itself",
            )
        for name, usual in (("min_confidence", MIN_CONFIDENCE), ("margin", type(self).margin)):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise FerEdgeError(
                    f"--{name.replace('_', '-')} is a probability, 0 to 1, got {value:g}",
                    f"for example {usual:g}",
                )

    def for_model(self, min_confidence: float | None) -> Smoothing:
        """With what was chosen for a model, where nothing was asked for."""
        if self.min_confidence is not None:
            return self
        return replace(
            self, min_confidence=MIN_CONFIDENCE if min_confidence is None else min_confidence
        )


NO_SMOOTHING = Smoothing(time_constant=0.0, min_confidence=0.0, margin=0.0)
"""Each frame by itself: the label is the most probable one."""


class Expression:
    """The expression of one face, frame after frame."""

    def __init__(self, smoothing: Smoothing, labels: tuple[str, ...]) -> None:
        self.label = UNCERTAIN
        """The one that is held."""
        self.probabilities: npt.NDArray[np.float32] = np.zeros(len(labels), np.float32)
        """(C,) smoothed; the sum is 1 once something was added."""
        self._smoothing = smoothing.for_model(None)
        self._labels = labels
        self._at: float | None = None

    @property
    def confidence(self) -> float:
        """Smoothed probability of the label; of the most probable one where that is uncertain."""
        if self.label == UNCERTAIN:
            return float(self.probabilities.max())
        return float(self.probabilities[self._labels.index(self.label)])

    def add(self, probabilities: npt.NDArray[np.float32], seconds: float) -> None:
        """Take in what the model says of one frame, (C,) float32, and when that was, in seconds."""
        if self._at is None:
            self.probabilities = probabilities
        else:
            new = self._weight(seconds - self._at)
            self.probabilities = self.probabilities + new * (probabilities - self.probabilities)
        self._at = seconds
        self._name()

    def _weight(self, elapsed: float) -> float:
        """Of the newest frame: exact for any frame rate, and for frames that come unevenly."""
        constant = self._smoothing.time_constant
        if constant == 0:
            return 1.0
        return 1 - math.exp(-max(0.0, elapsed) / constant)

    def _name(self) -> None:
        least, margin = self._smoothing.min_confidence, self._smoothing.margin
        assert least is not None
        best = int(self.probabilities.argmax())
        top = float(self.probabilities[best])
        held = 0.0 if self.label == UNCERTAIN else self.confidence
        if top >= least and (self.label == UNCERTAIN or top - held >= margin):
            self.label = self._labels[best]
        elif held < least - margin:
            self.label = UNCERTAIN
