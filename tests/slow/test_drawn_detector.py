"""A detector from drawn heads to faces found in frames: minutes of training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fer_edge.chatter import import_keras
from fer_edge.data.detection.backgrounds import Backgrounds
from fer_edge.data.detection.frames import Composer, Composition
from fer_edge.data.detection.photos import load_photos
from fer_edge.detection.measuring import overlaps
from fer_edge.device.detectors import OwnDetector

import_keras(backend="tensorflow")

from fer_edge.export.detection.exporting import export_detector  # noqa: E402
from fer_edge.export.judging.budget import Budget, DetectorBudget  # noqa: E402
from fer_edge.train.run import train  # noqa: E402


@pytest.mark.timeout(600)
def test_a_detector_trained_on_drawn_heads_finds_them_in_frames_of_both_sizes(
    tmp_path: Path,
) -> None:
    settings = ["frames.per_epoch=960", "fit.epochs=8", "fit.learning_rate=0.004", "fit.ema=0.95"]
    run = train(
        "detector",
        "synthetic",
        output=tmp_path / "run",
        overrides=[*settings, "frames.held_out=60", "frames.dark=0"],
    )
    assert run.metrics["test"]["recall"]["value"] > 0.3
    exported = export_detector(
        run.folder,
        budget=Budget(detector=DetectorBudget(recall_drop_points=10, recall_percent=30)),
        output=tmp_path,
        calibration=40,
    )
    composition = Composition(smallest=70, largest=160, most=1, empty=0, occlusion=0)
    composer = Composer(load_photos("synthetic"), Backgrounds(), composition)
    for min_face in (0.15, 0.3):
        detector = OwnDetector(exported.bundle, min_face=min_face)
        found = faces = 0
        for frame, truth in composer.frames(30, 9):
            boxes = np.array(detector.detect(frame), np.float32).reshape(-1, 4)
            assert len(detector.tilts) == len(boxes)
            faces += len(truth.boxes)
            if len(boxes) and len(truth.boxes):
                found += int((overlaps(truth.boxes, boxes).max(axis=1) > 0.5).sum())
        assert found > 0.5 * faces
