"""What plain int8 ruins is found by name, brought back by the ladder, and refused without it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from fragile import CHANNELS, features, material, scale_channels, with_readout

from fer_edge.data.dataset import Dataset
from fer_edge.export.converters import tflite, tflite_graph
from fer_edge.export.converters.isolating import isolated, quantizable
from fer_edge.export.judging.layers import explain
from fer_edge.export.material import Material
from fer_edge.export.remedies.bias_correction import correct_biases
from fer_edge.export.remedies.ladder import Ladder
from fer_edge.export.showing.plots import layers_plot
from fer_edge.plots import save_png


@pytest.fixture(scope="module")
def thousandfold(faint_dataset: Dataset) -> Material:
    """A channel between two convolutions is scaled by 1,000, and back where it is read."""
    network = with_readout(features(depthwise=False), faint_dataset)
    factors = np.ones(CHANNELS)
    factors[5] = 1000
    scale_channels(network, "first", "second", factors)
    return material(network, faint_dataset)


@pytest.fixture(scope="module")
def outlying(faint_dataset: Dataset) -> Material:
    """The channels behind a depthwise convolution have ranges from 1 to 100,000."""
    network = with_readout(features(depthwise=True), faint_dataset)
    factors = 10 ** np.random.default_rng(0).uniform(-2.5, 2.5, CHANNELS)
    scale_channels(network, "second", "third", factors)
    return material(network, faint_dataset)


@pytest.fixture(scope="module")
def sound(faint_dataset: Dataset) -> Material:
    """A network that int8 does not hurt."""
    return material(with_readout(features(depthwise=False), faint_dataset), faint_dataset)


def _ranged(given: Material) -> bytes:
    rangeless = tflite.calibratable(given.folded, given.calibration)
    seen = tflite.observe(rangeless, given.calibration, ("coverage",))
    return tflite.with_ranges(rangeless, seen, "coverage")


@pytest.mark.parametrize("broken", ["thousandfold", "outlying"])
def test_what_plain_int8_ruins_the_ladder_brings_back_to_within_a_point(
    broken: str, request: pytest.FixtureRequest
) -> None:
    given: Material = request.getfixturevalue(broken)
    accuracy = (given.rehearsal.reference.argmax(axis=1) == given.rehearsal.targets).mean()
    assert accuracy > 0.9
    plain = Ladder(given, plain=True)
    assert plain.climb()
    assert 100 * plain.best.lost.accuracy.value > 10
    assert not plain.best.passed
    assert not plain.climb(), "there is nothing more to try"
    ladder = Ladder(given)
    assert ladder.climb()
    assert ladder.best.passed
    assert 100 * ladder.best.lost.accuracy.value <= 1
    assert next(r.name for r in ladder.rungs if r.passed) == ladder.summary().needed


@pytest.mark.parametrize(
    ("broken", "layers"), [("thousandfold", {"first", "second"}), ("outlying", {"second", "third"})]
)
def test_the_explanation_names_the_layers_on_either_side_of_the_channels(
    broken: str, layers: set[str], request: pytest.FixtureRequest, tmp_path: Any
) -> None:
    given: Material = request.getfixturevalue(broken)
    found = explain(_ranged(given), given.calibration, given.rehearsal)
    worst, second, *others = found.worst_first
    assert {worst.layer, second.layer} == layers
    assert worst.agreement < 0.9
    assert max(worst.spread or 0, second.spread or 0) > 5
    assert all(each.agreement > 0.95 for each in others)
    assert all(0 <= each.clipped < 0.05 for each in found.layers)
    save_png(layers_plot(found), tmp_path / "layers.png")
    assert (tmp_path / "layers.png").read_bytes()[:4] == b"\x89PNG"


def test_a_layer_alone_in_int8_leaves_the_others_as_they_were(thousandfold: Material) -> None:
    ranged, faces = _ranged(thousandfold), thousandfold.rehearsal.faces[:3, ..., None]
    operators = quantizable(ranged)
    names = {tensor["name"]: i for i, tensor in enumerate(tflite.tensors(ranged))}
    third = next(op for op in operators if op.layer == "third")
    before = [names[op.name] for op in operators if op.place < third.place]
    exact = list(tflite_graph.run(ranged, faces, [*before, names[third.name]]))
    changed = list(tflite_graph.run(isolated(ranged, third), faces, [*before, names[third.name]]))
    for one, other in zip(exact, changed, strict=True):
        for index in before:
            np.testing.assert_array_equal(one[index], other[index])
        step = (third.high - third.low) / 255
        assert 0 < np.abs(one[names[third.name]] - other[names[third.name]]).max() < 10 * step


def test_bias_correction_takes_back_a_shift_of_a_bias(sound: Material) -> None:
    ranged, images = _ranged(sound), sound.calibration
    int8 = tflite.quantize(ranged)
    model = tflite_graph.read(int8)
    (graph,) = model.subgraphs
    logits = [op for kind, op in tflite_graph.operators(model, graph) if kind == "FULLY_CONNECTED"]
    bias = graph.tensors[logits[-1].inputs[2]]
    values = tflite_graph.constant(model, bias)
    assert values is not None
    spoilt = values.copy()
    spoilt[2] += round(4.0 / bias.quantization.scale[2 % len(bias.quantization.scale)])
    tflite_graph.set_constant(model, bias, spoilt)
    corrected = tflite_graph.read(correct_biases(tflite_graph.write(model), ranged, images))
    (graph,) = corrected.subgraphs
    found = tflite_graph.constant(corrected, graph.tensors[logits[-1].inputs[2]])
    assert found is not None
    np.testing.assert_allclose(found, values, atol=0.2 * abs(int(spoilt[2]) - int(values[2])))


def test_layers_left_in_float_are_those_named(thousandfold: Material) -> None:
    ranged = _ranged(thousandfold)
    names = [op.name for op in quantizable(ranged) if op.layer in ("first", "second")]
    assert len(names) == 2
    mixed, plain = tflite.quantize(ranged, names), tflite.quantize(ranged)
    assert tflite.operators(mixed).count("DEQUANTIZE") > 0
    assert "CONV_2D" in tflite.float_operators(mixed)
    assert tflite.float_operators(plain) == []
    compare = thousandfold.rehearsal.compare
    assert compare(mixed).agreement.value > compare(plain).agreement.value + 0.1
