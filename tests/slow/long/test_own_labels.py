"""A dataset with labels of its own, CK+48, from its pictures to the events of the device."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_edge.bundle import open_bundle
from fer_edge.chatter import import_keras
from fer_edge.data.clip import render_clip
from fer_edge.data.dataset import Dataset
from fer_edge.device.run import RunOptions, run
from fer_edge.errors import FerEdgeError
from fer_edge.evaluation.classifier import evaluate_path
from fer_edge.labels import CKPLUS_LABELS

FOLDERS = ("anger", "contempt", "disgust", "fear", "happy", "sadness", "surprise")
RECIPE = """
name = "own"
[data]
divide = "by-subject"
test_share = 0.2
test = ["Test"]
[model]
name = "compact"
width = 4
[fit]
epochs = 4
batch_size = 16
learning_rate = 0.02
mixed_precision = "off"
"""


@pytest.fixture(scope="module")
def ck48(blob_dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The blobs of class i in the folder of CK+'s expression i, of ten subjects."""
    path = tmp_path_factory.mktemp("ck") / "CK+48.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number, (face, target) in enumerate(
            zip(blob_dataset.faces, blob_dataset.targets.tolist(), strict=True)
        ):
            file = f"CK+48/{FOLDERS[target]}/S{number % 10:03}_001_{number:08}.png"
            archive.writestr(file, cv2.imencode(".png", face)[1].tobytes())
    return path


@pytest.fixture(scope="module")
def bundle(ck48: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    import_keras()
    from fer_edge.export.exporter import export
    from fer_edge.export.formats import SLIM
    from fer_edge.export.judging.budget import Budget
    from fer_edge.train.run import train

    folder = tmp_path_factory.mktemp("own")
    (folder / "own.toml").write_text(RECIPE)
    trained = train(str(folder / "own.toml"), str(ck48), output=folder / "run")
    assert trained.metrics["test"]["whole"]["accuracy"]["value"] > 0.9
    return export(
        trained.folder, budget=Budget(), output=folder, calibration=70, formats=SLIM
    ).bundle


def test_the_bundle_speaks_of_contempt_and_not_of_neutral(bundle: Path) -> None:
    opened = open_bundle(bundle)
    assert opened.labels == CKPLUS_LABELS
    assert opened.manifest.dataset["division"]["how"] == "by-subject"


def test_the_bundle_is_measured_on_the_subjects_that_were_kept_apart(
    bundle: Path, ck48: Path
) -> None:
    result = evaluate_path(bundle, str(ck48))
    assert result.splits == ("Test",)
    assert result.whole.images == pytest.approx(128, abs=30)
    assert result.whole.accuracy.value > 0.9
    assert set(result.whole.recall) == set(CKPLUS_LABELS)


def test_the_device_names_faces_in_the_models_own_words(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    render_clip(tmp_path / "clip.mp4", frames=6, size=(320, 180))
    assert run(RunOptions(bundle=bundle, video=tmp_path / "clip.mp4", json=True)) == 0
    first, *_ = map(json.loads, capsys.readouterr().out.splitlines())
    assert tuple(first["probabilities"]) == CKPLUS_LABELS
    assert first["label"] in CKPLUS_LABELS


def test_it_is_not_measured_on_a_dataset_with_other_labels(bundle: Path) -> None:
    with pytest.raises(FerEdgeError, match="the model gives angry, contempt"):
        evaluate_path(bundle, "synthetic", ["PrivateTest"])


def test_a_division_that_came_out_otherwise_is_refused(
    bundle: Path, ck48: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fer_edge.data import division

    monkeypatch.setattr(division, "_by_subject", lambda dataset, _: np.arange(100))
    with pytest.raises(FerEdgeError, match="divided into other splits") as caught:
        evaluate_path(bundle, str(ck48))
    assert "scikit-learn" in caught.value.hint
