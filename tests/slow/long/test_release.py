"""train/release.sh: from a dataset to signed bundles, and nothing done twice."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_edge.bundle import INT8_TFLITE, open_bundle
from fer_edge.bundle.minisign import read_public_key
from fer_edge.bundle.signing import make_keys
from fer_edge.chatter import import_keras
from fer_edge.data.dataset import Dataset
from fer_edge.data.detection.photo_drawing import drawn_photos
from fer_edge.data.detection.photos import COLUMNS
from fer_edge.data.packed import write_packed
from fer_edge.subject import BY_LABEL, BY_MAJORITY

keras = import_keras()

SCRIPT = Path(__file__).parents[3] / "train" / "release.sh"
RECIPE = """
name = "tiny"
[data]
validation = ["PublicTest"]
[model]
name = "compact"
width = 4
[targets]
heads = ["votes", "fer2013"]
[fit]
epochs = 3
batch_size = 16
learning_rate = 0.02
ema = 0.8
select = "best"
temperature = true
mixed_precision = "off"
"""

PUPIL = (
    RECIPE.replace("tiny", "pupil")
    + """
[distill]
teachers = ["tiny"]
"""
)

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


def _release(
    folder: Path, *options: str | Path, budget: str = "prototype"
) -> subprocess.CompletedProcess[str]:
    command = [SCRIPT, *options, "--key", "release.key", "--runs", "runs"]
    command += ["--to", "shipped", "--cards", "cards", "--budget", budget]
    edge = {"FER_EDGE": f"{sys.executable} -m fer_edge"}
    return subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env=os.environ | edge,
        capture_output=True,
        text=True,
    )


@pytest.mark.timeout(400)
def test_a_release_is_made_of_two_signed_bundles_a_run_and_again_of_the_same(
    voted: Dataset, tmp_path: Path
) -> None:
    write_packed(voted, tmp_path / "voted.npz")
    (tmp_path / "tiny.toml").write_text(RECIPE)
    make_keys(tmp_path / "release.key", tmp_path / "release.pub", "")
    first = _release(tmp_path, "--data", "voted.npz", "tiny.toml")
    assert first.returncode == 0, first.stderr
    key = read_public_key(tmp_path / "release.pub")
    before = {}
    for name, truth in (("tiny", BY_MAJORITY), ("tiny-fer2013", BY_LABEL)):
        path = tmp_path / "shipped" / f"{name}.fer"
        bundle = open_bundle(path, keys=(key,))
        assert set(bundle.content) & {INT8_TFLITE, "model.float32.tflite"} == {INT8_TFLITE}
        assert bundle.manifest.name == name
        assert bundle.manifest.dataset["truth"] == truth
        assert bundle.manifest.min_confidence is not None
        assert bundle.signer == key
        assert (tmp_path / "cards" / f"{name}.md").read_text().startswith(f"# {name}\n")
        before[path] = path.read_bytes(), path.stat().st_mtime_ns
    again = _release(tmp_path, "--data", "voted.npz", "tiny.toml")
    assert again.returncode == 0, again.stderr
    assert {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in before} == before
    assert "quantizing" not in again.stderr
    (tmp_path / "pupil.toml").write_text(PUPIL)
    taught = _release(tmp_path, "--data", "voted.npz", "pupil.toml")
    assert taught.returncode == 0, taught.stderr
    recipe = (tmp_path / "runs" / "pupil" / "recipe.toml").read_text()
    assert str(tmp_path / "shipped" / "tiny.fer") in recipe


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
    refused = _release(tmp_path, *options, budget="any.toml")
    assert refused.returncode == 3, "two steps teach it to find nobody"
    assert not (tmp_path / "shipped" / "found.fer").exists()
    _make_bold(tmp_path / "runs" / "found" / "model.keras")
    done = _release(tmp_path, *options, budget="any.toml")
    assert done.returncode == 0, done.stderr
    bundle = open_bundle(
        tmp_path / "shipped" / "found.fer", keys=(read_public_key(tmp_path / "release.pub"),)
    )
    assert bundle.manifest.task == "detect"
    assert bundle.manifest.dataset["backgrounds"] == 1
    assert (tmp_path / "cards" / "found.md").read_text().startswith("# found\n")


def test_what_a_release_needs_is_asked_for(tmp_path: Path) -> None:
    done = subprocess.run([SCRIPT, "--data", tmp_path], capture_output=True, text=True)
    assert done.returncode == 2
    assert "needs --data or --photos, and --key" in done.stderr
