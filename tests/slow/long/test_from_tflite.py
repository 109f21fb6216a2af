"""A bundle's model becomes a network again that gives its answers and can be trained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from exported import Exported
from maker import Maker

from fer_edge.bundle import FLOAT_TFLITE, INT8_TFLITE, open_bundle
from fer_edge.chatter import import_keras
from fer_edge.data.dataset import Dataset
from fer_edge.errors import FerEdgeError
from fer_edge.labels import LABELS
from fer_edge.runtime import load_model

keras = import_keras()

from fer_edge.train.models import build_model  # noqa: E402
from fer_edge.train.models.from_tflite import network_from_tflite  # noqa: E402
from fer_edge.train.recipe import load_recipe  # noqa: E402
from fer_edge.train.starting import starting_from  # noqa: E402


@pytest.mark.parametrize(("member", "within"), [(FLOAT_TFLITE, 1e-4), (INT8_TFLITE, 0.06)])
def test_the_network_answers_as_the_file_does(
    exported: Exported, member: str, within: float
) -> None:
    content = open_bundle(exported.bundle).read(member)
    faces = exported.dataset.select("PrivateTest").faces
    network = network_from_tflite(content, "it")
    said = network.predict(faces[..., None], verbose=0)
    expected = load_model(content).probabilities(faces)
    assert np.abs(said - expected).max() <= within
    assert (said.argmax(axis=1) == expected.argmax(axis=1)).mean() > 0.95


def test_fine_tuning_begins_with_a_bundles_network_and_a_head_that_fits(
    exported: Exported, blob_dataset: Dataset
) -> None:
    recipe = starting_from(load_recipe("fine-tune"), str(exported.bundle), blob_dataset)
    options = recipe.model.options
    assert (options["file"], options["new_head"]) == (str(exported.bundle.absolute()), False)
    network = build_model("pretrained", len(LABELS), options)
    faces = exported.dataset.select("PrivateTest").faces[:32, ..., None]
    expected = network_from_tflite(open_bundle(exported.bundle).read(FLOAT_TFLITE), "it")
    np.testing.assert_allclose(
        network.predict(faces, verbose=0), expected.predict(faces, verbose=0), atol=1e-6
    )
    network.compile("adam", "categorical_crossentropy")
    before = network.get_layer("logits").get_weights()[0]
    network.train_on_batch(faces, np.eye(7, dtype=np.float32)[np.arange(32) % 7])
    assert np.abs(network.get_layer("logits").get_weights()[0] - before).max() > 0
    assert build_model("pretrained", 3, options | {"new_head": True}).output_shape == (None, 3)


def test_a_slim_bundle_will_do(maker: Maker) -> None:
    network = build_model("pretrained", 7, {"file": str(maker.bundle("slim.fer"))})
    faces = np.random.default_rng(1).integers(0, 256, (50, 48, 48)).astype(np.uint8)
    said = network.predict(faces[..., None], verbose=0)
    np.testing.assert_allclose(said, load_model(maker.content).probabilities(faces), atol=0.05)


def test_a_network_that_branches_is_refused_with_what_to_train_from(tmp_path: Path) -> None:
    from maker import to_int8

    inputs = keras.Input((48, 48, 1), batch_size=1)
    x = keras.layers.AveragePooling2D(8)(inputs)
    x = keras.layers.Add()([x, keras.layers.Conv2D(1, 3, padding="same")(x)])
    x = keras.layers.Dense(7, activation="softmax")(keras.layers.Flatten()(x))
    with pytest.raises(FerEdgeError, match="no chain") as caught:
        network_from_tflite(to_int8(keras.Model(inputs, x)), "branching.fer")
    assert "run folder" in caught.value.hint


def test_a_damaged_file_is_refused() -> None:
    with pytest.raises(FerEdgeError, match="cannot read the model of it"):
        network_from_tflite(b"\0" * 64, "it")
