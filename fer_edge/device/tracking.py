"""Faces from frame to frame: detected now and then, followed in between, each with an identity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from fer_edge.detection.frames import enlarge
from fer_edge.device.detectors.base import Detector, overlap, shrink
from fer_edge.device.motion import Region, follow
from fer_edge.errors import FerEdgeError
from fer_edge.face import Box, Pixels

DETECT_EVERY = 10
"""Frames from one detection to the next, as long as no face is lost."""

_WIDTH = 320  # columns of the picture in which motion is followed
_WHOLE_EVERY = 3  # detections that search the whole frame, of those that know where faces are
_RETRY = 3  # frames to the next detection while somebody is missing
_MISSES = 3  # detections in a row that may fail to see a face that motion still follows
_FORGET_S = 1.0  # seconds after which a face that is not seen has left
_GAP = 5  # times the usual interval of frames from which a longer one is a gap
_SAME = 0.3  # overlap from which a detection is a tracked face
_TRUST = 0.7  # weight of a detection's box against the followed one: both are a little off


@dataclass(frozen=True)
class Sighting:
    """A face in one frame."""

    box: Box
    """In pixels of the frame."""
    track: int | None = None
    """The same for the same face as long as it is in view, from 1; None without tracking."""
    confirmed: bool = True
    """Whether a second detection agreed that this is a face."""
    tilt: float = 0.0
    """Degrees clockwise, as the newest detection saw it; 0 where the detector cannot tell."""


@dataclass(frozen=True)
class Sightings:
    """The faces of one frame."""

    seen: tuple[Sighting, ...]
    """Largest first."""
    left: tuple[int, ...] = ()
    """Tracks that have ended with this frame, for good."""


def check_detect_every(frames: int) -> None:
    """Raise FerEdgeError unless it is a number of frames from one detection to the next."""
    if frames < 1:
        raise FerEdgeError(
            f"--detect-every is at least 1, got {frames}", f"for example {DETECT_EVERY}"
        )


class Finder(Protocol):
    """Finds the faces of every frame, in order."""

    detector: Detector
    detections: int
    """Frames so far in which the detector ran."""

    def find(self, gray: Pixels, seconds: float) -> Sightings:
        """Take the next frame, (H, W) uint8, and when it was taken, in seconds."""
        ...


class EachFrame:
    """Detects in every frame and remembers nothing: for pictures that do not follow each other."""

    def __init__(self, detector: Detector) -> None:
        self.detector = detector
        self.detections = 0

    def find(self, gray: Pixels, seconds: float) -> Sightings:
        """Find the faces of one picture."""
        self.detections += 1
        found = self.detector.detect(gray)
        tilts = _tilts(self.detector, found)
        return Sightings(
            tuple(Sighting(box, tilt=tilt) for box, tilt in zip(found, tilts, strict=True))
        )


@dataclass
class _Track:
    number: int
    box: Region
    seen_at: float
    """Seconds."""
    hits: int = 1
    """Detections that saw it."""
    misses: int = 0
    """Detections in a row that did not."""
    visible: bool = True
    """Whether it was followed or found in the newest frame."""
    tilt: float = 0.0
    """As ``Sighting.tilt``."""

    def hit(self, box: Box, tilt: float) -> None:
        """Take a detection in: mixed with where motion says that the face is, if it says so."""
        if self.visible:
            x, y, width, height = (
                _TRUST * new + (1 - _TRUST) * old for new, old in zip(box, self.box, strict=True)
            )
            self.box = (x, y, width, height)
        else:
            self.box = _as_region(box)
        self.hits, self.misses, self.visible, self.tilt = self.hits + 1, 0, True, tilt


class FaceTracker:
    """Detects in every ``detect_every``-th frame and whenever a face is lost; follows in between.

    A new face is looked at again in the next frame, and dropped unless it is found once more. A
    face that cannot be followed any more has the detector search at once, then in every third frame
    for a second; found near its place within that time, it keeps its identity.
    """

    def __init__(self, detector: Detector, *, detect_every: int = DETECT_EVERY) -> None:
        """``detect_every`` is 1 or more; 1 detects in every frame, with identities.

        Raises:
            FerEdgeError: it is less than 1.
        """
        check_detect_every(detect_every)
        self.detector = detector
        self.detections = 0
        self._every = detect_every
        self._tracks: list[_Track] = []
        self._ended: list[int] = []
        self._issued = 0
        self._before: Pixels | None = None
        self._shape: tuple[int, int] | None = None
        self._at: float | None = None
        self._intervals: list[float] = []
        self._wait = 0
        self._near_in_a_row = 0

    def find(self, gray: Pixels, seconds: float) -> Sightings:
        """Take the next frame; one of another size than the last is searched anew."""
        self._wait -= 1
        self._forget(seconds)
        self._resize(gray)
        # where every frame is searched, following would cost as much as a fast detector
        if (self._every > 1 and self._lost_any(gray)) or self._wait <= 0:
            self._detect(gray, seconds)
        for track in self._tracks:
            if track.visible:
                track.seen_at = seconds
        ended, self._ended = self._ended, []
        return Sightings(self._seen(), tuple(ended))

    def _forget(self, seconds: float) -> None:
        """End what was lost too long ago and, after a gap in the frames, everything."""
        since = None if self._at is None else seconds - self._at
        # frames that come slowly all the time leave no gap; one that was late does not make it so
        usual = min(self._intervals, default=None)
        gap = since is not None and usual is not None and since > max(_FORGET_S, _GAP * usual)
        self._at = seconds
        if since is not None:
            self._intervals = [*self._intervals[-1:], since]
        for track in list(self._tracks):
            if gap or (not track.visible and seconds - track.seen_at > _FORGET_S):
                self._end(track)
        if gap:
            self._before, self._wait, self._near_in_a_row = None, 0, 0

    def _resize(self, gray: Pixels) -> None:
        """Search anew from where frames are of another size, as of a camera that came back."""
        rows, columns = gray.shape
        before, self._shape = self._shape, (rows, columns)
        if before in (None, self._shape):
            return
        for track in self._tracks:
            track.visible = False
            # of another shape they show something else
            if rows * before[1] == columns * before[0]:
                track.box = _scaled(track.box, columns / before[1])
        self._before, self._wait, self._near_in_a_row = None, 0, 0

    def _lost_any(self, gray: Pixels) -> bool:
        """Follow the visible tracks into this frame; returns whether one was lost."""
        small, scale = shrink(gray, _WIDTH)
        lost = self._follow(small, scale)
        # without a reduced copy the frame itself is all there is, and it is only lent to us
        self._before = small.copy() if small is gray else small
        return lost

    def _follow(self, small: Pixels, scale: float) -> bool:
        """Move the visible tracks to where they are now; returns whether one was lost."""
        visible = [track for track in self._tracks if track.visible]
        if not visible:
            return False
        regions = [_scaled(track.box, scale) for track in visible]
        now: list[Region | None] = [None] * len(regions)
        if self._before is not None and self._before.shape == small.shape:
            now = follow(self._before, small, regions)
        for track, region in zip(visible, now, strict=True):
            track.visible = region is not None
            if region is not None:
                track.box = _scaled(region, 1 / scale)
        return None in now

    def _detect(self, gray: Pixels, seconds: float) -> None:
        self.detections += 1
        near: list[Box] = []
        # looking only where faces are known to be would never find anybody else
        everybody_is_here = all(track.visible for track in self._tracks)
        if everybody_is_here and self._near_in_a_row < _WHOLE_EVERY - 1:
            near = [enlarge(track.box, 1.0) for track in self._tracks]
        self._near_in_a_row = self._near_in_a_row + 1 if near else 0
        self._match(self.detector.detect(gray, near), seconds)
        tentative = any(track.visible and track.hits == 1 for track in self._tracks)
        missing = any(not track.visible or track.misses for track in self._tracks)
        self._wait = 1 if tentative else min(_RETRY, self._every) if missing else self._every

    def _match(self, found: Sequence[Box], seconds: float) -> None:
        """Give each detection to the track that it is, or to a new one."""
        tilts = _tilts(self.detector, found)
        visible = [track for track in self._tracks if track.visible]
        matches = _pairs(visible, found)
        for track in visible:
            if track.number in matches:
                place = matches[track.number]
                track.hit(found[place], tilts[place])
            else:
                track.misses += 1
                track.visible = track.hits > 1 and track.misses < _MISSES
        for place, box in enumerate(found):
            if place in matches.values():
                continue
            lost = [track for track in self._tracks if not track.visible and _may_be(track, box)]
            if lost:
                min(lost, key=lambda track: _apart(track.box, box)).hit(box, tilts[place])
            else:
                self._issued += 1
                new = _Track(self._issued, _as_region(box), seconds, tilt=tilts[place])
                self._tracks.append(new)
        for track in [track for track in self._tracks if not track.visible and track.hits == 1]:
            self._end(track)

    def _end(self, track: _Track) -> None:
        self._tracks.remove(track)
        self._ended.append(track.number)

    def _seen(self) -> tuple[Sighting, ...]:
        visible = [track for track in self._tracks if track.visible]
        visible.sort(key=lambda track: track.box[2] * track.box[3], reverse=True)
        return tuple(
            Sighting(enlarge(track.box, 1.0), track.number, track.hits > 1, track.tilt)
            for track in visible
        )


def _pairs(tracks: Sequence[_Track], found: Sequence[Box]) -> dict[int, int]:
    """Which detection each track is, the best overlap first: track number to place in ``found``."""
    overlaps = sorted(
        (
            (overlap(track.box, box), track.number, place)
            for track in tracks
            for place, box in enumerate(found)
        ),
        reverse=True,
    )
    pairs: dict[int, int] = {}
    for shared, number, place in overlaps:
        if shared >= _SAME and number not in pairs and place not in pairs.values():
            pairs[number] = place
    return pairs


def _tilts(detector: Detector, found: Sequence[Box]) -> Sequence[float]:
    """One for each box, 0 where the detector cannot tell."""
    return detector.tilts or [0.0] * len(found)


def _may_be(lost: _Track, box: Box) -> bool:
    """Whether a face that was lost may be this one: of its size, and less than that size away."""
    side = lost.box[2]
    return _apart(lost.box, box) < side and 0.6 < box[2] / side < 1 / 0.6


def _apart(one: Region, other: Box) -> float:
    """Distance of two boxes' centres, along the axis on which they are farther apart."""
    across = one[0] + one[2] / 2 - other[0] - other[2] / 2
    return max(abs(across), abs(one[1] + one[3] / 2 - other[1] - other[3] / 2))


def _as_region(box: Box) -> Region:
    x, y, width, height = box
    return float(x), float(y), float(width), float(height)


def _scaled(box: Region, factor: float) -> Region:
    x, y, width, height = box
    return x * factor, y * factor, width * factor, height * factor
