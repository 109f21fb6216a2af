"""Equalizing changes no answer of the float network and makes the int8 one follow it closer."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from test_folding import CASES, FACES, _with_statistics

from fer_edge.chatter import import_keras

keras = import_keras()

from keras import layers  # noqa: E402

from fer_edge.export.converters import tflite  # noqa: E402
from fer_edge.export.remedies.equalizing import equalize  # noqa: E402
from fer_edge.export.remedies.folding import fold_batch_norms  # noqa: E402
from fer_edge.runtime import load_model  # noqa: E402
from fer_edge.train.models import build_model  # noqa: E402

IMAGES = np.concatenate([FACES, 255 - FACES])


def _answers(network: keras.Model) -> np.ndarray:
    said = [network(face[None], training=False) for face in FACES.astype(np.float32)]
    return np.concatenate([np.asarray(each) for each in said])


@pytest.mark.parametrize("signs", ["positive", "mixed"])
@pytest.mark.parametrize("case", CASES)
def test_an_equalized_network_computes_the_same(case: str, signs: str) -> None:
    folded, _ = fold_batch_norms(_with_statistics(CASES[case][0](), signs))
    weights = folded.get_weights()
    np.testing.assert_allclose(_answers(equalize(folded, IMAGES)), _answers(folded), atol=1e-5)
    for before, after in zip(weights, folded.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after, "the given network was changed")


@pytest.mark.parametrize("batch_norm", ["after-relu", "before-relu", "none"])
def test_the_papers_network_computes_the_same_when_equalized(batch_norm: str) -> None:
    keras.utils.set_random_seed(3)
    network = _with_statistics(build_model("triwijoyo", 7, {"batch_norm": batch_norm}), "mixed")
    folded, _ = fold_batch_norms(network)
    equalized = equalize(folded, IMAGES)
    np.testing.assert_allclose(_answers(equalized), _answers(folded), atol=1e-5)
    changed = [
        layer.name
        for layer in equalized.layers
        if isinstance(layer, layers.Conv2D | layers.Dense)
        and not np.array_equal(layer.kernel, folded.get_layer(layer.name).kernel)
    ]
    assert changed[-2:] == ["hidden", "logits"]
    assert len(changed) >= 7


def test_a_network_that_branches_comes_back_as_it_is() -> None:
    inputs = keras.Input(batch_shape=(1, 48, 48, 1))
    x = layers.Conv2D(4, 3, padding="same")(inputs)
    x = layers.GlobalAveragePooling2D()(layers.Add()([x, layers.Conv2D(4, 1)(x)]))
    network = keras.Model(inputs, layers.Dense(7, activation="softmax")(x))
    assert equalize(network, IMAGES) is network


def _ruined(network: keras.Model) -> keras.Model:
    """The same function with channels of very different size: bad luck that int8 suffers from."""
    rng = np.random.default_rng(4)
    names = [layer.name for layer in network.layers if "conv" in layer.name]
    for name, following in pairwise(names):
        norm, conv = network.get_layer(name.replace("conv", "bn")), network.get_layer(following)
        scale = 10 ** rng.uniform(-1.5, 1.5, norm.gamma.shape[0]).astype(np.float32)
        norm.gamma.assign(np.asarray(norm.gamma) * scale)
        norm.beta.assign(np.asarray(norm.beta) * scale)
        conv.kernel.assign(np.asarray(conv.kernel) / scale[:, None])
    return network


def test_int8_follows_a_network_of_unlike_channels_once_it_is_equalized() -> None:
    keras.utils.set_random_seed(2)
    network = _ruined(_with_statistics(build_model("compact", 7, {"width": 8})))
    dense = network.get_layer("logits")
    dense.kernel.assign(np.asarray(dense.kernel) * 5)
    folded, _ = fold_batch_norms(network)
    rng = np.random.default_rng(6)
    coarse = rng.integers(0, 256, (60, 6, 6)).astype(np.uint8)
    faces = coarse.repeat(8, axis=1).repeat(8, axis=2)[..., None]
    expected = network.predict(faces, verbose=0)

    def error(candidate: keras.Model) -> float:
        said = load_model(tflite.to_int8(candidate, faces[:30])).probabilities(faces)
        return float(np.abs(said - expected).mean())

    assert error(equalize(folded, faces[:30])) < error(folded) / 2
