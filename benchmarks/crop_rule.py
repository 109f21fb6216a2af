"""How much of a face FER2013 shows, in boxes of each face detector: the crop rules of face.py.

    python benchmarks/crop_rule.py FER2013.tar.gz PHOTOS.zip BUNDLE.fer --yunet YUNET.onnx

FER2013's images are cut so close that a detector takes their border for the face's. So each image
is put where the face of a photographed head was, hair and chin around it. What is left of the bias
is measured on faces whose framing is known, because they were cut out of photos at the places where
FER2013 has eyes and mouths: found in their own photo, and found again after being put into another
head like FER2013's images. PHOTOS is a zip or a folder with pictures of people, one face in each;
YuNet finds their eyes and mouths. docs/crop-rule.md tells what came out.
"""

from __future__ import annotations

import argparse
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from fer_edge.data import load_dataset
from fer_edge.device.classifier import Classifier, open_classifier
from fer_edge.device.detectors import (
    Detector,
    HaarDetector,
    OwnDetector,
    SsdDetector,
    YuNetDetector,
)
from fer_edge.face import Box, CropRule, crop_face

SIDES = (60, 131)
"""Pixels along a face put into a frame."""
PLAIN = CropRule("plain")
FACTORS = (0.8, 0.85, 0.9, 0.95, 1, 1.05, 1.1, 1.15)


@dataclass(frozen=True)
class Head:
    """A photographed head and the square of its face in FER2013's framing."""

    gray: np.ndarray
    square: Box


@dataclass(frozen=True)
class Framing:
    """The true square in terms of detected boxes: medians over the faces that were found."""

    found: float
    scale: float
    offset_x: float
    offset_y: float
    spread: tuple[float, float]
    """Quartiles of the scale."""

    def __str__(self) -> str:
        low, high = self.spread
        return (
            f"{self.found:5.1%} {self.scale:6.3f} ({low:.2f}–{high:.2f}) "
            f"{self.offset_x:+.3f} {self.offset_y:+.3f}"
        )


def main() -> None:
    """Print the framing by each detector, the rule that follows, and what it does to accuracy."""
    options = _options()
    cv2.setNumThreads(1)
    rng = np.random.default_rng(options.seed)
    dataset = load_dataset(options.data)
    chosen = np.flatnonzero(dataset.splits == options.split)
    chosen = rng.permutation(chosen)[: options.count]
    faces, targets = dataset.faces[chosen].reshape(-1, 48, 48), dataset.targets[chosen]
    classifier = open_classifier(options.bundle)
    landmarks = cv2.FaceDetectorYN.create(str(options.yunet), "", (64, 64), 0.8)
    eyes, mouth = _fer2013_landmarks(faces[:400], landmarks)
    print(f"FER2013 has the eyes' middle at {eyes.round(3)} and the mouth's at {mouth.round(3)}")
    heads = list(_heads(options.photos, options.heads, landmarks, eyes, mouth))
    print(f"{len(heads)} heads, {len(faces)} images of {options.split}, {options.bundle}")
    for detector in _detectors(options):
        if options.only and detector.crop_rule.detector not in options.only:
            continue
        print(f"\n{detector.name}: {detector.crop_rule}")
        if not options.accuracy:
            _derive(detector, faces, heads, options.seed)
        _judge(detector, classifier, faces, targets, heads, options.seed)


def _derive(detector: Detector, faces: np.ndarray, heads: Sequence[Head], seed: int) -> None:
    cut = [crop_face(head.gray, head.square, PLAIN) for head in heads]
    print(f"{'':<32} found  scale (quartiles) offsets")
    alone = _framing(detector, _alone(faces, seed))
    print(f"{'FER2013 alone in its frame':<32} {alone}")
    fer = _framing(detector, _in_heads(faces, heads, seed))
    print(f"{'FER2013 in photographed heads':<32} {fer}")
    put = _framing(detector, _in_heads(np.array(cut), heads, seed))
    print(f"{'photographed faces likewise':<32} {put}")
    own = _framing(detector, ((head.gray, head.square) for head in heads))
    print(f"{'the same where they came from':<32} {own}")
    scale = fer.scale * own.scale / put.scale
    offsets = (
        fer.offset_x + own.offset_x - put.offset_x,
        fer.offset_y + own.offset_y - put.offset_y,
    )
    print(f"{'so, the bias taken out':<32}       {scale:6.3f} {offsets[0]:+.3f} {offsets[1]:+.3f}")


def _judge(
    detector: Detector,
    classifier: Classifier,
    faces: np.ndarray,
    targets: np.ndarray,
    heads: Sequence[Head],
    seed: int,
) -> None:
    """Accuracy on the originals and, of the same images, after detection and cropping.

    By multiples of the rule's scale, so that one sees how much hangs on it; on the photos, whose
    expressions nobody has labelled, how sure the model is instead.
    """
    print(f"{'by multiples of the scale':<24}" + "".join(f"{factor:>7g}" for factor in FACTORS))
    for name, frames in (
        ("in heads", _in_heads(faces, heads, seed)),
        ("alone", _alone(faces, seed)),
    ):
        found, crops = _crops(detector, frames)
        before = classifier.probabilities(faces[found]).argmax(axis=1) == targets[found]
        after = [
            classifier.probabilities(stack).argmax(axis=1) == targets[found] for stack in crops
        ]
        shares = "".join(f"{100 * hits.mean():7.1f}" for hits in after)
        print(f"{'accuracy ' + name + ', %':<24}{shares}")
        change = after[FACTORS.index(1)].astype(float) - before
        error = 196 * change.std() / np.sqrt(len(found))
        print(
            f"  {len(found)} found, {100 * before.mean():.1f}% right on the originals, by the rule "
            f"{100 * change.mean():+.1f} ± {error:.1f} points"
        )
    _, crops = _crops(detector, ((head.gray, head.square) for head in heads))
    sure = [classifier.probabilities(stack).max(axis=1).mean() for stack in crops]
    print(f"{'confidence on photos, %':<24}" + "".join(f"{100 * value:7.1f}" for value in sure))


def _crops(
    detector: Detector, frames: Iterator[tuple[np.ndarray, Box]]
) -> tuple[list[int], list[np.ndarray]]:
    """Numbers of the frames whose face is found, and for each factor the crops, (N, 48, 48)."""
    rule = detector.crop_rule
    rules = [replace(rule, scale=rule.scale * factor) for factor in FACTORS]
    found: list[int] = []
    crops: list[list[np.ndarray]] = [[] for _ in FACTORS]
    for number, (frame, square) in enumerate(frames):
        box = _box(detector, frame, square)
        if box is not None:
            found.append(number)
            for stack, scaled in zip(crops, rules, strict=True):
                stack.append(crop_face(frame, box, scaled))
    return found, [np.array(stack) for stack in crops]


def _framing(detector: Detector, frames: Iterator[tuple[np.ndarray, Box]]) -> Framing:
    rows, count = [], 0
    for frame, (left, top, side, _) in frames:
        count += 1
        box = _box(detector, frame, (left, top, side, side))
        if box is not None:
            longer = max(box[2:])
            x, y = box[0] + box[2] / 2, box[1] + box[3] / 2
            rows.append(
                (side / longer, (left + side / 2 - x) / longer, (top + side / 2 - y) / longer)
            )
    table = np.array(rows)
    scale, x, y = np.median(table, axis=0)
    low, high = np.percentile(table[:, 0], (25, 75))
    return Framing(len(rows) / count, scale, x, y, (low, high))


def _box(detector: Detector, frame: np.ndarray, square: Box) -> Box | None:
    """The largest detection that lies on the face."""
    left, top, side, _ = square
    for box in detector.detect(frame):
        x, y = box[0] + box[2] / 2, box[1] + box[3] / 2
        if max(abs(x - left - side / 2), abs(y - top - side / 2)) < 0.4 * side:
            return box
    return None


def _alone(faces: np.ndarray, seed: int) -> Iterator[tuple[np.ndarray, Box]]:
    """Each face in a frame of 2.2 times its side, its border smeared out around it."""
    rng = np.random.default_rng(seed)
    for face in faces:
        side = int(rng.integers(*SIDES))
        margin = round(0.6 * side)
        large = cv2.resize(face, (side, side), interpolation=cv2.INTER_CUBIC)
        frame = cv2.copyMakeBorder(large, *[margin] * 4, cv2.BORDER_REPLICATE)
        frame = cv2.GaussianBlur(frame, (0, 0), side / 12)
        frame[margin : margin + side, margin : margin + side] = large
        yield frame, (margin, margin, side, side)


def _in_heads(
    faces: np.ndarray, heads: Sequence[Head], seed: int
) -> Iterator[tuple[np.ndarray, Box]]:
    """Each face in the place of somebody's, the photo's brightness fitted to its border."""
    rng = np.random.default_rng(seed)
    whole = [head for head in heads if _inside(head)]
    for face in faces:
        head, side = whole[int(rng.integers(len(whole)))], int(rng.integers(*SIDES))
        factor = side / head.square[2]
        how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
        frame = cv2.resize(head.gray, None, fx=factor, fy=factor, interpolation=how).astype(
            np.float32
        )
        left, top = round(head.square[0] * factor), round(head.square[1] * factor)
        side = min(side, frame.shape[0] - top, frame.shape[1] - left)
        place = np.s_[top : top + side, left : left + side]
        large = cv2.resize(face, (side, side), interpolation=cv2.INTER_CUBIC).astype(np.float32)
        around, edge = _border(frame[place]), _border(large)
        frame = (frame - around.mean()) * (edge.std() + 1) / (around.std() + 1) + edge.mean()
        weight = _feather(side)
        frame[place] = weight * large + (1 - weight) * frame[place]
        yield np.clip(frame, 0, 255).astype(np.uint8), (left, top, side, side)


def _inside(head: Head) -> bool:
    left, top, side, _ = head.square
    height, width = head.gray.shape
    return min(left, top) >= 0 and left + side <= width and top + side <= height


def _border(square: np.ndarray) -> np.ndarray:
    return np.concatenate([square[0], square[-1], square[:, 0], square[:, -1]])


def _feather(side: int) -> np.ndarray:
    """1 inside, falling to 0 over the outer tenth."""
    ramp = np.minimum(1, (np.arange(side) + 0.5) / (0.1 * side)).astype(np.float32)
    ramp = np.minimum(ramp, ramp[::-1])
    return np.outer(ramp, ramp)


def _fer2013_landmarks(faces: np.ndarray, yunet: cv2.FaceDetectorYN) -> tuple[np.ndarray, ...]:
    """Where FER2013 has the middle of the eyes and that of the mouth, in 0..1 of the image."""
    points = []
    for frame, (left, top, side, _) in _alone(faces, 0):
        row = _landmarks(yunet, frame)
        if row is not None:
            points.append((row - (left, top)) / side)
    median = np.median(points, axis=0)
    return (median[0] + median[1]) / 2, (median[3] + median[4]) / 2


def _heads(
    source: Path, count: int, yunet: cv2.FaceDetectorYN, eyes: np.ndarray, mouth: np.ndarray
) -> Iterator[Head]:
    """Photos with one face, with the square that has eyes and mouth where FER2013 has them."""
    for gray in _pictures(source):
        points = _landmarks(yunet, gray)
        if points is None:
            continue
        left_right, below = (points[0] + points[1]) / 2, (points[3] + points[4]) / 2
        side = float(np.linalg.norm(left_right - below) / np.linalg.norm(eyes - mouth))
        corner = (left_right + below) / 2 - (eyes + mouth) / 2 * side
        if side < SIDES[0]:
            continue
        yield Head(gray, (round(corner[0]), round(corner[1]), round(side), round(side)))
        count -= 1
        if count == 0:
            return


def _landmarks(yunet: cv2.FaceDetectorYN, gray: np.ndarray) -> np.ndarray | None:
    """Right eye, left eye, nose, corners of the mouth, (5, 2); None unless there is one face."""
    yunet.setInputSize(gray.shape[::-1])
    _, rows = yunet.detect(cv2.cvtColor(gray, cv2.COLOR_GRAY2BGR))
    return rows[0, 4:14].reshape(5, 2) if rows is not None and len(rows) == 1 else None


def _pictures(source: Path) -> Iterator[np.ndarray]:
    """Gray pictures of a zip or a folder, in an order that does not depend on their names."""
    if source.is_dir():
        names: list[Path | str] = sorted(path for path in source.rglob("*.jpg"))
    else:
        archive = zipfile.ZipFile(source)
        names = sorted(name for name in archive.namelist() if name.lower().endswith(".jpg"))
    for number in np.random.default_rng(0).permutation(len(names)):
        name = names[number]
        content = name.read_bytes() if isinstance(name, Path) else archive.read(name)
        gray = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_GRAYSCALE)
        if gray is not None:
            yield gray


def _detectors(options: argparse.Namespace) -> Iterator[Detector]:
    yield HaarDetector(min_face=0.2, max_width=640)
    yield YuNetDetector(options.yunet, min_face=0.2, max_width=640)
    for path in options.own:
        yield OwnDetector(path, min_face=0.2)
    for path in options.ssd:
        yield SsdDetector(path, min_face=0.2)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="FER2013, in any of its forms")
    parser.add_argument("photos", type=Path, help="photos of one person each, a zip or a folder")
    parser.add_argument("bundle", type=Path, help="a model trained on FER2013")
    parser.add_argument("--yunet", type=Path, required=True, help="YuNet's ONNX file")
    parser.add_argument("--own", type=Path, nargs="*", default=[], help="bundles of our own")
    parser.add_argument("--ssd", type=Path, nargs="*", default=[], help="BlazeFace and others")
    parser.add_argument("--only", nargs="*", help="of these detectors, such as haar")
    parser.add_argument("--split", default="PublicTest")
    parser.add_argument("--count", type=int, default=700, help="images of the split")
    parser.add_argument("--heads", type=int, default=500)
    parser.add_argument("--accuracy", action="store_true", help="judge the rules, derive nothing")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
