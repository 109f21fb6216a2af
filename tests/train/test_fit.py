"""The loop's promises: resuming changes nothing, nothing is lost, bad numbers stop it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from fer_edge.chatter import import_keras
from fer_edge.data.dataset import Dataset
from fer_edge.errors import FerEdgeError

keras = import_keras()

from fer_edge.train.averaging import face_statistics, network_of, use_average  # noqa: E402
from fer_edge.train.checkpoints import Checkpoints  # noqa: E402
from fer_edge.train.fit import fit  # noqa: E402
from fer_edge.train.fused import fused_batch_norms, unfused  # noqa: E402
from fer_edge.train.recipe import Recipe, override, parse_recipe  # noqa: E402

RECIPE = parse_recipe(
    """
    name = "blobs"
    [data]
    validation = ["PublicTest"]
    [model]
    name = "compact"
    width = 4
    [fit]
    epochs = 3
    batch_size = 32
    learning_rate = 0.01
    schedule = "cosine"
    warmup_epochs = 1
    mixed_precision = "off"
    [augment]
    flip = false
    rotation_degrees = 5
    shift = 0.02
    contrast = 0.1
    erase = 0.05
    """,
    "test",
)


def _fit(recipe: Recipe, dataset: Dataset, run: Path, *, resume: bool = False) -> list[dict]:
    training, validation = dataset.select("Training"), dataset.select("PublicTest")
    return fit(recipe, training, validation, run, resume=resume).history


def _figures(history: list[dict]) -> list[tuple[float, ...]]:
    return [(h["loss"], h["accuracy"], h["val_loss"], h["learning_rate"]) for h in history]


@pytest.fixture(scope="module")
def whole_run(blob_dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("whole")
    _fit(RECIPE, blob_dataset, run)
    return run


def test_a_run_that_is_cut_off_after_an_epoch_ends_with_the_same_bits(
    whole_run: Path, blob_dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = Checkpoints.save

    def cut_after_first(self: Checkpoints, model: object, state: object) -> None:
        save(self, model, state)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoints, "save", cut_after_first)
    with pytest.raises(KeyboardInterrupt):
        _fit(RECIPE, blob_dataset, tmp_path)
    monkeypatch.undo()
    resumed = _fit(RECIPE, blob_dataset, tmp_path, resume=True)
    whole = Checkpoints(whole_run).load_state()
    assert whole is not None
    assert _figures(resumed) == _figures(whole.history)
    a, b = (Checkpoints(run).load_model(3).get_weights() for run in (whole_run, tmp_path))
    for left, right in zip(a, b, strict=True):
        np.testing.assert_array_equal(left, right)


def test_a_run_that_was_killed_after_its_last_epoch_has_its_history_once_it_goes_on(
    whole_run: Path, blob_dataset: Dataset, tmp_path: Path
) -> None:
    shutil.copytree(whole_run, tmp_path, dirs_exist_ok=True)
    (tmp_path / "history.csv").unlink()
    assert len(_fit(RECIPE, blob_dataset, tmp_path, resume=True)) == 3
    assert _names(tmp_path) == _names(whole_run)
    assert (tmp_path / "history.csv").read_text() == (whole_run / "history.csv").read_text()


def _names(folder: Path) -> set[Path]:
    return {path.relative_to(folder) for path in folder.rglob("*")}


def test_the_learning_rate_warms_up_and_falls_to_zero(whole_run: Path) -> None:
    state = Checkpoints(whole_run).load_state()
    assert state is not None
    rates = [row["learning_rate"] for row in state.history]
    assert rates[0] == pytest.approx(0.01, rel=1e-3)
    assert rates[0] > rates[1] > rates[2]
    assert rates[2] == pytest.approx(0, abs=1e-4)


def test_the_network_taken_out_of_the_training_model_predicts_without_augmentation(
    whole_run: Path, blob_dataset: Dataset
) -> None:
    trainer = Checkpoints(whole_run).load_model(3)
    network = network_of(trainer, RECIPE, 7)
    faces = blob_dataset.faces[:8, ..., None]
    np.testing.assert_allclose(
        network.predict(faces, verbose=0), trainer.predict(faces, verbose=0), atol=1e-6
    )
    assert not any("random" in layer.name for layer in network.layers)


def test_history_and_tensorboard_log_are_written(whole_run: Path) -> None:
    lines = (whole_run / "history.csv").read_text().splitlines()
    assert len(lines) == 4
    assert {"epoch", "loss", "val_accuracy", "learning_rate"} <= set(lines[0].split(","))
    assert any((whole_run / "tensorboard").glob("events.out.tfevents.*"))


def test_only_the_last_and_the_best_checkpoint_are_kept(whole_run: Path) -> None:
    state = Checkpoints(whole_run).load_state()
    assert state is not None
    kept = {path.name for path in (whole_run / "checkpoints").glob("*.keras")}
    assert kept == {f"epoch-{e:04d}.keras" for e in (state.best_epoch, 3)}


def test_a_loss_that_is_no_number_stops_the_run_and_says_what_to_change(
    blob_dataset: Dataset, tmp_path: Path
) -> None:
    diverging = override(
        RECIPE, ["fit.optimizer=sgd", "fit.learning_rate=1e38", "fit.warmup_epochs=0"]
    )
    with pytest.raises(FerEdgeError, match=r"the loss became .* in epoch 1, step") as stopped:
        _fit(diverging, blob_dataset, tmp_path)
    assert "--set fit.learning_rate=1e+37 -o ANOTHER" in stopped.value.hint


def test_a_validation_loss_that_is_no_number_stops_the_run_before_it_becomes_a_checkpoint(
    blob_dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_numbers(dataset: Dataset, *_: object) -> tuple[np.ndarray, np.ndarray]:
        return dataset.faces, np.full((len(dataset), 7), np.nan, np.float32)

    monkeypatch.setattr("fer_edge.train.fit._validation_data", without_numbers)
    with pytest.raises(FerEdgeError, match="the validation loss became nan in epoch 1") as stopped:
        _fit(RECIPE, blob_dataset, tmp_path)
    assert "--resume would meet the same numbers" in stopped.value.hint
    assert Checkpoints(tmp_path).load_state() is None


def test_early_stopping_ends_a_run_that_does_not_get_better(
    blob_dataset: Dataset, tmp_path: Path
) -> None:
    stuck = override(
        RECIPE,
        [
            "fit.epochs=9",
            "fit.patience=2",
            "fit.select=best",
            "fit.optimizer=sgd",
            "fit.schedule=constant",
            "fit.learning_rate=1e-30",
            "fit.warmup_epochs=0",
            "model.momentum=0.999999",
        ],
    )
    history = _fit(stuck, blob_dataset, tmp_path)
    assert len(history) == 3


def test_a_damaged_state_file_is_refused_by_name(tmp_path: Path, blob_dataset: Dataset) -> None:
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "state.json").write_text("{")
    with pytest.raises(FerEdgeError, match=r"state\.json is damaged"):
        _fit(RECIPE, blob_dataset, tmp_path, resume=True)


def test_averaged_weights_are_validated_and_finished_with_batch_norms_of_their_own(
    blob_dataset: Dataset, tmp_path: Path
) -> None:
    recipe = override(RECIPE, ["fit.ema=0.8", "fit.epochs=1"])
    history = _fit(recipe, blob_dataset, tmp_path)
    training, validation = blob_dataset.select("Training"), blob_dataset.select("PublicTest")
    trainer = Checkpoints(tmp_path).load_model(1)
    last = network_of(trainer, recipe, 7)
    use_average(trainer, face_statistics(recipe, training))
    network = network_of(trainer, recipe, 7)
    norm = network.get_layer("bn1")
    before = last.get_layer("bn1")
    assert np.abs(np.array(norm.gamma) - np.array(before.gamma)).max() > 1e-4
    # the statistics under the averaged weights are those of the training images themselves
    behind = keras.Model(network.inputs, norm.input)
    order = np.random.default_rng(recipe.fit.seed).permutation(len(training))[:384]
    seen = behind.predict(training.faces[order][..., None], verbose=0)
    np.testing.assert_allclose(np.array(norm.moving_mean), seen.mean(axis=(0, 1, 2)), rtol=1e-3)
    np.testing.assert_allclose(
        np.array(norm.moving_variance), seen.var(axis=(0, 1, 2)), rtol=1e-3, atol=1e-5
    )
    said = network.predict(validation.faces[..., None], verbose=0)
    right = said.argmax(axis=1) == validation.targets
    assert history[-1]["val_accuracy"] == pytest.approx(right.mean(), abs=1e-6)


def _normed() -> keras.Model:
    keras.utils.set_random_seed(3)
    inputs = keras.Input((8, 8, 1))
    x = keras.layers.Conv2D(4, 3, name="conv")(inputs)
    x = keras.layers.BatchNormalization(momentum=0.7, name="norm")(x)
    x = keras.layers.BatchNormalization(momentum=0.7, name="dense_norm")(
        keras.layers.Flatten()(keras.layers.ReLU()(x))
    )
    model = keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(x))
    model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
    return model


def test_the_fused_batch_norm_learns_what_that_of_keras_learns() -> None:
    rng = np.random.default_rng(0)
    images, targets = rng.normal(2, 3, (64, 8, 8, 1)), rng.integers(0, 3, 64)
    plain, fused = _normed(), _normed()
    plain.fit(images, targets, batch_size=16, epochs=3, shuffle=False, verbose=0)
    with fused_batch_norms(fused):
        kinds = [type(fused.get_layer(name)).__name__ for name in ("norm", "dense_norm")]
        assert kinds == ["_Fused"] * 2
        fused.fit(images, targets, batch_size=16, epochs=3, shuffle=False, verbose=0)
    for one, other in zip(plain.get_weights(), fused.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-4, atol=2e-5)
    assert type(fused.get_layer("norm")) is keras.layers.BatchNormalization


def test_a_checkpoint_of_fused_batch_norms_holds_those_of_keras(tmp_path: Path) -> None:
    model = _normed()
    with fused_batch_norms(model), unfused(model):
        model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded.get_layer("norm")) is keras.layers.BatchNormalization


def test_batch_norms_that_devices_share_are_not_fused() -> None:
    model = _normed()
    model.get_layer("norm").synchronized = True
    with fused_batch_norms(model):
        assert type(model.get_layer("norm")) is keras.layers.BatchNormalization
