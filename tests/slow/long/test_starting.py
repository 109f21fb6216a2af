"""Fine-tuning a finished network on a folder of pictures with labels of one's own."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_edge.chatter import import_keras
from fer_edge.data.dataset import Dataset
from fer_edge.errors import FerEdgeError
from fer_edge.evaluation.classifier import evaluate_path

keras = import_keras()

from fer_edge.train.models import build_model  # noqa: E402
from fer_edge.train.recipe import load_recipe  # noqa: E402
from fer_edge.train.run import train  # noqa: E402
from fer_edge.train.starting import starting_from  # noqa: E402

OWN = ("bored", "Awake", "happy")


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of the seven expressions, as a run leaves it."""
    path = tmp_path_factory.mktemp("start") / "model.keras"
    keras.utils.set_random_seed(1)
    build_model("compact", 7, {"width": 4}).save(path)
    return path


@pytest.fixture(scope="module")
def pictures(blob_dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three expressions of one's own in folders, and their names in a file."""
    folder = tmp_path_factory.mktemp("own") / "faces"
    for number in np.flatnonzero(blob_dataset.targets < 3):
        label = OWN[blob_dataset.targets[number]]
        (folder / label).mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / label / f"{number}.png"), blob_dataset.faces[number])
    (folder / "labels.txt").write_text("\n".join(OWN) + "\n")
    return folder


def test_a_network_is_fine_tuned_on_pictures_with_labels_of_ones_own(
    start: Path, pictures: Path, tmp_path: Path
) -> None:
    settings = ["fit.epochs=12", "fit.learning_rate=0.02", "camera.flip=false"]
    run = train(None, str(pictures), start=str(start), overrides=settings, output=tmp_path / "run")
    described = json.loads((run.folder / "data.json").read_text())
    assert described["labels"] == ["bored", "awake", "happy"]
    assert described["division"]["how"] == "by-image"
    assert run.recipe.model.options["new_head"] is False, "a bare file does not name its labels"
    result = evaluate_path(run.folder, None)
    assert result.splits == ("Test",)
    assert result.whole.labels == ("bored", "awake", "happy")
    assert result.whole.accuracy.value > 0.6
    counts = np.array(result.whole.confusion).sum(axis=1)
    assert counts.min() > 0.6 * counts.max(), "divided class by class"


def test_the_head_is_kept_where_the_labels_are_the_same(start: Path) -> None:
    faces = np.random.default_rng(1).integers(0, 256, (4, 48, 48, 1)).astype(np.uint8)
    before = keras.models.load_model(start).predict(faces, verbose=0)
    kept = build_model("pretrained", 7, {"file": str(start)})
    np.testing.assert_allclose(kept.predict(faces, verbose=0), before, atol=1e-6)
    anew = build_model("pretrained", 7, {"file": str(start), "new_head": True})
    assert np.abs(anew.predict(faces, verbose=0) - before).max() > 1e-3


def test_a_dataset_with_the_recipes_splits_keeps_them(start: Path, blob_dataset: Dataset) -> None:
    recipe = starting_from(load_recipe("fine-tune"), str(start), blob_dataset)
    assert recipe.data.divide == "as-given"
    assert recipe.model.name == "pretrained"


def test_a_network_that_has_changed_or_is_not_there_is_refused(
    start: Path, blob_dataset: Dataset, tmp_path: Path
) -> None:
    with pytest.raises(FerEdgeError, match="not the network any more"):
        build_model("pretrained", 7, {"file": str(start), "sha256": "0" * 64})
    with pytest.raises(FerEdgeError, match="no network to start from"):
        build_model("pretrained", 7, {})
    with pytest.raises(FerEdgeError, match="no model at"):
        starting_from(load_recipe("fine-tune"), str(tmp_path / "none.keras"), blob_dataset)


def test_labels_of_ones_own_are_named_once_each(pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "joy").mkdir()
    cv2.imwrite(str(tmp_path / "joy" / "1.png"), np.zeros((48, 48), np.uint8))
    (tmp_path / "labels.txt").write_text("joy\njoy\n")
    with pytest.raises(FerEdgeError, match="2 labels, 1 of them different"):
        train(None, str(tmp_path), start=str(pictures))
