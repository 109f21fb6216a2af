"""The classifier of fer 25.10.3 beside bundles of ours: accuracy on PrivateTest, time of a face.

    python benchmarks/classifier_of_fer.py FER2013.npz EMOTION_MODEL.tflite BUNDLE…

FER2013.npz is packed with FER+'s votes. The model is fer/data/emotion_model_quantized.tflite, which
the package fer holds (for example in the environment of against_fer.py); it gets what fer gives it,
64×64 pixels scaled to -1..1. Accuracy is by FER2013's labels, and by the votes' majority where
there is one. Models take turns face by face.

With --counts, what benchmarks/arm/count.py --json wrote of the same file, fer's accuracy and
instructions go into benchmarks/arm/peers.json, from where the Pareto plot has them.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
from ai_edge_litert.interpreter import Interpreter

from fer_edge.data import load_dataset
from fer_edge.data.ferplus import NO_MAJORITY, majority_targets, require_votes
from fer_edge.device.classifier import open_classifier
from fer_edge.files import write_text
from fer_edge.labels import LABELS
from fer_edge.metrics import report
from fer_edge.shipped import find_shipped

WARM_UP = 20
PEERS = Path(__file__).parent / "arm" / "peers.json"
FER = "fer 25.10.3"
Classify = Callable[[np.ndarray], np.ndarray]
"""From one (48, 48) uint8 face to (7,) probabilities."""


def main() -> None:
    """Print a row a model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("fer", type=Path, metavar="emotion_model_quantized.tflite")
    parser.add_argument("bundles", type=Path, nargs="+")
    parser.add_argument("--counts", type=Path, help="of fer's model, by arm/count.py --json")
    options = parser.parse_args()
    models = {FER: _fer(options.fer)} | {str(path): _ours(path) for path in options.bundles}
    held_out = load_dataset(options.data).select("PrivateTest")
    faces, majority = held_out.faces, majority_targets(require_votes(held_out))
    said: dict[str, list[np.ndarray]] = {name: [] for name in models}
    spent: dict[str, list[float]] = {name: [] for name in models}
    for face in faces:
        for name, classify in models.items():
            began = time.perf_counter()
            said[name].append(classify(face))
            spent[name].append((time.perf_counter() - began) * 1e3)
    clear = majority != NO_MAJORITY
    print(f"{'accuracy / macro-F1':<20}{'labels':>16}{'majority':>16}{'ms p50':>9}{'p90':>7}")
    for name, rows in said.items():
        answers = np.array(rows, np.float32)
        by_labels = report(answers, held_out.targets, LABELS)
        by_majority = report(answers[clear], majority[clear], LABELS)
        shown = (
            f"{found.accuracy.value:.1%} / {found.macro_f1.value:.1%}"
            for found in (by_labels, by_majority)
        )
        if name == FER and options.counts:
            write_text(PEERS, _peer(asdict(by_labels.accuracy), options.counts))
        p50, p90 = np.percentile(spent[name][WARM_UP:], (50, 90))
        print(f"{name:<20}{''.join(f'{cell:>16}' for cell in shown)}{p50:9.3f}{p90:7.3f}")


def _peer(accuracy: dict[str, float], counts: Path) -> str:
    """fer's row of the Pareto plot."""
    rows = json.loads(counts.read_text())["counts"]
    instructions = {row["processor"]: row["all"] for row in rows}
    return json.dumps({FER: {"accuracy": accuracy, "instructions": instructions}}, indent=2) + "\n"


def _fer(model: Path) -> Classify:
    interpreter = Interpreter(str(model), num_threads=1)
    interpreter.allocate_tensors()
    takes, gives = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]

    def classify(face: np.ndarray) -> np.ndarray:
        pixels = cv2.resize(face, (64, 64)).astype(np.float32)
        interpreter.set_tensor(takes, (pixels / 255 - 0.5)[None, ..., None] * 2)
        interpreter.invoke()
        return np.array(interpreter.get_tensor(gives["index"])[0])

    return classify


def _ours(bundle: Path) -> Classify:
    classifier = open_classifier(find_shipped(bundle), keys=())
    return lambda face: classifier.probabilities(face[None])[0]


if __name__ == "__main__":
    main()
