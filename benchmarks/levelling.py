"""What turning tilted faces level buys, and what it costs.

    python benchmarks/levelling.py face-photos.zip edge-small.fer

Photographed heads of the test split are turned in a frame; the face is cut out by its box as it is,
and levelled. A model's answer is compared with that for the upright head.
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
from fer_edge.device.classifier import open_classifier
from fer_edge.face import OWN, Pixels, crop_face, rule_for

TILTS = (0, 5, 10, 15, 20, 30, 45)
HEIGHT = 110.0
"""Pixels of a face in the frame."""


def main() -> None:
    options = _options()
    import cv2

    classifier = open_classifier(options.bundle)
    rule = rule_for(OWN, classifier.crop_rule)
    photos = load_photos(options.photos).select([TEST])
    crops: dict[tuple[int, bool], list[Pixels]] = {(t, b): [] for t in TILTS for b in (False, True)}
    took: dict[bool, list[float]] = {False: [], True: []}
    for picture, faces in zip(photos.pictures, photos.faces, strict=True):
        box, points = faces.boxes[0], faces.landmarks[0]
        for tilt in TILTS:
            middle = np.array([160.0, 120.0])
            # the head may be tilted in its photo already
            across = points[1] - points[0]
            own = float(np.degrees(np.arctan2(across[1], across[0])))
            head = Head.of(picture, box, points, HEIGHT, middle, tilt - own, False)
            frame = cv2.warpAffine(
                head.picture, head.turn, (320, 240), borderMode=cv2.BORDER_REPLICATE
            )
            x, y, width, height = (round(float(value)) for value in head.box)
            for levelled in (False, True):
                began = time.perf_counter()
                face = crop_face(frame, (x, y, width, height), rule, tilt if levelled else 0.0)
                if tilt >= 15:
                    took[levelled].append(time.perf_counter() - began)
                crops[tilt, levelled].append(face)
    said = {key: classifier.probabilities(np.stack(value)) for key, value in crops.items()}
    upright = said[0, False]
    table = Table(title=f"{len(photos)} heads, {classifier.name}", box=SIMPLE)
    for name in ("tilt", "same label as upright", "levelled", "probability of it", "levelled"):
        table.add_column(name, justify="right")
    for tilt in TILTS:
        row = [f"{tilt}°"]
        for share in (_agreement, _confidence):
            row += [f"{share(upright, said[tilt, each]):.1%}" for each in (False, True)]
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
    return parser.parse_args()


if __name__ == "__main__":
    main()
