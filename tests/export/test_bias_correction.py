"""Biases are moved by what rounding shifts, behind a ReLU or not, and stay so in later remedies."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from fragile import features, material, with_readout

from fer_edge.chatter import import_keras
from fer_edge.data.dataset import Dataset

keras = import_keras()

from keras import layers  # noqa: E402

from fer_edge.export.converters import tflite, tflite_graph  # noqa: E402
from fer_edge.export.remedies import ladder as climbing  # noqa: E402
from fer_edge.export.remedies.bias_correction import _means, correct_biases  # noqa: E402
from fer_edge.export.remedies.ladder import Ladder  # noqa: E402

FACES = np.random.default_rng(0).integers(0, 256, (64, 48, 48, 1)).astype(np.uint8)
CHANNEL = 3


def _ranged(network: Any) -> bytes:
    rangeless = tflite.calibratable(network, FACES)
    return tflite.with_ranges(
        rangeless, tflite.observe(rangeless, FACES, ("coverage",)), "coverage"
    )


def _biases(int8: bytes) -> tuple[Any, Any, float]:
    """Of the first convolution: the file's objects, the bias, and the step of its output."""
    model = tflite_graph.read(int8)
    (graph,) = model.subgraphs
    step = float(_output(model).quantization.scale[0])
    return model, graph.tensors[_first(model).inputs[2]], step


def _first(model: Any) -> Any:
    operators = tflite_graph.operators(model, model.subgraphs[0])
    return next(op for kind, op in operators if kind == "CONV_2D")


def _output(model: Any) -> Any:
    return model.subgraphs[0].tensors[_first(model).outputs[0]]


def test_a_shift_is_taken_back_once_where_no_relu_cuts_values_off() -> None:
    """A channel much smaller than the others rounds to 0 often, without any ReLU."""
    keras.utils.set_random_seed(1)
    inputs = keras.Input(batch_shape=(1, 48, 48, 1))
    x = layers.Conv2D(8, 3, name="linear")(layers.Rescaling(1 / 127.5, offset=-1)(inputs))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(8, 3, activation="relu")(x))
    network = keras.Model(inputs, layers.Dense(7, activation="softmax")(x))
    kernel, bias = network.get_layer("linear").get_weights()
    kernel[..., CHANNEL] *= 0.12
    network.get_layer("linear").set_weights([kernel, bias])
    ranged = _ranged(network)
    model, tensor, step = _biases(tflite.quantize(ranged))
    values = tflite_graph.constant(model, tensor)
    assert values is not None
    spoilt = values.copy()
    spoilt[CHANNEL] += round(0.2 * step / tensor.quantization.scale[CHANNEL])
    tflite_graph.set_constant(model, tensor, spoilt)
    int8, name = tflite_graph.write(model), _output(tflite_graph.read(ranged)).name.decode()
    wanted, given = (_means(each, FACES, [name])[name] for each in (ranged, int8))
    assert given[1][CHANNEL] < 0.9, "share of values other than 0"
    corrected, found, _ = _biases(correct_biases(int8, ranged, FACES))
    left = tflite_graph.constant(corrected, found)
    assert left is not None
    moved = (left - spoilt)[CHANNEL] * tensor.quantization.scale[CHANNEL]
    assert moved == pytest.approx((wanted[0] - given[0])[CHANNEL], rel=0.02)


def test_biases_stay_corrected_where_layers_are_left_in_float_after_it(
    faint_dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    ladder = Ladder(material(with_readout(features(depthwise=False), faint_dataset), faint_dataset))
    assert ladder.climb()
    plain = ladder.best
    ((_, _, corrected),) = next(ladder._bias_correction())
    assert corrected.corrected
    asked: list[bytes] = []
    correct = climbing.correct_biases

    def counted(int8: bytes, *others: Any) -> bytes:
        asked.append(int8)
        return correct(int8, *others)

    monkeypatch.setattr(climbing, "correct_biases", counted)
    names = ladder._costliest(plain)[:1]
    assert not ladder._with_float(plain, names).corrected
    assert asked == []
    mixed = ladder._with_float(corrected, names)
    assert mixed.corrected
    (uncorrected,) = asked
    assert mixed.int8 != uncorrected
