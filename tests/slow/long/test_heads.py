"""Two heads over one backbone, every other ingredient on, from recipe to run folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fer_edge.chatter import import_keras
from fer_edge.data.dataset import Dataset
from fer_edge.data.packed import write_packed
from fer_edge.errors import FerEdgeError
from fer_edge.evaluation.classifier import evaluate_path
from fer_edge.labels import LABELS

keras = import_keras()

from fer_edge.export.remedies.folding import chain  # noqa: E402
from fer_edge.train.checkpoints import Checkpoints  # noqa: E402
from fer_edge.train.models.edge import SIZES, Plan  # noqa: E402
from fer_edge.train.recipe import load_recipe, override  # noqa: E402
from fer_edge.train.run import train  # noqa: E402
from fer_edge.train.targets import goals  # noqa: E402
from fer_edge.train.teachers import taught  # noqa: E402

RECIPE = """
name = "everything"
[data]
validation = ["PublicTest"]
[model]
name = "edge"
size = "nano"
momentum = 0.6
[targets]
heads = ["votes", "fer2013"]
head_weights = [1, 1]
[fit]
epochs = 3
batch_size = 32
learning_rate = 0.01
label_smoothing = 0.05
class_balance = 0.5
ema = 0.8
logit_adjustment = {fer2013 = {fear = 0.3}}
temperature = true
mixed_precision = "off"
[augment]
mixup = 0.2
cutmix = 1.0
mix_probability = 0.3
[camera]
shift = 0.03
blur = 1
noise = 8
probability = 0.2
"""


@pytest.fixture(scope="module", autouse=True)
def narrow() -> Iterator[None]:
    """The design of edge-nano with fewer channels and blocks, which trains in a second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SIZES["plain"], "nano", Plan(8, ((8, 1), (8, 1), (16, 2))))
        yield


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("recipe") / "everything.toml"
    path.write_text(RECIPE)
    return str(path)


@pytest.fixture(scope="module")
def packed(voted: Dataset, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("data") / "voted.npz"
    write_packed(voted, path)
    return str(path)


@pytest.fixture(scope="module")
def runs(recipe: str, packed: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A whole run, and its folder as it was after the first epoch."""
    folder = tmp_path_factory.mktemp("runs")
    found = {"whole": folder / "whole", "cut": folder / "cut"}
    save = Checkpoints.save

    def copying(self: Checkpoints, model: object, state: object) -> None:
        save(self, model, state)  # type: ignore[arg-type]
        if not found["cut"].exists():
            shutil.copytree(found["whole"], found["cut"])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Checkpoints, "save", copying)
        train(recipe, packed, output=found["whole"])
    return found


@pytest.fixture(scope="module")
def run(runs: dict[str, Path]) -> Path:
    return runs["whole"]


def test_each_head_is_a_network_of_its_own_and_one_chain(run: Path, voted: Dataset) -> None:
    faces = voted.select("PrivateTest").faces[..., None]
    said = {}
    for file in ("model.keras", "model-fer2013.keras"):
        network = keras.models.load_model(run / file)
        assert chain(network) is not None
        assert network.output_shape == (None, 7)
        said[file] = network.predict(faces, verbose=0)
    assert np.abs(said["model.keras"] - said["model-fer2013.keras"]).max() > 0.01


def test_the_votes_head_learns_what_people_see_and_the_other_what_the_labels_say(
    run: Path,
) -> None:
    metrics = json.loads((run / "metrics.json").read_text())
    by_label = metrics["test"]["whole"]["accuracy"]["value"]
    by_vote = metrics["test_majority"]["whole"]["accuracy"]["value"]
    other = metrics["heads"]["fer2013"]["test"]["whole"]["accuracy"]["value"]
    assert by_vote > 0.5 > by_label
    assert other > 0.5
    assert metrics["test_majority"]["whole"]["images"] == metrics["test"]["whole"]["images"] - 10


def test_the_temperature_is_in_the_last_layer_and_its_gain_in_the_metrics(run: Path) -> None:
    metrics = json.loads((run / "metrics.json").read_text())
    for found in (metrics["calibration"], metrics["heads"]["fer2013"]["calibration"]):
        assert found["temperature"] != pytest.approx(1)
        assert found["calibration_error_after"] < found["calibration_error_before"] + 0.02


def test_only_the_head_that_is_named_has_its_logits_adjusted(run: Path) -> None:
    metrics = json.loads((run / "metrics.json").read_text())
    assert "logit_adjustment" not in metrics
    assert metrics["heads"]["fer2013"]["logit_adjustment"] == {"fear": 0.3}


def test_either_head_is_evaluated_by_name(run: Path, packed: str) -> None:
    default = evaluate_path(run, packed, votes=False)
    assert evaluate_path(run, packed, head="votes", votes=False).whole == default.whole
    other = evaluate_path(run, packed, head="fer2013")
    assert (other.truth, other.whole.images) == ("labels", default.whole.images)
    assert other.whole != default.whole
    by_vote = evaluate_path(run, packed, votes=True).whole
    assert evaluate_path(run, packed).whole == by_vote, "what it has learned is what judges it"
    assert by_vote.accuracy.value > default.whole.accuracy.value
    with pytest.raises(FerEdgeError, match="has no head 'labels'"):
        evaluate_path(run, packed, head="labels")


def test_a_run_that_is_cut_off_ends_with_the_same_bits(runs: dict[str, Path]) -> None:
    assert not (runs["cut"] / "model.keras").exists()
    train(None, None, output=runs["cut"], resume=True)
    for file in ("model.keras", "model-fer2013.keras"):
        one, other = (keras.models.load_model(folder / file) for folder in runs.values())
        for left, right in zip(one.get_weights(), other.get_weights(), strict=True):
            np.testing.assert_array_equal(left, right)


def test_the_finished_network_is_the_average_of_the_weights(run: Path) -> None:
    trainer = Checkpoints(run).load_model(3)
    last = trainer.get_layer("edge_nano").get_layer("stem_main").kernel
    average = {v.path: v for v in trainer.optimizer._model_variables_moving_average}
    assert len(average) == len(trainer.trainable_variables)
    index = [v is last for v in trainer.trainable_variables].index(True)
    mean = trainer.optimizer._model_variables_moving_average[index]
    assert np.abs(np.asarray(mean) - np.asarray(last)).max() > 1e-5
    trainer.optimizer.finalize_variable_values(trainer.trainable_variables)
    np.testing.assert_array_equal(np.asarray(last), np.asarray(mean))


def test_other_votes_for_the_same_faces_are_another_dataset(
    run: Path, voted: Dataset, recipe: str, packed: str, tmp_path: Path
) -> None:
    assert voted.votes is not None
    other = tmp_path / "other.npz"
    write_packed(replace(voted, votes=voted.votes[::-1]), other)
    (tmp_path / "run").mkdir()
    for file in ("recipe.toml", "data.json"):
        (tmp_path / "run" / file).write_bytes((run / file).read_bytes())
    with pytest.raises(FerEdgeError, match=r"other FER\+ votes"):
        train(None, str(other), output=tmp_path / "run", resume=True)


def test_teachers_answers_are_part_of_the_target_and_kept_in_the_run_folder(
    run: Path, voted: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faces = voted.subset(np.arange(20))
    recipe = load_recipe(run / "recipe.toml")
    recipe = override(recipe, [f'distill.teachers=["{run}"]', "distill.weight=1"])
    goal = taught(goals(faces, recipe.targets), faces, recipe, tmp_path)
    metrics = json.loads((run / "metrics.json").read_text())
    temperature = metrics["heads"]["fer2013"]["calibration"]["temperature"]
    for head, file in enumerate(("model.keras", "model-fer2013.keras")):
        network = keras.models.load_model(run / file)
        pixels = faces.faces[..., None]
        views = [network.predict(each, verbose=0) for each in (pixels, pixels[:, :, ::-1])]
        for view in views if head else []:
            # a student is not taught what was added to its teacher's logits
            view[:, LABELS.index("fear")] /= np.exp(0.3 / temperature)
            view /= view.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(goal.targets[:, head], np.mean(views, axis=0), atol=1e-5)
    monkeypatch.setattr("fer_edge.train.teachers.load_model", None)
    again = taught(goals(faces, recipe.targets), faces, recipe, tmp_path)
    np.testing.assert_array_equal(again.targets, goal.targets)
    half = override(recipe, ["distill.weight=0.5", "distill.temperature=4"])
    mixed = taught(goals(faces, half.targets), faces, half, tmp_path)
    assert mixed.targets[:, 1].max() < 1
    np.testing.assert_allclose(mixed.targets.sum(axis=-1), 1, atol=1e-5)


def test_a_teacher_of_other_expressions_is_refused(run: Path, voted: Dataset) -> None:
    recipe = override(load_recipe(run / "recipe.toml"), [f'distill.teachers=["{run}"]'])
    other = replace(voted, labels=tuple(reversed(voted.labels)))
    with pytest.raises(FerEdgeError, match="names angry"):
        taught(goals(voted, recipe.targets), other, recipe, run)
