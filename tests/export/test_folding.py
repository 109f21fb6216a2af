"""Folding is exact, whatever statistics training left behind."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from fer_edge.chatter import import_keras

keras = import_keras()

from keras import layers  # noqa: E402

from fer_edge.export.converters import tflite  # noqa: E402
from fer_edge.export.remedies.folding import ChannelAffine, fold_batch_norms  # noqa: E402
from fer_edge.macs import multiply_accumulates  # noqa: E402
from fer_edge.train.models import build_model  # noqa: E402

# noise, a gradient and a dark face: such as differ in every channel's mean
FACES = np.random.default_rng(11).integers(0, 256, (3, 48, 48, 1)).astype(np.uint8)
FACES[1] = np.linspace(0, 255, 48).astype(np.uint8)[:, None]
FACES[2] //= 8


def _network(*inner: object) -> keras.Model:
    keras.utils.set_random_seed(3)
    x = inputs = keras.Input((48, 48, 1))
    for layer in (layers.Rescaling(1 / 255), *inner, layers.Dense(7), layers.Softmax()):
        x = layer(x)
    return keras.Model(inputs, x)


def _conv(filters: int = 6, **options: object) -> layers.Layer:
    return layers.Conv2D(filters, 3, padding="same", bias_initializer="random_normal", **options)


def _with_statistics(network: keras.Model, signs: str = "positive") -> keras.Model:
    """Random batch-norm statistics; ``signs`` of the scales: positive, or with 0 and below."""
    rng = np.random.default_rng(7)
    for layer in network.layers:
        if isinstance(layer, layers.BatchNormalization):
            size = layer.moving_mean.shape[0]
            layer.moving_mean.assign(rng.normal(0, 0.5, size))
            layer.moving_variance.assign(rng.uniform(0.01, 4, size))
            if layer.beta is not None:
                layer.beta.assign(rng.normal(0, 0.5, size))
            if layer.gamma is not None:
                gamma = rng.uniform(0.2, 2, size)
                if signs == "mixed":
                    gamma[::3] *= -1
                    gamma[1::5] = 0
                layer.gamma.assign(gamma)
    return network


def _difference(network: keras.Model, folded: keras.Model) -> float:
    before = np.asarray(network(FACES.astype(np.float32), training=False))
    after = np.concatenate([folded(face[None]) for face in FACES.astype(np.float32)])
    assert before.std(axis=0).max() > 1e-4, "the network must answer differently to be compared"
    return float(np.abs(before - after).max())


CASES: dict[str, tuple[Callable[[], keras.Model], int]] = {
    "conv, ReLU, norm, pool, flatten, dense": (
        lambda: _network(
            _conv(), layers.ReLU(), layers.BatchNormalization(), layers.MaxPooling2D(4),
            layers.Flatten(), layers.Dense(9), layers.ReLU(),
        ),
        1,
    ),
    "ReLU given in the convolution": (
        lambda: _network(
            _conv(activation="relu"), layers.BatchNormalization(), layers.MaxPooling2D(4),
            layers.Flatten(),
        ),
        1,
    ),
    "ReLU as an activation layer": (
        lambda: _network(
            _conv(use_bias=False), layers.Activation("relu"), layers.BatchNormalization(),
            layers.MaxPooling2D(4), layers.Flatten(),
        ),
        1,
    ),
    "no pool behind the norm": (
        lambda: _network(_conv(), layers.ReLU(), layers.BatchNormalization(), layers.Flatten()),
        1,
    ),
    "global average pooling": (
        lambda: _network(
            _conv(), layers.ReLU(), layers.BatchNormalization(), layers.GlobalAveragePooling2D(),
            layers.Dropout(0.5),
        ),
        1,
    ),
    "a convolution with a border behind the norm": (
        lambda: _network(
            _conv(), layers.ReLU(), layers.BatchNormalization(), layers.MaxPooling2D(2),
            _conv(5), layers.ReLU(), layers.BatchNormalization(), layers.MaxPooling2D(8),
            layers.Flatten(),
        ),
        2,
    ),
    "a padded pool, and a flatten before a ReLU": (
        lambda: _network(
            _conv(), layers.ReLU(), layers.BatchNormalization(),
            layers.AveragePooling2D(5, padding="same"), layers.Flatten(), layers.ReLU(),
        ),
        1,
    ),
    "a dense layer without bias": (
        lambda: _network(
            _conv(), layers.ReLU(), layers.BatchNormalization(), layers.MaxPooling2D(8),
            layers.Flatten(), layers.Dense(8, use_bias=False),
        ),
        1,
    ),
    "a dense layer with its ReLU, Kusno's order": (
        lambda: _network(
            _conv(), layers.ReLU(), layers.MaxPooling2D(8), layers.Flatten(),
            layers.Dense(9, activation="relu"), layers.BatchNormalization(), layers.Dropout(0.5),
        ),
        1,
    ),
    "a norm without gamma and beta, and a second norm": (
        lambda: _network(
            _conv(), layers.ReLU(), layers.BatchNormalization(scale=False, center=False),
            layers.BatchNormalization(), layers.GlobalAveragePooling2D(),
        ),
        1,
    ),
    "norm before the ReLU": (
        lambda: _network(
            _conv(use_bias=False), layers.BatchNormalization(), layers.ReLU(),
            layers.GlobalAveragePooling2D(),
        ),
        0,
    ),
    "a ReLU with a ceiling": (
        lambda: _network(
            _conv(), layers.ReLU(max_value=0.3), layers.BatchNormalization(),
            layers.GlobalAveragePooling2D(),
        ),
        0,
    ),
    "a norm over rows instead of channels": (
        lambda: _network(
            _conv(48), layers.ReLU(), layers.BatchNormalization(axis=1),
            layers.GlobalAveragePooling2D(),
        ),
        0,
    ),
    "a depthwise convolution": (
        lambda: _network(
            _conv(), layers.DepthwiseConv2D(3, activation="relu"), layers.BatchNormalization(),
            layers.GlobalAveragePooling2D(),
        ),
        0,
    ),
}  # fmt: skip


@pytest.mark.parametrize("signs", ["positive", "mixed"])
@pytest.mark.parametrize("case", CASES)
def test_a_folded_network_computes_the_same(case: str, signs: str) -> None:
    make, expected = CASES[case]
    network = _with_statistics(make(), signs)
    weights = network.get_weights()
    folded, count = fold_batch_norms(network)
    assert count == expected
    assert folded.input_shape == (1, 48, 48, 1)
    assert _difference(network, folded) < 1e-5
    for before, after in zip(weights, network.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after, "the given network was changed")


def test_a_network_that_branches_comes_back_computing_the_same() -> None:
    keras.utils.set_random_seed(3)
    inputs = keras.Input((48, 48, 1))
    x = layers.Rescaling(1 / 255)(inputs)
    x = layers.Conv2D(6, 3, padding="same", activation="relu")(x)
    y = layers.BatchNormalization()(x)
    x = layers.Add()([x, layers.Conv2D(6, 3, padding="same")(y)])
    x = layers.Dense(7, activation="softmax")(layers.GlobalAveragePooling2D()(x))
    network = _with_statistics(keras.Model(inputs, x), "mixed")
    folded, count = fold_batch_norms(network)
    assert count == 0
    assert folded.input_shape == (1, 48, 48, 1)
    assert _difference(network, folded) < 1e-6
    # two convolutions over all pixels and a dense layer
    assert multiply_accumulates(folded) == 48 * 48 * 9 * (6 + 6 * 6) + 6 * 7


@pytest.mark.parametrize(
    ("batch_norm", "signs", "norms"),
    [("after-relu", "mixed", 3), ("before-relu", "positive", 0), ("none", "positive", 0)],
)
def test_the_papers_network_computes_the_same_in_each_of_its_orders(
    batch_norm: str, signs: str, norms: int
) -> None:
    keras.utils.set_random_seed(3)
    network = _with_statistics(build_model("triwijoyo", 7, {"batch_norm": batch_norm}), signs)
    folded, count = fold_batch_norms(network)
    assert count == norms
    assert _difference(network, folded) < 1e-5


def _affine_operators(network: keras.Model) -> list[str]:
    """Multiplications and additions past the scaling of the pixels."""
    operators = tflite.operators(tflite.to_float32(network))
    behind = operators[operators.index("CONV_2D") :]
    return [name for name in behind if name in ("MUL", "ADD")]


def test_no_multiplication_is_left_when_all_scales_are_positive() -> None:
    make, _ = CASES["a convolution with a border behind the norm"]
    network = _with_statistics(make())
    folded, _ = fold_batch_norms(network)
    assert _affine_operators(folded) == ["ADD"], "the shift before the second convolution stays"
    kept, _ = fold_batch_norms(_with_statistics(make(), "mixed"))
    assert _affine_operators(kept).count("MUL") == 2, "negative scales stay where they are"
    assert not any(isinstance(layer, layers.BatchNormalization) for layer in kept.layers)


@pytest.mark.parametrize("signs", ["positive", "mixed"])
@pytest.mark.parametrize(
    "case", ["a dense layer with its ReLU, Kusno's order", "no pool behind the norm"]
)
def test_a_dense_layer_takes_a_norm_whatever_its_signs(case: str, signs: str) -> None:
    make, _ = CASES[case]
    folded, _ = fold_batch_norms(_with_statistics(make(), signs))
    assert _affine_operators(folded) == []


def test_what_is_left_of_a_norm_can_be_saved_and_read(tmp_path: object) -> None:
    affine = ChannelAffine(scale=[2.0], shift=[1.0])
    again = ChannelAffine.from_config(affine.get_config())
    face = FACES[:1].astype(np.float32)
    np.testing.assert_array_equal(again(face), 2 * face + 1)
