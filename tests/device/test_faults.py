"""Faults and extremes that no other file has: crowds, empty rooms, a runtime of another machine.

docs/faults.md lists all of them.
"""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_edge.data.clip import draw_frames
from fer_edge.device.classifier import open_classifier
from fer_edge.device.detectors import HaarDetector
from fer_edge.device.outputs import JsonLines
from fer_edge.device.pipeline import run_pipeline
from fer_edge.device.smoothing import Smoothing
from fer_edge.device.sources import Frame
from fer_edge.device.tracking import FaceTracker
from fer_edge.face import HAAR, Box


class Crowd:
    """Fifty textured squares, and a detector that knows where they are."""

    name = "crowd"
    crop_rule = HAAR
    tilts: tuple[float, ...] = ()

    def __init__(self) -> None:
        rng = np.random.default_rng(3)
        self.picture = rng.integers(90, 110, (480, 640)).astype(np.uint8)
        self.boxes: list[Box] = []
        for number in range(50):
            x, y = 12 + 62 * (number % 10), 15 + 92 * (number // 10)
            texture = rng.integers(0, 256, (10, 10)).astype(np.uint8)
            self.picture[y : y + 50, x : x + 50] = cv2.resize(texture, (50, 50))
            self.boxes.append((x, y, 50, 50))

    def detect(self, gray: np.ndarray, near: Sequence[Box] = ()) -> list[Box]:
        return list(self.boxes)


def test_fifty_faces_are_fifty_tracks_each_named_in_every_frame(bundle: Path):
    crowd, classifier = Crowd(), open_classifier(bundle)
    frames = (Frame(n, crowd.picture, n / 25, 1.0) for n in range(40))
    stream = io.StringIO()
    out = JsonLines(stream, classifier.labels)
    for result in run_pipeline(frames, FaceTracker(crowd), classifier, smoothing=Smoothing()):
        out.write(result)
    assert len(result.faces) == 50
    assert len({face.track for face in result.faces}) == 50
    entries = [json.loads(line) for line in stream.getvalue().splitlines()]
    happened = [entry["event"] for entry in entries if "event" in entry]
    assert happened.count("appear") == 50
    assert "leave" not in happened
    named = [entry for entry in entries if "event" not in entry and entry["frame"] >= 12]
    assert len(named) == 28 * 50


def test_an_hour_without_a_face_is_silent_and_costs_nothing_and_then_there_is_one(bundle: Path):
    (picture, _) = next(iter(draw_frames(1, (320, 240), 1, seed=0)))
    face, wall = picture[..., 1].copy(), np.full((240, 320), 120, np.uint8)
    hour, traced = 3600, []  # a frame a second; the clock is the frames'

    def seconds() -> Iterator[Frame]:
        shown = [face] * 25 + [wall] * hour + [face] * 25
        now = 0.0
        for index, gray in enumerate(shown):
            now += 1.0 if gray is wall else 0.04
            if gray is wall and index % 600 == 0:
                traced.append(tracemalloc.get_traced_memory()[0])
            yield Frame(index, gray, now, 1.0)

    tracker = FaceTracker(HaarDetector(min_face=0.15))
    tracemalloc.start()
    try:
        results = run_pipeline(seconds(), tracker, open_classifier(bundle), smoothing=Smoothing())
        told = [(result.frame.index, event) for result in results for event in result.events]
    finally:
        tracemalloc.stop()
    told = [(index, event.kind, event.track) for index, event in told if event.kind != "change"]
    (_, _, first), (left, _, _), (back, _, second) = told
    assert [kind for _, kind, _ in told] == ["appear", "leave", "appear"]
    assert first != second
    assert left < 40
    assert back >= 25 + hour
    assert max(traced) - traced[0] < 50_000


def _library_of_another_processor() -> bytes:
    """A real module whose header names another processor."""
    modules = Path(np.__file__).parent.rglob("*.so")
    content = bytearray(min(modules, key=lambda path: path.stat().st_size).read_bytes())
    content[18] = 62 if content[18] == 183 else 183  # e_machine: x86-64, AArch64
    return bytes(content)


@pytest.mark.parametrize(
    ("package", "module", "distribution"),
    [("ai_edge_litert", "interpreter", "ai-edge-litert"), ("cv2", "__init__", "OpenCV")],
)
def test_a_library_for_another_processor_is_one_line_what_and_one_what_to_do(
    bundle: Path, clip, tmp_path: Path, package: str, module: str, distribution: str
):
    folder = tmp_path / package
    folder.mkdir()
    (folder / "native.so").write_bytes(_library_of_another_processor())
    (folder / "__init__.py").touch()
    (folder / f"{module}.py").write_text(f"from {package} import native\n")
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"}
    command = [sys.executable, "-m", "fer_edge"]
    done = subprocess.run(
        [*command, "run", str(bundle), "--video", str(clip.path)],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2, done.stderr
    what, remedy = done.stderr.splitlines()
    assert what.startswith(f"fer-edge: {distribution} is installed but does not load: ")
    assert "native.so" in what
    assert "reinstall" in remedy
    done = subprocess.run(
        [*command, "doctor", "--json"], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    states = {found["topic"]: found["state"] for found in json.loads(done.stdout)["findings"]}
    assert states["OpenCV" if package == "cv2" else "model runtime"] == "missing"


def test_the_documentation_names_tests_that_there_are():
    root = Path(__file__).parents[2]
    named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", (root / "docs/faults.md").read_text())
    assert len(named) > 25
    for file, test in named:
        assert f"def {test}(" in (root / file).read_text(), f"{file}::{test}"
