"""A run folder as a user gets it, and what happens when a run is stopped or resumed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fer_edge.chatter import import_keras
from fer_edge.data.dataset import Dataset
from fer_edge.data.packed import write_packed
from fer_edge.errors import FerEdgeError
from fer_edge.files import sole_use
from fer_edge.subject import Subject

keras = import_keras()

from fer_edge.export.source import newest_run  # noqa: E402
from fer_edge.train.checkpoints import Checkpoints  # noqa: E402
from fer_edge.train.environment import record_environment  # noqa: E402
from fer_edge.train.models import build_model  # noqa: E402
from fer_edge.train.recipe import load_recipe, override  # noqa: E402
from fer_edge.train.run import batch_norm_check, train  # noqa: E402


def test_a_run_folder_holds_what_the_documentation_lists(
    recipe: str, packed: str, tmp_path: Path, blob_dataset: Dataset
) -> None:
    run = train(recipe, packed, output=tmp_path / "run")
    names = {path.name for path in run.folder.iterdir()}
    assert names == {
        *("model.keras", "recipe.toml", "data.json", "metrics.json", "history.csv"),
        *("curves.png", "confusion.png", "environment.json", "tensorboard", "checkpoints"),
    }
    metrics = json.loads((run.folder / "metrics.json").read_text())
    model = keras.models.load_model(run.folder / "model.keras")
    test = blob_dataset.select("PrivateTest")
    said = model.predict(test.faces[..., None], verbose=0).argmax(axis=1)
    assert metrics["test"]["whole"]["accuracy"]["value"] == pytest.approx(
        (said == test.targets).mean()
    )
    assert metrics["test"]["whole"]["images"] == len(test)
    described = json.loads((run.folder / "data.json").read_text())
    assert described["fingerprint"] == blob_dataset.fingerprint()

    with pytest.raises(FerEdgeError, match="is not empty"):
        train(recipe, packed, output=run.folder)
    with pytest.raises(FerEdgeError, match="is a file"):
        train(recipe, packed, output=run.folder / "data.json")
    again = train(None, packed, output=run.folder, resume=True)
    assert again.metrics == metrics, "a finished run is not measured on the test split again"
    other = str(tmp_path / "other.npz")
    write_packed(replace(blob_dataset, faces=255 - blob_dataset.faces), Path(other))
    with pytest.raises(FerEdgeError, match="trained on another dataset"):
        train(None, other, output=run.folder, resume=True)


def test_control_c_leaves_a_run_to_go_on_with_and_the_test_split_untouched(
    recipe: str, packed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = Checkpoints.save

    def interrupted(self: Checkpoints, model: object, state: object) -> None:
        save(self, model, state)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoints, "save", interrupted)
    run = train(recipe, packed, output=tmp_path / "run")
    monkeypatch.undo()
    assert run.interrupted
    assert run.metrics["epochs"] == 1
    assert "validation" in run.metrics
    assert "test" not in run.metrics
    assert keras.models.load_model(run.folder / "model.keras").output_shape == (None, 7)
    with pytest.raises(FerEdgeError, match="no finished run"):
        newest_run(tmp_path)
    with pytest.raises(FerEdgeError, match="is not finished"):
        train(None, packed, start=str(run.folder), output=tmp_path / "tuned")

    other = Path(packed).with_name("other.npz")
    faces, targets = np.zeros((20, 48, 48), np.uint8), np.zeros(20, np.uint8)
    splits = np.repeat(["Training", "PublicTest", "PrivateTest"], [10, 5, 5])
    labels = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
    write_packed(Dataset("other", labels, faces, targets, splits), other)
    with pytest.raises(FerEdgeError, match="trained on another dataset"):
        train(None, str(other), output=run.folder, resume=True)
    with pytest.raises(FerEdgeError, match=r"differs in \[fit\]"):
        train(None, None, output=run.folder, resume=True, overrides=["fit.epochs=5"])
    recorded = run.folder / "recipe.toml"
    text = recorded.read_text()
    recorded.write_text(text.replace("epochs = 2", "epochs = 5"))
    assert recorded.read_text() != text
    with pytest.raises(FerEdgeError, match=r"recipe\.toml was edited after the run had begun"):
        train(None, None, output=run.folder, resume=True)
    recorded.write_text(text)
    finished = train(None, None, output=run.folder, resume=True)
    assert not finished.interrupted
    assert finished.metrics["epochs"] == 2
    assert newest_run(tmp_path) == run.folder
    environment = json.loads((run.folder / "environment.json").read_text())
    assert environment["devices"] == ["cpu:0"]
    (resumed,) = environment["resumed"]
    assert (resumed["after_epoch"], resumed["devices"]) == (1, ["cpu:0"])
    assert resumed["threads"] == environment["threads"]


def test_a_run_that_goes_on_with_another_number_of_threads_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "environment.json"

    def said(threads: int, epochs: int, device: str = "cpu:0") -> str:
        monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", str(threads))
        record_environment(file, "float32", [device], epochs)
        return capfd.readouterr().err

    assert (said(1, 0), said(1, 1), said(2, 1, "gpu:0")) == ("", "", "")
    assert "the number of threads was 1 and 2 and is 3 now" in said(3, 2)
    recorded = json.loads(file.read_text())
    assert [part["threads"] for part in (recorded, *recorded["resumed"])] == [1, 1, 2, 3]
    # a run of before this was recorded
    file.write_text(json.dumps({"dtype_policy": "float32"}))
    assert said(2, 1) == ""


def test_nothing_is_written_to_a_folder_that_another_training_has(
    recipe: str, packed: str, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    with sole_use(folder), pytest.raises(FerEdgeError, match="worked on by another process"):
        train(recipe, packed, output=folder)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["model.dropout=2"], "'compact': dropout: input should be less than 1, got 2"),
        (['distill.teachers=["other"]'], "names a, b; blobs has angry"),
        (["model.name=pretrained", "model.width=[]"], "no option 'width'"),
    ],
)
def test_a_recipe_that_cannot_work_blocks_no_second_try(
    settings: list[str], message: str, recipe: str, packed: str, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    subject = Subject(Path("other"), Path("model.keras"), ("a", "b"))
    monkeypatch.setattr("fer_edge.train.teachers.find_subject", lambda *_: subject)
    with pytest.raises(FerEdgeError, match=message):
        train(recipe, packed, output=tmp_path / "run", overrides=settings)
    assert not list((tmp_path / "run").glob("*"))


def test_a_dataset_without_splits_is_told_how_to_be_divided(
    recipe: str, blob_dataset: Dataset, tmp_path: Path
) -> None:
    unsplit = replace(blob_dataset, splits=np.full(len(blob_dataset), "all"))
    write_packed(unsplit, tmp_path / "all.npz")
    with pytest.raises(FerEdgeError, match="has no split 'Training'") as refused:
        train(recipe, str(tmp_path / "all.npz"), output=tmp_path / "run")
    assert "--set data.divide=by-image" in refused.value.hint
    settings = [word.strip("'") for word in refused.value.hint.split()[1:] if "data." in word]
    assert override(load_recipe(recipe), settings).data.division is not None


def test_moving_averages_that_lag_behind_are_noticed(blob_dataset: Dataset) -> None:

    keras.utils.set_random_seed(1)
    model = build_model("compact", 7, {"width": 4})
    training = blob_dataset.select("Training")
    fresh = batch_norm_check(model, training, seed=0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.moving_mean.assign(layer.moving_mean + 5)
    shifted = batch_norm_check(model, training, seed=0)
    assert shifted["batch_statistics"] == pytest.approx(fresh["batch_statistics"])
    assert shifted["moving_averages"] != fresh["moving_averages"]


def test_without_a_recipe_the_products_own_network_is_trained_and_asks_for_its_votes(
    tmp_path: Path,
) -> None:
    with pytest.raises(FerEdgeError, match=r"has no FER\+ votes") as refused:
        train(None, "synthetic", output=tmp_path / "run")
    assert "--set 'targets.heads=[]'" in refused.value.hint
    assert not (tmp_path / "run" / "model.keras").exists()
