"""What turning tilted faces level buys, and what it costs.

    python benchmarks/levelling.py face-photos.zip edge-nano [--detector detector.fer]

Photographed heads of the test split are turned in a frame and found by our own detector; the face
is cut out by the box as it is, and levelled by the eyes that the detector saw. A model's answer is
compared with that for the upright head.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from fer_edge.data.detection.pasting import Head
from fer_edge.data.detection.photos import load_photos
from fer_edge.data.splits import TEST
from fer_edge.detection.own import OwnDetector, tilt_of
from fer_edge.device.classifier import open_classifier
from fer_edge.face import Pixels, crop_face, rule_for
from fer_edge.shipped import find_shipped, shipped_detector

TILTS = (0, 5, 10, 15, 20, 30, 45)
HEIGHT = 110.0
"""Pixels of a face in the frame."""
MIDDLE = np.array([160.0, 120.0])


def main() -> None:
    """Print a row a tilt."""
    options = _options()
    import cv2

    classifier = open_classifier(find_shipped(options.bundle))
    detector = OwnDetector(options.detector)
    rule = rule_for(detector.crop_rule, classifier.crop_rule)
    photos = load_photos(options.photos).select([TEST])
    crops: dict[tuple[int, bool], list[Pixels]] = {(t, b): [] for t in TILTS for b in (False, True)}
    off: dict[int, list[float]] = {tilt: [] for tilt in TILTS}
    whose: dict[int, list[int]] = {tilt: [] for tilt in TILTS}
    took: dict[bool, list[float]] = {False: [], True: []}
    heads = 0
    for picture, faces in zip(photos.pictures, photos.faces, strict=True):
        box, points = faces.boxes[0], faces.landmarks[0]
        # the head may be tilted in its photo already
        already = tilt_of(points)
        for tilt in TILTS:
            head = Head.of(picture, box, points, HEIGHT, MIDDLE, tilt - already, False)
            frame = cv2.warpAffine(
                head.picture, head.turn, (320, 240), borderMode=cv2.BORDER_REPLICATE
            )
            boxes = detector.detect(frame)
            if not boxes and not tilt:
                break
            if not tilt:
                heads += 1
            if not boxes:
                continue
            place, seen = boxes[0], detector.tilts[0]
            whose[tilt].append(heads - 1)
            off[tilt].append(abs(seen - tilt))
            for levelled in (False, True):
                began = time.perf_counter()
                face = crop_face(frame, place, rule, seen if levelled else 0.0)
                if tilt >= 15:
                    took[levelled].append(time.perf_counter() - began)
                crops[tilt, levelled].append(face)
    said = {key: classifier.probabilities(np.stack(value)) for key, value in crops.items()}
    upright = said[0, False]
    title = f"{heads} of {len(photos)} heads were found upright, {classifier.name}"
    table = Table(title=title, box=SIMPLE)
    columns = (
        "tilt",
        "found",
        "seen off by",
        "same label",
        "levelled",
        "probability of it",
        "levelled",
    )
    for name in columns:
        table.add_column(name, justify="right")
    for tilt in TILTS:
        same = upright[whose[tilt]]
        row = [f"{tilt}°", f"{len(same) / heads:.1%}", f"{np.median(off[tilt]):.1f}°"]
        for share in (_agreement, _confidence):
            row += [f"{share(same, said[tilt, each]):.1%}" for each in (False, True)]
        table.add_row(*row)
    console = Console()
    console.print(table)
    micro = {each: 1e6 * float(np.median(values)) for each, values in took.items()}
    console.print(f"a crop takes {micro[False]:.0f} µs, levelled {micro[True]:.0f} µs")


def _agreement(upright: np.ndarray, said: np.ndarray) -> float:
    return float((said.argmax(axis=1) == upright.argmax(axis=1)).mean())


def _confidence(upright: np.ndarray, said: np.ndarray) -> float:
    return float(said[np.arange(len(said)), upright.argmax(axis=1)].mean())


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", type=Path, help="face photos with their CSV")
    parser.add_argument("bundle", type=Path, help="a model of expressions")
    parser.add_argument("--detector", type=Path, default=shipped_detector(), help="our own kind")
    return parser.parse_args()


if __name__ == "__main__":
    main()
