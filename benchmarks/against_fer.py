"""Milliseconds a frame of fer-edge and of fer 25.10.3, on the same frames, in turns.

    python benchmarks/against_fer.py BUNDLE.fer CLIP.mp4… [--venv DIR]

Both read the clip, find the faces, name their expressions and print a JSON line a frame; each in a
process of its own, with what it does by default, one after the other, several times. fer gets a
virtual environment, made in DIR on the first run (2 GB: it needs TensorFlow), with what it takes to
start it today: fer imports pkg_resources, which setuptools 81 has no more, and a Haar cascade,
which OpenCV 5 has no more; its class is in fer.fer, not where its README says.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import venv
from pathlib import Path

import numpy as np

PEER = "fer==25.10.3"
NEEDS = (
    "tensorflow>=2.21,<3",
    "opencv-contrib-python-headless>=4.10,<5",
    "setuptools<81",
    "requests",
    "Pillow",
)
"""What fer's own class imports; its other requirements are for MTCNN, sound and plots."""

FER = """
import json, sys, time
began = time.perf_counter()
import cv2
from fer.fer import FER
detector = FER()
capture = cv2.VideoCapture(sys.argv[1])
spent, faces, started = [], 0, None
while True:
    before = time.perf_counter()
    readable, picture = capture.read()
    if not readable:
        break
    found = detector.detect_emotions(picture)
    print(json.dumps([{"box": [int(v) for v in face["box"]], "emotions": {k: float(v) for k, v in
        face["emotions"].items()}} for face in found]), flush=True)
    spent.append((time.perf_counter() - before) * 1e3)
    started = started or time.perf_counter() - began
    faces += bool(found)
json.dump({"ms": spent, "with_faces": faces, "start_s": started}, open(sys.argv[2], "w"))
"""

OURS = """
import json, sys, time
began = time.perf_counter()
from pathlib import Path
from fer_edge.device.classifier import open_classifier
from fer_edge.device.detectors import open_detector
from fer_edge.device.outputs import JsonLines
from fer_edge.device.pipeline import run_pipeline
from fer_edge.device.smoothing import Smoothing
from fer_edge.device.sources import open_source
from fer_edge.device.tracking import FaceTracker
classifier = open_classifier(Path(sys.argv[3]))
spent, faces, started = [], 0, None
with open_source(video=Path(sys.argv[1])) as source:
    finder = FaceTracker(open_detector(sys.argv[4]))
    lines = JsonLines(sys.stdout, classifier.labels, every_frame=True)
    results = run_pipeline(source.frames(), finder, classifier, smoothing=Smoothing())
    while True:
        before = time.perf_counter()
        result = next(results, None)
        if result is None:
            break
        lines.write(result)
        spent.append((time.perf_counter() - before) * 1e3)
        started = started or time.perf_counter() - began
        faces += bool(result.faces)
json.dump({"ms": spent, "with_faces": faces, "start_s": started}, open(sys.argv[2], "w"))
"""


def main() -> None:
    """Print a table for each clip, and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("clips", type=Path, nargs="+")
    parser.add_argument("--venv", type=Path, default=Path("build/fer"), metavar="DIR")
    parser.add_argument("--detector", default="haar", help="ours; fer's is a Haar cascade")
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    peer = peer_python(options.venv)
    for clip in options.clips:
        runs: dict[str, list[dict]] = {"fer": [], "fer-edge": []}
        for _ in range(options.rounds):
            runs["fer"].append(_run([peer, "-c", FER, clip], options.venv))
            ours = [sys.executable, "-c", OURS, clip]
            runs["fer-edge"].append(_run(ours, options.venv, options.bundle, options.detector))
        _print(clip, runs)


def peer_python(folder: Path) -> Path:
    """The Python of fer's virtual environment, which is made if it is not there."""
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        venv.create(folder, with_pip=True, clear=True)
        install = [python, "-m", "pip", "install", "--quiet"]
        subprocess.run([*install, *NEEDS], check=True)
        subprocess.run([*install, "--no-deps", PEER], check=True)
        (folder / "ready").touch()
    return python


def _run(command: list[Path | str], folder: Path, *more: Path | str) -> dict:
    report = folder / "report.json"
    done = subprocess.run([*command, report, *more], capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    found: dict = json.loads(report.read_text())
    return found


def _print(clip: Path, runs: dict[str, list[dict]]) -> None:
    first = next(iter(runs.values()))[0]
    print(f"{clip.name}: {len(first['ms'])} frames, {len(runs['fer'])} runs of each, in turns")
    print(f"{'ms a frame':<12}   p50    p90    p99   mean  with a face  first result after")
    means, medians = {}, {}
    for name, reports in runs.items():
        # the first frame pays for what is set up only once
        spent = np.concatenate([report["ms"][1:] for report in reports])
        p50, p90, p99 = np.percentile(spent, (50, 90, 99))
        means[name], medians[name] = spent.mean(), p50
        start = min(report["start_s"] for report in reports)
        print(
            f"{name:<12}{p50:6.2f} {p90:6.2f} {p99:6.2f} {spent.mean():6.2f} "
            f"{reports[0]['with_faces']:>9}    {start:8.2f} s"
        )
    print(
        f"fer takes {means['fer'] / means['fer-edge']:.1f} times as long on the mean, "
        f"{medians['fer'] / medians['fer-edge']:.1f} times at p50"
    )


if __name__ == "__main__":
    main()
