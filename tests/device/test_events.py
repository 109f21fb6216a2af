"""A face appears, changes its expression, leaves: each told once, in this order."""

from __future__ import annotations

import numpy as np

from fer_edge.device.events import FacesInView, TrackEvent
from fer_edge.device.smoothing import NO_SMOOTHING, Smoothing
from fer_edge.device.tracking import Sighting, Sightings

LABELS = ("sad", "happy", "neutral")
ROWS = {
    label: np.where(np.arange(3) == place, 0.8, 0.1).astype(np.float32)
    for place, label in enumerate(LABELS)
}
BOX = (10, 20, 30, 40)


def _update(
    view: FacesInView, seconds: float, *shown: tuple[int, str], left: tuple[int, ...] = ()
) -> tuple[TrackEvent, ...]:
    seen = tuple(Sighting(BOX, track) for track, _ in shown)
    rows = np.array([ROWS[label] for _, label in shown], np.float32).reshape(-1, 3)
    return view.update(Sightings(seen, left), rows, seconds)[1]


def test_the_life_of_a_face_in_events():
    view = FacesInView(LABELS, NO_SMOOTHING)
    (appeared,) = _update(view, 5.0, (1, "happy"))
    assert _update(view, 6.0, (1, "happy")) == ()
    (changed,) = _update(view, 7.0, (1, "sad"))
    assert _update(view, 8.0) == ()  # out of sight, not gone yet
    (left,) = _update(view, 9.0, left=(1,))
    assert [event.kind for event in (appeared, changed, left)] == ["appear", "change", "leave"]
    assert [event.label for event in (appeared, changed, left)] == ["happy", "sad", "sad"]
    assert [event.previous for event in (appeared, changed, left)] == [None, "happy", None]
    assert [event.seconds for event in (appeared, changed, left)] == [0, 2, 2]
    assert left.box == BOX


def test_a_face_that_no_second_detection_confirmed_neither_appears_nor_leaves():
    view = FacesInView(LABELS, NO_SMOOTHING)
    doubtful = Sightings((Sighting(BOX, 1, confirmed=False),))
    faces, events = view.update(doubtful, ROWS["sad"][None], 0.0)
    assert [face.track for face in faces] == [1]
    assert events == ()
    assert _update(view, 0.1, left=(1,)) == ()


def test_faces_are_smoothed_each_by_itself():
    view = FacesInView(LABELS, Smoothing(time_constant=0.3))
    _update(view, 0.0, (1, "happy"), (2, "sad"))
    seen = (Sighting(BOX, 2), Sighting(BOX, 1))
    rows = np.array([ROWS["happy"], ROWS["happy"]])
    faces, _ = view.update(Sightings(seen), rows, 0.1)
    assert [(face.track, face.label) for face in faces] == [(2, "sad"), (1, "happy")]


def test_without_tracks_every_face_is_new_and_nothing_happens_to_it():
    view = FacesInView(LABELS, NO_SMOOTHING)
    for label in LABELS:
        seen = (Sighting(BOX), Sighting(BOX))
        faces, events = view.update(Sightings(seen), np.array([ROWS[label]] * 2), 0.0)
        assert [face.label for face in faces] == [label, label]
        assert events == ()


def test_a_track_that_has_left_is_forgotten():
    view = FacesInView(LABELS, Smoothing())
    for track in range(1, 2000):
        _update(view, float(track), (track, "happy"), left=(track - 1,))
    assert len(view._people) == 1
