"""Networks on labelled photographs of other people: detector, crop and label, and other projects'.

    git clone https://github.com/muxspace/facial_expressions
    python benchmarks/photographs.py facial_expressions others BUNDLE…

The collection is 13,682 pictures of press people and film actors with a label each, given by one
student (Apache-2.0); our classifiers were not trained on them. The largest face of each is found by
the detector that ships, which learned from the boxes of 4,000 of them, and cropped by its rule;
every network gets this crop, prepared as its project does. ``others`` is the folder of
benchmarks/classifiers.py. Intervals are over persons, whom the files are called after. Contempt,
which none of the networks knows, and what has two labels are left out.

--venv DIR adds fer 25.10.3 as it is used, with its own detector and crop, in the virtual
environment that benchmarks/against_fer.py makes there. A picture in which a detector sees nothing
is left out of its rows.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import subprocess
import tempfile
from pathlib import Path

import cv2
import numpy as np
from against_fer import peer_python
from classifiers import OTHERS
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from fer_edge.cropping import largest_face
from fer_edge.device.classifier import open_classifier
from fer_edge.device.detectors import open_detector
from fer_edge.evaluation.metrics import report
from fer_edge.labels import LABELS, label_index
from fer_edge.shipped import find_shipped

FER = """
import json, sys
import cv2
from fer.fer import FER
detector, said = FER(), {}
for path in json.load(open(sys.argv[1])):
    found = detector.detect_emotions(cv2.imread(path))
    if found:
        said[path] = max(found, key=lambda face: face["box"][2])["emotions"]
json.dump(said, open(sys.argv[2], "w"), default=float)
"""


def main() -> None:
    """Print a row a network."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("collection", type=Path, help="the repository's folder")
    parser.add_argument("others", type=Path, help="folder of the downloaded packages")
    parser.add_argument("bundles", type=Path, nargs="+")
    parser.add_argument("--venv", type=Path, metavar="DIR", help="of fer as a whole")
    options = parser.parse_args()
    labelled = read_labels(options.collection)
    detector = open_detector("own")
    faces: dict[Path, np.ndarray] = {}
    for path in labelled:
        gray = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        face = None if gray is None else largest_face(gray, detector)[0]
        if face is not None:
            faces[path] = face
    said, least = {}, {}
    for other in (read(options.others) for read in OTHERS):
        classify = other.classifier()
        said[other.name] = {path: classify(face) for path, face in faces.items()}
    for bundle in options.bundles:
        classifier = open_classifier(find_shipped(bundle), keys=())
        answers = classifier.probabilities(np.stack([*faces.values()]))
        said[str(bundle)] = dict(zip(faces, answers, strict=True))
        least[str(bundle)] = classifier.min_confidence
    if options.venv:
        said["fer 25.10.3, whole"] = whole_fer(peer_python(options.venv), list(labelled))
    table = Table(box=SIMPLE, title=f"{len(labelled):,} photographs")
    figures = ("found", "accuracy", "macro-F1", *LABELS, "calibration error", "sure: right")
    for column in ("network", *figures):
        table.add_column(column, no_wrap=True)
    for name, answers in said.items():
        table.add_row(name, *cells(answers, labelled, least.get(name)))
    counts = np.bincount([*labelled.values()], minlength=len(LABELS))
    table.add_row("photographs", "", "", "", *map(str, counts))
    Console(width=200).print(table)


def read_labels(collection: Path) -> dict[Path, int]:
    """The label of each picture that has exactly one of ours, as an index of ``LABELS``."""
    given: dict[Path, set[str]] = {}
    with (collection / "data" / "legend.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            path = collection / "images" / row["image"]
            given.setdefault(path, set()).add(row["emotion"].lower())
    found = {path: label_index(*words) for path, words in given.items() if len(words) == 1}
    return {path: index for path, index in found.items() if index is not None}


def whole_fer(python: Path, paths: list[Path]) -> dict[Path, np.ndarray]:
    """What fer's own class says of the largest face that it finds, of the pictures with one."""
    with tempfile.TemporaryDirectory() as folder:
        asked, answered = Path(folder, "asked.json"), Path(folder, "answered.json")
        asked.write_text(json.dumps([*map(str, paths)]))
        subprocess.run([python, "-c", FER, asked, answered], check=True, stderr=subprocess.DEVNULL)
        said = json.loads(answered.read_text())
    return {Path(path): np.array([each[label] for label in LABELS]) for path, each in said.items()}


def cells(
    answers: dict[Path, np.ndarray], labelled: dict[Path, int], least: float | None
) -> list[str]:
    """How many were found, and how rightly they were named; from ``least`` on a network is sure."""
    targets = np.array([labelled[path] for path in answers])
    persons = np.array([re.sub(r"_?\d*$", "", path.stem) for path in answers])
    said = np.array([*answers.values()], np.float32)
    figures = report(said, targets, LABELS, subjects=persons)
    sure = said.max(axis=1) >= (least or 0)
    low, high = figures.accuracy.low, figures.accuracy.high
    recalls = (figures.recall[label] for label in LABELS)
    return [
        f"{len(answers):,}",
        f"{figures.accuracy.value:.1%} ({low:.1%} – {high:.1%})",
        f"{figures.macro_f1.value:.1%}",
        *(f"{recall.value:.0%}" if recall else "–" for recall in recalls),
        f"{figures.calibration_error.value:.1%}",
        f"{sure.mean():.0%}: {(said.argmax(axis=1) == targets)[sure].mean():.1%}" if least else "",
    ]


if __name__ == "__main__":
    main()
