"""Tracks: identities that last, detection that is seldom, losses that are noticed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
import pytest

from fer_edge.device import tracking
from fer_edge.device.detectors import HaarDetector
from fer_edge.device.detectors.base import largest_first, overlap
from fer_edge.device.events import FacesInView
from fer_edge.device.smoothing import Smoothing
from fer_edge.device.sources import open_source
from fer_edge.device.tracking import EachFrame, FaceTracker
from fer_edge.errors import FerEdgeError
from fer_edge.face import HAAR, Box


class Stickers:
    """A world of textured squares on a wall, and a detector that knows where they are."""

    name = "stickers"
    crop_rule = HAAR
    tilts: tuple[float, ...] = ()

    def __init__(self, size: tuple[int, int] = (240, 320)) -> None:
        rng = np.random.default_rng(1)
        self._textures = [
            cv2.resize(rng.integers(0, 256, (12, 12)).astype(np.uint8), (60, 60)) for _ in range(9)
        ]
        self._wall = rng.integers(100, 140, size).astype(np.uint8)
        self.boxes: list[Box] = []
        self.blind = False
        self.asked: list[tuple[Box, ...]] = []

    def draw(self, places: Sequence[tuple[int, int]]) -> np.ndarray:
        """The world with a sticker at each place (left, top); out of the frame where negative."""
        picture, self.boxes = self._wall.copy(), []
        for texture, (x, y) in zip(self._textures, places, strict=False):
            if x >= 0:
                picture[y : y + 60, x : x + 60] = texture
                self.boxes.append((x, y, 60, 60))
        return picture

    def detect(self, gray: np.ndarray, near: Sequence[Box] = ()) -> list[Box]:
        self.asked.append(tuple(near))
        return [] if self.blind else largest_first(self.boxes)


def _film(
    world: Stickers,
    tracker: FaceTracker,
    frames: int,
    places: Callable[[int], Sequence[tuple[int, int]]],
    start: int = 0,
) -> list:
    return [
        tracker.find(world.draw(places(number)), number / 25)
        for number in range(start, start + frames)
    ]


def test_detection_is_seldom_and_boxes_in_between_follow_the_face():
    world = Stickers()
    tracker = FaceTracker(world, detect_every=10)
    found = _film(world, tracker, 42, lambda n: [(20 + 4 * n, 50 + n)])
    # the first frame, its confirmation, then every tenth
    assert tracker.detections == 6
    for number, sightings in enumerate(found):
        (seen,) = sightings.seen
        assert seen.track == 1
        assert overlap(seen.box, (20 + 4 * number, 50 + number, 60, 60)) > 0.9


def test_most_detections_look_near_known_faces_and_some_everywhere():
    world = Stickers()
    _film(world, FaceTracker(world, detect_every=2), 24, lambda n: [(20, 50)])
    whole = [not near for near in world.asked]
    assert 3 <= sum(whole) <= 5 < len(whole)
    assert whole[0]


def test_two_faces_keep_their_identities_when_the_larger_one_changes():
    world = Stickers()
    tracker = FaceTracker(world, detect_every=5)
    found = _film(world, tracker, 30, lambda n: [(10 + 3 * n, 20), (220 - 3 * n, 140)])
    for number, sightings in enumerate(found):
        tops = {seen.track: seen.box[1] for seen in sightings.seen}
        assert len(tops) == 2, number
        assert abs(tops[1] - 20) < 8
        assert abs(tops[2] - 140) < 8


def test_a_face_is_confirmed_by_a_second_detection_in_the_next_frame():
    world = Stickers()
    tracker = FaceTracker(world, detect_every=10)
    first, second = _film(world, tracker, 2, lambda n: [(20, 50)])
    assert [seen.confirmed for seen in first.seen] == [False]
    assert [seen.confirmed for seen in second.seen] == [True]


def test_after_a_gap_in_the_frames_a_face_in_the_same_place_is_somebody_else():
    world = Stickers()
    tracker = FaceTracker(world, detect_every=10)
    picture = world.draw([(100, 80)])
    for number in range(30):
        (known,) = tracker.find(picture, number / 30).seen
    seen = tracker.find(picture, 600.0)
    assert seen.left == (known.track,)
    (new,) = seen.seen
    assert new.track != known.track


def test_a_gap_behind_a_shorter_wait_is_a_gap():
    world = Stickers()
    tracker = FaceTracker(world, detect_every=10)
    picture = world.draw([(100, 80)])
    for number in range(20):
        tracker.find(picture, number / 30)
    assert tracker.find(picture, 1.5).left == ()
    assert tracker.find(picture, 4.5).left == (1,)


def test_frames_that_always_come_slowly_leave_no_gap():
    world = Stickers()
    tracker = FaceTracker(world, detect_every=1)
    tracks = {tracker.find(world.draw([(100, 80)]), 2.0 * n).seen[0].track for n in range(8)}
    assert len(tracks) == 1


def test_a_face_that_was_lost_too_long_ago_is_not_taken_up_again():
    world = Stickers()
    tracker = FaceTracker(world, detect_every=1)
    for number in range(5):
        (known,) = tracker.find(world.draw([(100, 80)]), number / 2).seen
    for number in range(5, 9):
        tracker.find(world.draw([]), number / 2)
    (new,) = tracker.find(world.draw([(100, 80)]), 4.5).seen
    assert new.track != known.track


def test_what_is_detected_only_once_is_dropped_in_the_next_frame():
    world = Stickers()
    tracker = FaceTracker(world)
    tracker.find(world.draw([(20, 50)]), 0.0)
    world.blind = True
    after = tracker.find(world.draw([(20, 50)]), 0.04)
    assert after.seen == ()
    assert after.left == (1,)


def test_what_was_detected_once_and_cannot_be_followed_is_forgotten_at_once():
    world = Stickers()
    tracker = FaceTracker(world, detect_every=10)
    tracker.find(world.draw([(20, 50)]), 0.0)
    (gone, *rest) = _film(world, tracker, 9, lambda n: [], start=1)
    assert gone.left == (1,)
    assert tracker.detections == 2
    assert all(found == gone.__class__(()) for found in rest)


def test_two_faces_that_were_out_of_sight_come_back_as_themselves():
    world = Stickers()
    tracker = FaceTracker(world, detect_every=5)
    _film(world, tracker, 6, lambda n: [(60, 80), (140, 80)])
    _film(world, tracker, 8, lambda n: [], start=6)
    back = _film(world, tracker, 3, lambda n: [(90, 80), (165, 80)], start=14)[-1]
    assert {seen.track: seen.box[0] for seen in back.seen} == {1: 90, 2: 165}


def test_a_lost_face_has_the_detector_run_in_the_same_frame():
    world = Stickers()
    tracker = FaceTracker(world, detect_every=100)
    _film(world, tracker, 5, lambda n: [(20, 50)])
    before = tracker.detections
    # it jumps: motion cannot follow, the detector finds it, and it is still itself
    (seen,) = tracker.find(world.draw([(70, 90)]), 0.2).seen
    assert tracker.detections == before + 1
    assert seen.box == (70, 90, 60, 60)
    assert seen.track == 1


def test_a_face_that_went_away_leaves_after_a_second_and_not_before():
    world = Stickers()
    tracker = FaceTracker(world)
    _film(world, tracker, 10, lambda n: [(20, 50)])
    gone = _film(world, tracker, 40, lambda n: [], start=10)
    assert all(sightings.seen == () for sightings in gone)
    left = [number for number, sightings in enumerate(gone, 10) if sightings.left == (1,)]
    assert len(left) == 1
    assert 9 + 25 <= left[0] <= 9 + 27


def test_a_face_that_comes_back_within_a_second_keeps_its_identity_and_later_gets_another():
    world = Stickers()
    tracker = FaceTracker(world, detect_every=5)
    _film(world, tracker, 10, lambda n: [(20, 50)])
    _film(world, tracker, 15, lambda n: [], start=10)
    back = _film(world, tracker, 6, lambda n: [(40, 60)], start=25)
    assert {seen.track for sightings in back for seen in sightings.seen} == {1}
    _film(world, tracker, 40, lambda n: [], start=31)
    again = _film(world, tracker, 6, lambda n: [(40, 60)], start=71)
    assert {seen.track for sightings in again for seen in sightings.seen} == {2}


def test_a_detector_that_misses_a_face_now_and_then_does_not_lose_it():
    world = Stickers()
    tracker = FaceTracker(world, detect_every=4)
    for number in range(40):
        world.blind = number > 4 and number % 2 == 0
        sightings = tracker.find(world.draw([(20 + number, 50)]), number / 25)
        assert [seen.track for seen in sightings.seen] == [1]


def test_what_only_motion_still_sees_is_given_up():
    world = Stickers()
    tracker = FaceTracker(world, detect_every=10)
    _film(world, tracker, 3, lambda n: [(20, 50)])
    world.blind = True
    seen = [bool(found.seen) for found in _film(world, tracker, 40, lambda n: [(20, 50)], start=3)]
    assert 9 <= seen.index(False) <= 18
    assert not any(seen[seen.index(False) :])


def test_a_frame_of_another_size_is_searched_anew():
    world, wide = Stickers(), Stickers((180, 400))
    tracker = FaceTracker(world, detect_every=10)
    _film(world, tracker, 3, lambda n: [(20, 50)])
    tracker.detector = wide
    (seen,) = tracker.find(wide.draw([(30, 55)]), 0.16).seen
    assert seen.box == (30, 55, 60, 60)
    assert seen.track == 1


@pytest.mark.parametrize("every", [1, 10])
def test_a_camera_that_comes_back_with_more_pixels_leaves_no_box_behind(every):
    # the copies in which faces are followed are of one size
    world, large = Stickers((480, 640)), Stickers((960, 1280))
    tracker = FaceTracker(world, detect_every=every)
    _film(world, tracker, 3, lambda n: [(200, 100)])
    tracker.detector = large
    (seen,) = tracker.find(large.draw([(900, 700)]), 0.16).seen
    assert seen.box == (900, 700, 60, 60)


def test_a_frame_that_is_overwritten_afterwards_does_no_harm():
    world = Stickers()
    tracker = FaceTracker(world, detect_every=10)
    _film(world, tracker, 3, lambda n: [(20, 50)])
    lent = world.draw([(22, 51)])
    tracker.find(lent, 0.12)
    lent[:] = 0
    (seen,) = tracker.find(world.draw([(24, 52)]), 0.16).seen
    assert overlap(seen.box, (24, 52, 60, 60)) > 0.9


def test_pictures_are_detected_one_by_one_and_have_no_tracks():
    world = Stickers()
    finder = EachFrame(world)
    for number in range(3):
        (seen,) = finder.find(world.draw([(20, 50)]), float(number)).seen
        assert seen.track is None
    assert finder.detections == 3


@pytest.mark.parametrize("every", [0, -1])
def test_detection_in_every_zeroth_frame_is_refused(every):
    with pytest.raises(FerEdgeError, match=str(every)):
        FaceTracker(Stickers(), detect_every=every)


def test_drawn_people_are_followed_under_one_identity_each(clip):
    with open_source(video=clip.path) as source:
        grays = [frame.gray for frame in source.frames()]
    tracker = FaceTracker(HaarDetector())
    for number, (gray, faces) in enumerate(zip(grays, clip.faces, strict=True)):
        seen = {sighting.track: sighting.box for sighting in tracker.find(gray, number / 25).seen}
        assert sorted(seen) == [1, 2]
        for face in faces:
            assert max(overlap(box, face.box) for box in seen.values()) > 0.6
    assert tracker.detections <= 5


def test_identities_are_kept_without_following_where_every_frame_is_searched(clip, monkeypatch):
    monkeypatch.setattr(tracking, "follow", None)
    with open_source(video=clip.path) as source:
        grays = [frame.gray for frame in source.frames()]
    tracker = FaceTracker(HaarDetector(), detect_every=1)
    for number, gray in enumerate(grays):
        seen = tracker.find(gray, number / 25).seen
        assert sorted(sighting.track for sighting in seen) == [1, 2]
    assert tracker.detections == len(grays)


def test_boxes_on_real_clips_are_as_good_between_detections_as_on_them(real_data):
    for name in ("woman2.mp4", "test.mp4"):
        detector, tracker, shared = HaarDetector(), FaceTracker(HaarDetector()), []
        with open_source(video=real_data / "clips" / name) as source:
            for frame in source.frames():
                seen = tracker.find(frame.gray, frame.index / 25).seen
                if frame.index % 7 == 3 and (found := detector.detect(frame.gray)) and seen:
                    shared.append(max(overlap(seen[0].box, box) for box in found))
                if frame.index == 150:
                    break
        assert np.mean(shared) > 0.88, name
        assert tracker.detections < 30


class Unreliable:
    """A detector that says anything."""

    name = "unreliable"
    crop_rule = HAAR
    tilts: tuple[float, ...] = ()

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)

    def detect(self, gray: np.ndarray, near: Sequence[Box] = ()) -> list[Box]:
        count = int(self._rng.choice([0, 1, 3, 50], p=[0.3, 0.4, 0.25, 0.05]))
        places = self._rng.integers(-20, max(gray.shape), (count, 2))
        sides = self._rng.integers(1, 200, count)
        return largest_first(
            [(int(x), int(y), int(s), int(s)) for (x, y), s in zip(places, sides, strict=True)]
        )


@pytest.mark.parametrize("seed", range(4))
def test_whatever_is_detected_a_face_appears_once_before_it_changes_and_leaves(seed):
    rng = np.random.default_rng(seed)
    tracker = FaceTracker(Unreliable(seed), detect_every=1 + seed)
    view, present, seconds = FacesInView(tuple("abcdefg"), Smoothing()), set(), 0.0
    wall = rng.integers(0, 255, (120, 160)).astype(np.uint8)
    for number in range(80):
        if number % 25 == 24:  # another size, down to a few pixels
            wall = rng.integers(0, 255, rng.integers(1, 200, 2)).astype(np.uint8)
        seconds += float(rng.exponential(0.2))
        found = tracker.find(np.roll(wall, number % 5, axis=1), seconds)
        tracks = [seen.track for seen in found.seen]
        assert len(set(tracks)) == len(tracks)
        assert not set(tracks) & set(found.left)
        rows = rng.dirichlet(np.ones(7), len(tracks)).astype(np.float32).reshape(-1, 7)
        for event in view.update(found, rows, seconds)[1]:
            assert (event.track in present) == (event.kind != "appear")
            (present.discard if event.kind == "leave" else present.add)(event.track)
    assert tracker.detections > 10
