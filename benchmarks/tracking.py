"""Boxes that are followed between detections against boxes detected in every frame, and their cost.

    python benchmarks/tracking.py CLIP.mp4… [--yunet YUNET.onnx] [--size 320 240] [--mil]

For each clip and each way of following, faces are detected in every N-th frame and followed in
between; where all are lost, they are detected anew in the next frame. The intersection over union
with a Haar detection of the same frame is given for the frames in which nothing was detected, and
with YuNet's, an independent witness, if its file is named (its boxes mapped onto Haar's by their
median relation). Frames in which it was detected because all faces were lost, a share of those in
between, are left out: there the detection would be compared with itself. Milliseconds are processor
time of one thread, so that other work on the machine does not count.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from fer_edge.device.detectors import Detector, HaarDetector, YuNetDetector
from fer_edge.device.detectors.base import overlap, shrink
from fer_edge.device.motion import Region, follow
from fer_edge.device.sources import open_source
from fer_edge.device.tracking import FaceTracker
from fer_edge.face import Box

Step = Callable[[np.ndarray, np.ndarray, Region], Region | None]
"""From one gray frame with a box in it to the next frame: where the box is now."""


def main() -> None:
    """Print a table for each clip."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", type=Path, nargs="+")
    parser.add_argument("--yunet", type=Path)
    parser.add_argument("--size", type=int, nargs=2, metavar=("W", "H"), help="scale frames to it")
    parser.add_argument("--mil", action="store_true", help="TrackerMIL as well, which is slow")
    parser.add_argument("--every", type=int, nargs="*", default=[5, 10, 30], metavar="N")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    haar = HaarDetector()
    for path in options.clips:
        with open_source(video=path) as source:
            grays = [frame.gray for frame in source.frames()]
        if options.size is not None:
            grays = [cv2.resize(g, options.size, interpolation=cv2.INTER_AREA) for g in grays]
        print(f"\n{path.name}: {len(grays)} frames of {grays[0].shape[1]}×{grays[0].shape[0]}")
        began = time.process_time()
        detected = [haar.detect(gray) for gray in grays]
        cost = (time.process_time() - began) / len(grays) * 1e3
        print(f"Haar in every frame: {cost:.2f} ms a frame, {sum(map(bool, detected))} with a face")
        witness = None
        if options.yunet is not None:
            witness = _mapped(YuNetDetector(options.yunet, max_width=640), grays, detected)
            print(f"Haar against the witness: {_summary(_shared(detected, witness))}")
        neighbours = _shared(detected[1:], detected[:-1])
        print(f"Haar against Haar in the frame before: {_summary(neighbours)}")
        print(
            f"{'followed by':<22} N  against Haar: mean, p10, min   witness              ms    lost"
        )
        for name, step in (STEPS | ({"TrackerMIL": _Mil()} if options.mil else {})).items():
            for every in options.every:
                _report(name, every, _followed(grays, detected, every, step), detected, witness)
        for every in options.every:
            tracked = _tracked(grays, every)
            _report("all of FaceTracker", every, tracked, detected, witness)
            print(f"{'':<25}{sum(tracked.anew)} detections among these {len(grays)} frames")


@dataclass(frozen=True)
class Followed:
    """What a way of following gave.

    Attributes:
        boxes: of every frame.
        anew: whether a detection ran, frame by frame.
        cost: milliseconds a frame.
    """

    boxes: Sequence[list[Box]]
    anew: Sequence[bool]
    cost: float


def _report(
    name: str,
    every: int,
    followed: Followed,
    detected: Sequence[list[Box]],
    witness: Sequence[list[Box]] | None,
) -> None:
    between = [place for place, anew in enumerate(followed.anew) if not anew]
    mine = [followed.boxes[place] for place in between]
    haar = _summary(_shared(mine, [detected[place] for place in between]))
    other = "" if witness is None else _summary(_shared(mine, [witness[p] for p in between]))
    # the tracker's own turns lie elsewhere, but are as many
    turns = len(range(0, len(detected), every))
    lost = max(0, sum(followed.anew) - turns) / max(len(detected) - turns, 1)
    print(f"{name:<22}{every:>3}  {haar:<31}{other:<21}{followed.cost:5.2f}{lost:8.1%}")


def _followed(
    grays: Sequence[np.ndarray], detected: Sequence[list[Box]], every: int, step: Step
) -> Followed:
    """The cost is that of following, detection aside."""
    found: list[list[Box]] = []
    anew: list[bool] = []
    boxes: list[Region] = []
    before, spent = None, 0.0
    for place, gray in enumerate(grays):
        small, scale = shrink(gray, 320)
        began = time.process_time()
        if before is not None:
            moved = [step(before, small, box) for box in boxes]
            boxes = [box for box in moved if box is not None]
        spent += time.process_time() - began
        anew.append(place % every == 0 or not boxes)
        if anew[-1]:
            boxes = [tuple(value * scale for value in box) for box in detected[place]]
        before = small
        found.append([tuple(round(value / scale) for value in box) for box in boxes])
    return Followed(found, anew, spent / len(grays) * 1e3)


def _tracked(grays: Sequence[np.ndarray], every: int) -> Followed:
    """The same for the tracker as it runs on a device, detection and reduction included."""
    tracker = FaceTracker(HaarDetector(), detect_every=every)
    found: list[list[Box]] = []
    anew: list[bool] = []
    began = time.process_time()
    for place, gray in enumerate(grays):
        before = tracker.detections
        found.append([sighting.box for sighting in tracker.find(gray, place / 25).seen])
        anew.append(tracker.detections > before)
    return Followed(found, anew, (time.process_time() - began) / len(grays) * 1e3)


def _flow(before: np.ndarray, after: np.ndarray, box: Region) -> Region | None:
    return follow(before, after, [box])[0]


def _hold(before: np.ndarray, after: np.ndarray, box: Region) -> Region | None:
    return box


def _template(before: np.ndarray, after: np.ndarray, box: Region) -> Region | None:
    """The face's pixels of the frame before, at 32×32, searched a quarter of its side around."""
    x, y, side, _ = box
    height, width = before.shape
    if x < 0 or y < 0 or x + side > width or y + side > height:
        return None
    cut = before[int(y) : int(y + side), int(x) : int(x + side)]
    template = cv2.resize(cut, (32, 32), interpolation=cv2.INTER_AREA)
    left, top = max(0, int(x - side / 4)), max(0, int(y - side / 4))
    region = after[top : int(y + 1.25 * side), left : int(x + 1.25 * side)]
    factor = 32 / side
    region = cv2.resize(region, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    _, score, _, place = cv2.minMaxLoc(cv2.matchTemplate(region, template, cv2.TM_CCOEFF_NORMED))
    if score < 0.6:
        return None
    return left + place[0] / factor, top + place[1] / factor, side, side


class _Mil:
    """``cv2.TrackerMIL``, the one tracker of the headless wheel that needs no network."""

    def __init__(self) -> None:
        self._tracker = None
        self._box: Region | None = None

    def __call__(self, before: np.ndarray, after: np.ndarray, box: Region) -> Region | None:
        if box != self._box:  # a detection came in between
            self._tracker = cv2.TrackerMIL.create()
            self._tracker.init(cv2.cvtColor(before, cv2.COLOR_GRAY2BGR), [round(v) for v in box])
        there, place = self._tracker.update(cv2.cvtColor(after, cv2.COLOR_GRAY2BGR))
        self._box = tuple(float(value) for value in place) if there else None
        return self._box


STEPS: dict[str, Step] = {
    "nothing (box held)": _hold,
    "template matching": _template,
    "optical flow": _flow,
}


def _mapped(
    yunet: Detector, grays: Sequence[np.ndarray], detected: Sequence[list[Box]]
) -> list[list[Box]]:
    """YuNet's boxes of every frame as squares where and as large as Haar's usually are."""
    found = [yunet.detect(gray) for gray in grays]
    relations = []
    for mine, others in zip(found, detected, strict=True):
        if len(mine) == len(others) == 1:
            (x, y, width, height), (left, top, side, _) = mine[0], others[0]
            longer = max(width, height)
            relations.append(
                (
                    side / longer,
                    (left + side / 2 - x - width / 2) / longer,
                    (top + side / 2 - y - height / 2) / longer,
                )
            )
    scale, right, down = np.median(relations, axis=0)

    def square(box: Box) -> Box:
        x, y, width, height = box
        longer = max(width, height)
        side = scale * longer
        left = x + width / 2 + right * longer - side / 2
        top = y + height / 2 + down * longer - side / 2
        return round(left), round(top), round(side), round(side)

    return [[square(box) for box in boxes] for boxes in found]


def _shared(found: Sequence[list[Box]], truth: Sequence[list[Box]]) -> list[float]:
    """Intersection over union of each true box with the best found one, where both have any."""
    return [
        max(overlap(box, true) for box in boxes)
        for boxes, others in zip(found, truth, strict=True)
        for true in others[:1]
        if boxes
    ]


def _summary(shared: Sequence[float]) -> str:
    if not shared:
        return "none to compare"
    return f"{np.mean(shared):.3f}, {np.percentile(shared, 10):.3f}, {min(shared):.2f}"


if __name__ == "__main__":
    main()
