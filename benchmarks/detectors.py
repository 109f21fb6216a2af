"""Face detectors side by side: recall, false positives, whole photos, clips and milliseconds.

    python benchmarks/detectors.py PHOTOS.zip DETECTOR.fer --yunet YUNET.onnx [CLIP.mp4…]
        --backgrounds FOLDER

The composed frames are those of ``fer-edge evaluate``, of the test split's photos. Our own runs at
its bundle's threshold, YuNet at the one that the same rule finds for it: at most 0.03 false
positives a frame on the validation split, with something to spare; Haar has no scores. Boxes are
compared as what a classifier gets of them, the square of each detector's crop rule, since Haar
frames a face otherwise than YuNet, whose boxes are the truth here. Times are of one thread, the
detectors taking turns on the same frames.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from fer_edge.bundle import open_bundle
from fer_edge.bundle.golden_frames import MEMBERS
from fer_edge.data.detection.held_out_frames import HeldOutFrames, compose_held_out
from fer_edge.data.detection.photos import FacePhotos, load_photos
from fer_edge.data.splits import TEST, VALIDATION
from fer_edge.detection import Detections
from fer_edge.detection.frames import fit
from fer_edge.detection.measuring import FALSE_POSITIVES, LEAST_SCORE, MATCHED, Matches, match
from fer_edge.detection.measuring import overlaps as shared_area
from fer_edge.detection.network import TFLiteDetector
from fer_edge.device.detectors import HaarDetector
from fer_edge.face import HAAR, OWN, YUNET, CropRule

WARMUP = 50
HEIGHTS = {(320, 240): (40, 200), (160, 120): (32, 1000)}
"""Of the faces that count, in pixels of the frame."""


@dataclass(frozen=True)
class Peer:
    """A detector for frames of one size."""

    name: str
    size: tuple[int, int]
    rule: CropRule
    find: Callable[[np.ndarray, float], Detections]
    threshold: float | None = None
    """From which a detection counts; None is to be found out."""


def main() -> None:
    """Print a row a detector."""
    options = _options()
    cv2.setNumThreads(1)
    photos = load_photos(options.photos)
    held_out = {
        split: compose_held_out(
            photos, [split], options.backgrounds, frames=options.frames, empty=options.empty
        )
        for split in (VALIDATION, TEST)
    }
    clips = {path.name: _grays(path) for path in options.clips}
    peers = list(_peers(options))
    thresholds = {peer: _threshold(peer, held_out[VALIDATION]) for peer in peers}
    times = _times(peers, thresholds, held_out[TEST])
    rows = []
    for peer in peers:
        least = thresholds[peer]
        matches = _matches(peer, held_out[TEST])
        low, high = HEIGHTS[peer.size]
        recall = _between(matches, low, high).recall(least)
        on_faces, on_empty = matches.false_positives(least)
        rows.append(
            {
                "detector": peer.name,
                "size": list(peer.size),
                "threshold": round(least, 3),
                "recall": {k: round(v, 4) for k, v in vars(recall).items()},
                "recall_of_all": round(matches.recall(least).value, 4),
                "false_positives": [round(on_faces, 4), round(on_empty, 4)],
                "photos": _photos_found(peer, photos.select([TEST]), least),
                "clips": {name: _clip_found(peer, clip, least) for name, clip in clips.items()},
                "ms": {
                    f"p{share}": round(float(np.percentile(times[peer], share)), 3)
                    for share in (50, 90, 99)
                },
            }
        )
    if options.json:
        print(json.dumps(rows, indent=2))
    else:
        _print(rows, list(clips), options)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", type=Path, help="zip or folder, its CSV beside it")
    parser.add_argument("bundle", type=Path, help="a detector's")
    parser.add_argument("clips", type=Path, nargs="*", help="with a face in every frame")
    parser.add_argument("--yunet", type=Path, help="YuNet's ONNX file")
    parser.add_argument("--backgrounds", action="append", default=[], help="folder without faces")
    parser.add_argument("--frames", type=int, default=600)
    parser.add_argument("--empty", type=int, default=1000)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def _peers(options: argparse.Namespace) -> list[Peer]:
    bundle = open_bundle(options.bundle)
    peers = []
    for member in MEMBERS:
        network = TFLiteDetector(bundle.read(member), member)
        least = float(bundle.manifest.detector["min_score"][member])
        peers.append(Peer("own", network.size, OWN, network.find, least))
    for size in HEIGHTS if options.yunet else ():
        peers.append(Peer("YuNet n", size, YUNET, _yunet(options.yunet, size)))
    folder = Path(cv2.data.haarcascades)
    for name in ("alt2", "default"):
        file = folder / f"haarcascade_frontalface_{name}.xml"
        haar = HaarDetector(min_face=0.13, cascade=file)
        peers.append(Peer(f"Haar {name}", (320, 240), HAAR, _unscored(haar), 1.0))
    return peers


def _yunet(path: Path, size: tuple[int, int]) -> Callable[[np.ndarray, float], Detections]:
    network = cv2.FaceDetectorYN.create(str(path), "", size, LEAST_SCORE)

    def find(gray: np.ndarray, least: float) -> Detections:
        network.setScoreThreshold(least)
        rows = network.detect(cv2.cvtColor(gray, cv2.COLOR_GRAY2BGR))[1]
        rows = np.empty((0, 15), np.float32) if rows is None else rows[np.argsort(-rows[:, 14])]
        return Detections(rows[:, :4], rows[:, 14], rows[:, 4:14].reshape(-1, 5, 2))

    return find


def _unscored(haar: HaarDetector) -> Callable[[np.ndarray, float], Detections]:
    def find(gray: np.ndarray, least: float) -> Detections:
        boxes = np.array(haar.detect(gray), np.float32).reshape(-1, 4)
        nowhere = np.full((len(boxes), 5, 2), np.nan, np.float32)
        return Detections(boxes, np.ones(len(boxes), np.float32), nowhere)

    return find


def _squares(boxes: np.ndarray, rule: CropRule) -> np.ndarray:
    """What a classifier gets of boxes (N, 4)."""
    longer = boxes[:, 2:].max(axis=1, initial=0)[:, None]
    middle = boxes[:, :2] + boxes[:, 2:] / 2 + longer * (rule.offset_x, rule.offset_y)
    side = rule.scale * longer
    return np.concatenate([middle - side / 2, side, side], axis=1).astype(np.float32)


def _found(peer: Peer, gray: np.ndarray, least: float) -> Detections:
    found = peer.find(gray, least)
    return replace(found, boxes=_squares(found.boxes, peer.rule))


def _matches(peer: Peer, held_out: HeldOutFrames) -> Matches:
    sized = held_out.resized(peer.size)
    truths = [
        truth and replace(truth, boxes=_squares(truth.boxes, YUNET)) for truth in sized.truths
    ]
    found = [_found(peer, frame, LEAST_SCORE) for frame in sized.frames]
    return match(found, truths, sized.frames)


def _between(matches: Matches, low: float, high: float) -> Matches:
    # the square is as high as the box, by a hundredth
    chosen = (matches.heights >= low * YUNET.scale) & (matches.heights <= high * YUNET.scale)
    parts = ("face_frames", "heights", "lights", "scores", "errors")
    return replace(matches, **{name: getattr(matches, name)[chosen] for name in parts})


def _threshold(peer: Peer, validation: HeldOutFrames) -> float:
    if peer.threshold is not None:
        return peer.threshold
    return _matches(peer, validation).safe_threshold(FALSE_POSITIVES)


def _photos_found(peer: Peer, photos: FacePhotos, least: float) -> float:
    """Share of the photos whose largest face is found, the photo fitted into the frame."""
    hits = 0
    for picture, faces in zip(photos.pictures, photos.faces, strict=True):
        gray, scale = fit(picture, peer.size)
        largest = (faces.boxes[:, 2:].prod(axis=1) * faces.certain).argmax()
        truth = _squares(faces.boxes[largest : largest + 1] * scale, YUNET)
        found = _found(peer, gray, least)
        hits += bool(len(found)) and bool(shared_area(found.boxes, truth).max() >= MATCHED)
    return round(hits / len(photos), 4)


def _clip_found(peer: Peer, clip: Sequence[np.ndarray], least: float) -> float:
    """Share of the frames in which there is any face."""
    hits = [len(peer.find(fit(gray, peer.size)[0], least)) > 0 for gray in clip]
    return round(float(np.mean(hits)), 4)


def _times(
    peers: Sequence[Peer], thresholds: dict[Peer, float], held_out: HeldOutFrames
) -> dict[Peer, list[float]]:
    """Milliseconds a frame of each, in turns."""
    times: dict[Peer, list[float]] = {peer: [] for peer in peers}
    sized = {size: held_out.resized(size).frames for size in HEIGHTS}
    for number in range(min(len(held_out.frames), 350)):
        for peer in peers:
            began = time.perf_counter()
            peer.find(sized[peer.size][number], thresholds[peer])
            if number >= WARMUP:
                times[peer].append((time.perf_counter() - began) * 1e3)
    return times


def _grays(path: Path) -> list[np.ndarray]:
    capture, frames = cv2.VideoCapture(str(path)), []
    while (read := capture.read())[0]:
        frames.append(cv2.cvtColor(read[1], cv2.COLOR_BGR2GRAY))
    return frames


def _print(rows: Sequence[dict], clips: Sequence[str], options: argparse.Namespace) -> None:
    title = f"{options.frames} frames with faces, {options.empty:,} empty ones, {TEST}"
    table = Table(title=title, title_justify="left")
    table.add_column("detector", no_wrap=True)
    for name in ("size", "recall", "false, empty", "photos", *clips, "p50, p90, p99 ms"):
        table.add_column(name, justify="right")
    for row in rows:
        recall = row["recall"]
        table.add_row(
            row["detector"],
            "×".join(map(str, row["size"])),
            f"{recall['value']:.1%} ({recall['low']:.1%} – {recall['high']:.1%})",
            ", ".join(f"{each:.3f}" for each in row["false_positives"]),
            f"{row['photos']:.1%}",
            *(f"{row['clips'][name]:.1%}" for name in clips),
            ", ".join(f"{each:.2f}" for each in row["ms"].values()),
        )
    Console(width=max(140, Console().width)).print(table)


if __name__ == "__main__":
    main()
