"""What the faces in view do: each one's expression now, and when one appears, changes or leaves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from fer_edge.device.smoothing import Expression, Smoothing
from fer_edge.device.tracking import Sighting, Sightings
from fer_edge.face import Box

Kind = Literal["appear", "change", "leave"]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""What a face may do."""


@dataclass(frozen=True)
class Face:
    """One face in one frame, with what the model made of it."""

    box: Box
    """In pixels of the frame; a face that is leaving may reach over its border."""
    label: str
    """The expression, or "uncertain"."""
    confidence: float
    """Its probability, 0 to 1; while uncertain, that of the most probable expression."""
    probabilities: npt.NDArray[np.float32]
    """(C,) in the order of the classifier's labels, smoothed over time; the sum is 1."""
    track: int | None = None
    """The face's number as long as it is in view, from 1; None where faces are not followed."""


@dataclass(frozen=True)
class TrackEvent:
    """Something that happened to a face."""

    kind: Kind
    track: int
    box: Box
    """Where it is, or was last."""
    label: str
    """Its expression from now on; with "leave" the last one."""
    previous: str | None
    """The expression before a change; else None."""
    confidence: float
    """As of ``Face``."""
    seconds: float
    """How long the face has been in view."""


@dataclass
class _Person:
    expression: Expression
    since: float
    until: float
    box: Box
    announced: str | None = None
    """The label that the newest event told; None before the face has appeared."""


class FacesInView:
    """Keeps the expression of every track over time."""

    def __init__(self, labels: tuple[str, ...], smoothing: Smoothing) -> None:
        self._labels = labels
        self._smoothing = smoothing
        self._people: dict[int, _Person] = {}

    def update(
        self, sightings: Sightings, probabilities: npt.NDArray[np.float32], seconds: float
    ) -> tuple[tuple[Face, ...], tuple[TrackEvent, ...]]:
        """Take in one frame.

        Args:
            sightings: its faces, and the tracks that have ended.
            probabilities: what the model says of each face, (N, C) float32.
            seconds: when the frame was taken.

        Returns:
            The faces in the order of ``sightings``, and what has happened since the frame before.
        """
        faces: list[Face] = []
        events: list[TrackEvent] = []
        for sighting, row in zip(sightings.seen, probabilities, strict=True):
            person = self._person(sighting, seconds)
            person.expression.add(row, seconds)
            faces.append(_face(sighting, person.expression))
            if sighting.track is None or not sighting.confirmed:
                continue
            label = person.expression.label
            if person.announced is None:
                events.append(_event("appear", sighting.track, person, None))
            elif person.announced != label:
                events.append(_event("change", sighting.track, person, person.announced))
            person.announced = label
        for track in sightings.left:
            gone = self._people.pop(track, None)
            if gone is not None and gone.announced is not None:
                events.append(_event("leave", track, gone, None))
        return tuple(faces), tuple(events)

    def _person(self, sighting: Sighting, seconds: float) -> _Person:
        """The one behind a sighting; without a track, somebody new each time."""
        known = self._people.get(sighting.track or 0)
        if known is None:
            expression = Expression(self._smoothing, self._labels)
            known = _Person(expression, seconds, seconds, sighting.box)
            if sighting.track is not None:
                self._people[sighting.track] = known
        known.until, known.box = seconds, sighting.box
        return known


def _face(sighting: Sighting, expression: Expression) -> Face:
    return Face(
        sighting.box,
        expression.label,
        expression.confidence,
        expression.probabilities,
        sighting.track,
    )


def _event(kind: Kind, track: int, person: _Person, previous: str | None) -> TrackEvent:
    expression = person.expression
    return TrackEvent(
        kind,
        track,
        person.box,
        expression.label,
        previous,
        expression.confidence,
        person.until - person.since,
    )
