"""What a recipe becomes that goes on from a finished network."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_edge.bundle import trust
from fer_edge.bundle.minisign import new_key
from fer_edge.chatter import import_keras
from fer_edge.data.dataset import Dataset
from fer_edge.errors import FerEdgeError
from fer_edge.evaluation.classifier import evaluate_path
from fer_edge.shipped import shipped_models

import_keras()

from fer_edge.data.division import Division  # noqa: E402
from fer_edge.train.models import build_model  # noqa: E402
from fer_edge.train.recipe import load_recipe, override  # noqa: E402
from fer_edge.train.run import train  # noqa: E402
from fer_edge.train.starting import starting_from  # noqa: E402


def test_a_dataset_without_splits_is_divided_as_the_recipe_was_set(
    blob_dataset: Dataset, tmp_path: Path
) -> None:
    build_model("compact", 7, {"width": 1}).save(tmp_path / "model.keras")
    unsplit = replace(blob_dataset, splits=np.full(len(blob_dataset), "all"))
    settings = ["data.drop_leaks=true", "data.divide_seed=5", "data.test_share=0.4"]
    recipe = override(load_recipe("fine-tune"), [*settings, "data.oversample=training"])
    data = starting_from(recipe, str(tmp_path / "model.keras"), unsplit).data
    assert data.division == Division("by-image", 0.4, 5)
    assert (data.drop_leaks, data.oversample) == (True, "training")
    assert (data.train, data.validation, data.test) == (["Training"], [], ["Test"])


@pytest.mark.parametrize(
    ("splits", "test"),
    [(("Training", "PublicTest"), "PublicTest"), (("Training", "PrivateTest"), "PrivateTest")],
)
def test_a_part_that_is_held_out_is_the_test_and_never_trained_on(
    splits: tuple[str, str], test: str, blob_dataset: Dataset, tmp_path: Path
) -> None:
    build_model("compact", 7, {"width": 1}).save(tmp_path / "model.keras")
    own = blob_dataset.select(splits)
    recipe = starting_from(load_recipe("fine-tune"), str(tmp_path / "model.keras"), own)
    data = recipe.data
    assert data.division is None
    assert (data.train, data.validation, data.test) == (["Training"], [], [test])
    assert recipe.fit.select == "last"


def test_splits_that_do_not_say_what_they_serve_are_asked_for(
    blob_dataset: Dataset, tmp_path: Path
) -> None:
    build_model("compact", 7, {"width": 1}).save(tmp_path / "model.keras")
    start, fine_tune = str(tmp_path / "model.keras"), load_recipe("fine-tune")
    names = np.where(np.arange(len(blob_dataset)) % 2, "tuesday", "monday")
    folds = replace(blob_dataset, splits=names)
    with pytest.raises(FerEdgeError, match="the splits monday, tuesday") as asked:
        starting_from(fine_tune, start, folds)
    settings = ['data.train=["monday"]', "data.validation=[]", 'data.test=["tuesday"]']
    assert (
        asked.value.hint
        == f"say it: --set '{settings[0]}' --set {settings[1]} --set '{settings[2]}'"
    )
    data = starting_from(override(fine_tune, settings), start, folds).data
    assert (data.train, data.test, data.division) == (["monday"], ["tuesday"], None)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Pictures with labels of one's own, listed nowhere."""
    for number, label in enumerate(["up", "down", "level"] * 4):
        folder = tmp_path / "faces" / "test" / label
        folder.mkdir(parents=True, exist_ok=True)
        picture = np.random.default_rng(number).integers(0, 256, (48, 48)).astype(np.uint8)
        cv2.imwrite(str(folder / f"{number}.png"), picture)
    return tmp_path / "faces"


def test_folders_of_pictures_name_the_labels_of_what_is_evaluated(
    pictures: Path, tmp_path: Path
) -> None:
    build_model("compact", 3, {"width": 1}).save(tmp_path / "model.keras")
    result = evaluate_path(tmp_path / "model.keras", str(pictures))
    assert result.whole.labels == ("down", "level", "up")


def test_pictures_of_one_label_are_refused_before_anything_is_trained(
    pictures: Path, tmp_path: Path
) -> None:
    build_model("compact", 7, {"width": 1}).save(tmp_path / "model.keras")
    (tmp_path / "one").mkdir()
    (pictures / "test" / "up").rename(tmp_path / "one" / "up")
    start = str(tmp_path / "model.keras")
    with pytest.raises(FerEdgeError, match="of the label 'up': there is nothing to tell apart"):
        train(None, str(tmp_path / "one"), start=start, output=tmp_path / "run")
    assert not (tmp_path / "run" / "data.json").exists()


def test_a_shipped_model_is_trained_on_and_gone_on_with_where_another_key_is_trusted(
    recipe: str, packed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("cryptography")
    monkeypatch.setattr(trust, "SYSTEM_KEYS", tmp_path / "etc")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    trust.user_keys().mkdir(parents=True)
    (trust.user_keys() / "own.pub").write_text(new_key().public.to_text())

    def cut(*_: object) -> None:
        raise KeyboardInterrupt

    # where the network is there and nothing has been learned yet
    monkeypatch.setattr("fer_edge.train.fit.TrainingProgress", cut)
    start, run = str(shipped_models()["edge-nano"]), tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        train(recipe, packed, start=start, output=run)
    with pytest.raises(KeyboardInterrupt):
        train(None, None, output=run, resume=True)
    # one that no recipe pins is asked for its signature
    with pytest.raises(FerEdgeError, match="not trusted here"):
        build_model("pretrained", 7, {"file": str(run / "start.fer")})
