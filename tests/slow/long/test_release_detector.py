"""train/release.sh with photographs: a detector's bundle, and none of one that finds nobody."""

from __future__ import annotations

import csv
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from releasing import release

from fer_edge.bundle import open_bundle
from fer_edge.bundle.minisign import read_public_key
from fer_edge.bundle.signing import make_keys
from fer_edge.chatter import import_keras
from fer_edge.data.detection.photo_drawing import drawn_photos
from fer_edge.data.detection.photos import COLUMNS

keras = import_keras()

DETECTOR = """
name = "found"
task = "detect"
[model]
name = "detector"
stem = 4
early = 4
widths = [4, 4, 4]
depths = [1, 1, 1]
head = 4
[data]
validation = ["PublicTest"]
[frames]
per_epoch = 16
held_out = 6
[fit]
epochs = 1
batch_size = 8
"""


ANY = """
[detector]
false_positives_per_frame = 10
recall_drop_points = 100
landmark_error_rise_points = 100
"""
"""Kept where one face is found."""


def _make_bold(model: Path) -> None:
    """Have a detector find faces everywhere, by chance alone."""
    network = keras.saving.load_model(model, compile=False)
    for layer in network.layers:
        if layer.name.startswith("score"):
            kernel, bias = layer.get_weights()
            layer.set_weights([kernel * 20_000, bias * 0])
    network.save(model)


@pytest.mark.timeout(400)
def test_a_detector_is_released_from_photos_and_backgrounds(tmp_path: Path) -> None:
    names, pictures, boxes, landmarks = drawn_photos()
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as photos:
        for name, picture in zip(names, pictures, strict=True):
            photos.writestr(f"{name}.png", cv2.imencode(".png", picture)[1].tobytes())
    with (tmp_path / "photos.csv").open("w", newline="") as table:
        writer = csv.writer(table)
        writer.writerow(COLUMNS)
        for name, box, points in zip(names, boxes, landmarks, strict=True):
            writer.writerow([f"{name}.png", 0.9, *box, *points.ravel()])
    (tmp_path / "behind").mkdir()
    cv2.imwrite(str(tmp_path / "behind" / "wall.png"), np.full((240, 320), 90, np.uint8))
    (tmp_path / "found.toml").write_text(DETECTOR)
    make_keys(tmp_path / "release.key", tmp_path / "release.pub", "")
    (tmp_path / "any.toml").write_text(ANY)
    options = ["--photos", "photos.zip", "--backgrounds", "behind", "found.toml"]
    refused = release(tmp_path, *options, budget="any.toml")
    assert refused.returncode == 3, "two steps teach it to find nobody"
    assert not (tmp_path / "shipped" / "found.fer").exists()
    _make_bold(tmp_path / "runs" / "found" / "model.keras")
    done = release(tmp_path, *options, budget="any.toml")
    assert done.returncode == 0, done.stderr
    bundle = open_bundle(
        tmp_path / "shipped" / "found.fer", keys=(read_public_key(tmp_path / "release.pub"),)
    )
    assert bundle.manifest.task == "detect"
    assert bundle.manifest.dataset["backgrounds"] == 1
    assert (tmp_path / "cards" / "found.md").read_text().startswith("# found\n")
