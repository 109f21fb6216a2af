"""The converted files: int8 throughout where that was promised, and the same bytes every time."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import onnx
import pytest
from exported import Exported

from fer_edge.bundle import FLOAT_ONNX, FLOAT_TFLITE, INT8_ONNX, INT8_TFLITE, open_bundle
from fer_edge.chatter import import_keras, silenced_stderr
from fer_edge.errors import FerEdgeError
from fer_edge.runtime import load_model

keras = import_keras()

from keras import layers  # noqa: E402

from fer_edge.export.converters import onnx_model, tflite, tflite_graph  # noqa: E402
from fer_edge.export.converters.isolating import WEIGHTED, kernel_of, quantizable  # noqa: E402
from fer_edge.export.judging.layers import _clipped  # noqa: E402
from fer_edge.export.remedies.bias_correction import correct_biases  # noqa: E402
from fer_edge.export.remedies.folding import fold_batch_norms  # noqa: E402

IMAGES = np.random.default_rng(2).integers(0, 256, (8, 48, 48, 1)).astype(np.uint8)


@pytest.fixture(scope="module")
def content(exported: Exported) -> dict[str, bytes]:
    return dict(open_bundle(exported.bundle).content)


def test_the_int8_file_holds_no_float_tensor_and_takes_and_gives_uint8(
    content: dict[str, bytes],
) -> None:
    assert tflite.float_tensors(content[INT8_TFLITE]) == []
    assert tflite.float_operators(content[INT8_TFLITE]) == []
    kinds = {tensor["type"] for tensor in tflite.tensors(content[INT8_TFLITE])}
    assert kinds <= {"INT8", "INT32", "UINT8"}
    operators = tflite.operators(content[INT8_TFLITE])
    assert operators.count("CONV_2D") == 4
    assert (operators[0], operators[-1]) == ("QUANTIZE", "QUANTIZE"), "uint8 ↔ int8 alone"


def test_a_compacted_file_is_smaller_and_answers_with_the_same_bits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network = _chain()
    small = tflite.to_int8(network, IMAGES)
    monkeypatch.setattr(tflite, "compacted", lambda content: content)
    plain = tflite.to_int8(network, IMAGES)
    # a weight's and a bias's zero points, 8 bytes each for every channel of 32
    assert len(plain) - len(small) > 2 * 2 * 8 * 30
    for reference in (False, True):
        said = [
            load_model(c, reference_kernels=reference).probabilities(IMAGES) for c in (small, plain)
        ]
        np.testing.assert_array_equal(*said)
    names = [tensor["name"] for tensor in tflite.tensors(small)]
    assert len(set(names)) == len(names)
    assert any(name.startswith("conv2") for name in names)
    assert not any(";" in name for name in names)
    monkeypatch.undo()
    assert tflite_graph.compacted(small) == small


def test_the_data_of_a_written_file_lie_where_kernels_expect_them() -> None:
    content = tflite.to_int8(_chain(), IMAGES)
    model = tflite_graph.schema().Model.GetRootAs(content, 0)
    buffers = [model.Buffers(index) for index in range(model.BuffersLength())]
    places = [b._tab.Vector(b._tab.Offset(4)) for b in buffers if b.DataLength()]
    assert len(places) > 4
    assert {place % tflite_graph.DATA_ALIGNMENT for place in places} == {0}


def _chain() -> Any:
    """Two convolutions of 32 channels and a dense layer."""
    keras.utils.set_random_seed(4)
    inputs = keras.Input(batch_shape=(1, 48, 48, 1))
    x = layers.Rescaling(1 / 255)(inputs)
    for number in (1, 2):
        x = layers.Conv2D(32, 3, strides=4, activation="relu", name=f"conv{number}")(x)
    x = layers.Dense(7, activation="softmax")(layers.Flatten()(x))
    return keras.Model(inputs, x, name="chain")


def test_the_check_for_float_tensors_finds_those_of_a_float_model(
    content: dict[str, bytes],
) -> None:
    assert len(tflite.float_tensors(content[FLOAT_TFLITE])) > 10
    assert "CONV_2D" in tflite.float_operators(content[FLOAT_TFLITE])


def _outlying(rare: float) -> Any:
    """A network of one channel of pixels and one that is 0 but where the picture is white."""
    inputs = keras.Input(batch_shape=(1, 48, 48, 1))
    x = keras.layers.Rescaling(1 / 255)(inputs)
    x = keras.layers.Conv2D(2, 1, activation="relu", name="outlying")(x)
    x = keras.layers.AveragePooling2D(8)(x)
    x = keras.layers.Dense(7, activation="softmax")(keras.layers.Flatten()(x))
    network = keras.Model(inputs, x)
    kernel = np.array([[[[1, rare]]]], np.float32)
    network.get_layer("outlying").set_weights([kernel, np.array([0, -0.99 * rare], np.float32)])
    return network


def test_a_value_in_a_million_does_not_take_the_resolution_of_all_others() -> None:
    keras.utils.set_random_seed(1)
    network = _outlying(rare=5000)
    pictures = np.random.default_rng(0).integers(0, 252, (60, 48, 48, 1)).astype(np.uint8)
    pictures[7, 30, 30] = 255
    exact = network.predict(pictures[:40].astype(np.float32), batch_size=1, verbose=0)

    def error(model: bytes) -> float:
        return float(np.abs(load_model(model).probabilities(pictures[:40]) - exact).mean())

    float_onnx = onnx_model.to_float32(tflite.to_float32(network))
    for convert, source in ((tflite.to_int8, network), (onnx_model.to_int8, float_onnx)):
        covering_all = error(convert(source, pictures, ranges="minmax"))
        assert error(convert(source, pictures)) < 0.3 * covering_all


def test_pixels_and_probabilities_keep_their_ranges_whatever_the_calibration_images_hold() -> None:
    import onnx

    network = _outlying(rare=0)
    dull = np.random.default_rng(0).integers(100, 120, (20, 48, 48, 1)).astype(np.uint8)
    flatbuffer = load_model(tflite.to_int8(network, dull))
    (pixels,) = flatbuffer._interpreter.get_input_details()  # type: ignore[attr-defined]
    (said,) = flatbuffer._interpreter.get_output_details()  # type: ignore[attr-defined]
    assert pixels["quantization"] == (1, 0)
    assert said["quantization"] == (1 / 256, 0)
    model = onnx_model.to_int8(onnx_model.to_float32(tflite.to_float32(network)), dull)
    constants = onnx.load_from_string(model).graph.initializer
    scales = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in constants}
    assert scales["reshape_0_out_scale"] == 1
    assert scales["probabilities_scale"] == pytest.approx(1 / 255)


def test_with_everything_covered_it_is_the_quantizer_that_tensorflow_runs(
    exported: Exported,
) -> None:
    import tensorflow as tf

    network = load_model(exported.run / "model.keras").network
    network = fold_batch_norms(network)[0]
    images = exported.dataset.faces[:30, ..., None].copy()
    images[0, 0, :2, 0] = 0, 255  # TensorFlow takes the input's range from the images as well
    converter = tf.lite.TFLiteConverter.from_keras_model(network)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([i[None]] for i in images.astype(np.float32))
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.uint8
    with silenced_stderr(), warnings.catch_warnings(action="ignore"):
        theirs = bytes(converter.convert())
    ours = tflite.to_int8(network, images, ranges="minmax")
    assert tflite.operators(ours) == tflite.operators(theirs)
    faces = exported.dataset.faces[-96:]
    said = [load_model(model).probabilities(faces) for model in (ours, theirs)]
    # the ranges were seen by other kernels: a few answers are off by a step or three
    apart = np.abs(said[0] - said[1])
    assert apart.max() <= 4 / 256
    assert apart.mean() < 0.25 / 256


def test_int8_files_are_a_good_deal_smaller_at_a_realistic_size() -> None:
    inputs = keras.Input(batch_shape=(1, 48, 48, 1))
    x = keras.layers.Conv2D(32, 3, strides=8)(inputs)
    x = keras.layers.Dense(7)(keras.layers.Dense(200)(keras.layers.Flatten()(x)))
    network = keras.Model(inputs, keras.layers.Softmax()(x))
    ratio = len(tflite.to_int8(network, IMAGES)) / len(tflite.to_float32(network))
    assert ratio < 0.3


class _Odd(keras.layers.Layer):
    """A layer that computes one thing of ``keras.ops``."""

    def __init__(self, operation: Any) -> None:
        super().__init__()
        self.operation = operation

    def call(self, inputs: Any) -> Any:
        return self.operation(inputs)


def _with_layer(operation: Any) -> Any:
    inputs = keras.Input(batch_shape=(1, 48, 48, 1))
    x = keras.layers.Flatten()(_Odd(operation)(keras.layers.AveragePooling2D(8)(inputs)))
    return keras.Model(inputs, keras.layers.Dense(7, activation="softmax")(x))


def test_a_layer_without_an_int8_kernel_is_refused_by_its_name() -> None:
    network = _with_layer(keras.ops.sin)
    assert "SIN" in tflite.operators(tflite.to_float32(network))
    with pytest.raises(FerEdgeError, match=r"stayed in float after quantization, around SIN\."):
        tflite.to_int8(network, IMAGES)


def test_a_layer_that_tflite_does_not_know_is_refused_by_its_name() -> None:
    network = _with_layer(keras.ops.erf)
    for convert in (tflite.to_float32, lambda net: tflite.to_int8(net, IMAGES)):
        with pytest.raises(FerEdgeError, match=r"it has no kernel for tf\.Erf\.") as caught:
            convert(network)
        assert "replace the layer" in caught.value.hint


def test_what_onnx_has_no_operator_for_is_named_and_not_called_damage() -> None:
    network = _with_layer(keras.ops.gelu)
    assert "GELU" in tflite.operators(tflite.to_int8(network, IMAGES))
    with pytest.raises(FerEdgeError, match="ONNX has no GELU") as caught:
        onnx_model.to_float32(tflite.to_float32(network))
    assert "--slim" in caught.value.hint


def test_onnx_conversion_depends_on_nothing_but_the_flatbuffer(content: dict[str, bytes]) -> None:
    once, again = (onnx_model.to_float32(content[FLOAT_TFLITE]) for _ in range(2))
    assert once == again == content[FLOAT_ONNX]
    assert onnx_model.to_int8(once, IMAGES) == onnx_model.to_int8(again, IMAGES)


def test_a_dense_layer_behind_a_pool_of_one_pixel_keeps_its_bias_in_onnx() -> None:
    """TFLite leaves out the flatten there, and tf2onnx then left out the bias."""
    keras.utils.set_random_seed(2)
    x = inputs = keras.Input(batch_shape=(1, 48, 48, 1))
    x = layers.Conv2D(4, 3, activation="relu")(layers.Rescaling(1 / 255)(x))
    x = layers.Flatten()(layers.MaxPooling2D(46)(x))
    x = layers.Dense(7, activation="softmax", bias_initializer="random_normal")(x)
    exact = tflite.to_float32(keras.Model(inputs, x))
    assert "RESHAPE" not in tflite.operators(exact)
    said = [
        load_model(each).probabilities(IMAGES[:4]) for each in (exact, onnx_model.to_float32(exact))
    ]
    np.testing.assert_allclose(said[1], said[0], atol=1e-6)


def test_onnx_files_are_valid_and_named_for_people(content: dict[str, bytes]) -> None:
    import onnx

    for name in (FLOAT_ONNX, INT8_ONNX):
        model = onnx.load_from_string(content[name])
        onnx.checker.check_model(model, full_check=True)
        assert [each.name for each in model.graph.input] == ["face"]
        assert [each.name for each in model.graph.output] == ["probabilities"]
        assert model.opset_import[0].version == onnx_model.OPSET


def test_the_int8_onnx_computes_between_quantizers_with_int8_weights(
    content: dict[str, bytes],
) -> None:
    import onnx

    graph = onnx.load_from_string(content[INT8_ONNX]).graph
    source = {name: node.op_type for node in graph.node for name in node.output}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    assert len(convolutions) == 4
    for node in convolutions:
        assert [source[name] for name in node.input] == ["DequantizeLinear"] * 3
    floats = {tensor.name for tensor in graph.initializer if tensor.data_type == 1}
    weights = [tensor for tensor in graph.initializer if len(tensor.dims) == 4]
    assert weights
    assert not floats & {tensor.name for tensor in weights}


def test_layer_errors_name_layers_worst_first(exported: Exported) -> None:
    network = load_model(exported.run / "model.keras").network
    rangeless = tflite.calibratable(fold_batch_norms(network)[0], IMAGES)
    seen = tflite.observe(rangeless, IMAGES, ("coverage",))
    errors = tflite.layer_errors(tflite.with_ranges(rangeless, seen, "coverage"), IMAGES)
    assert len(errors) > 5
    decibels = [ratio for _, ratio in errors]
    assert decibels == sorted(decibels)
    assert any("conv1" in name for name, _ in errors)
    # 8 bits over the whole range of a tensor give 30 to 50
    assert 25 < decibels[len(decibels) // 2] < 60


def _sure_of_what_is_out_of_the_question() -> Any:
    """Two classes that compete, and one whose logit is −800: covering that makes a step 3.2."""
    keras.utils.set_random_seed(1)
    inputs = keras.Input(batch_shape=(1, *IMAGES.shape[1:]))
    x = layers.AveragePooling2D(8)(layers.Rescaling(1 / 255)(inputs))
    x = layers.Dense(3, name="logits")(layers.Flatten()(x))
    network = keras.Model(inputs, layers.Softmax()(x))
    kernel, bias = network.get_layer("logits").get_weights()
    shifted = bias - np.array([0, 0, 800], np.float32)
    network.get_layer("logits").set_weights([kernel * 10, shifted])
    return network


def _logit_biases(int8: bytes) -> np.ndarray:
    model = tflite_graph.read(int8)
    (graph,) = model.subgraphs
    ((_, dense),) = [
        each for each in tflite_graph.operators(model, graph) if each[0] == "FULLY_CONNECTED"
    ]
    bias = graph.tensors[dense.inputs[2]]
    steps = tflite_graph.constant(model, bias)
    assert steps is not None
    return np.asarray(steps * bias.quantization.scale, np.float64)


def test_logits_out_of_the_question_leave_the_int8_steps_to_those_that_compete() -> None:
    network = _sure_of_what_is_out_of_the_question()
    exact = np.concatenate([network(image[None].astype(np.float32)) for image in IMAGES])
    assert exact.std(axis=0)[0] > 0.1, "the two others must compete"
    float_onnx = onnx_model.to_float32(tflite.to_float32(network))
    for converted in (tflite.to_int8(network, IMAGES), onnx_model.to_int8(float_onnx, IMAGES)):
        assert np.abs(load_model(converted).probabilities(IMAGES) - exact).max() < 0.03


def test_clipped_logits_are_neither_corrected_nor_called_an_error() -> None:
    network = _sure_of_what_is_out_of_the_question()
    rangeless = tflite.calibratable(network, IMAGES)
    ranged = tflite.with_ranges(
        rangeless, tflite.observe(rangeless, IMAGES, ("coverage",)), "coverage"
    )
    int8 = tflite.quantize(ranged)
    moved = _logit_biases(correct_biases(int8, ranged, IMAGES)) - _logit_biases(int8)
    assert np.abs(moved).max() < 1, "−790 with what is clipped taken for an error"
    (decibels,) = [db for name, db in tflite.layer_errors(ranged, IMAGES) if "logits" in name]
    assert decibels > 25, "0 with what is clipped taken for noise"
    (clipped,) = _clipped(ranged, [op for op in quantizable(ranged) if "logits" in op.name], IMAGES)
    assert clipped < 0.05


def test_logits_kept_in_float_reach_a_float_softmax() -> None:
    network = _sure_of_what_is_out_of_the_question()
    rangeless = tflite.calibratable(network, IMAGES)
    ranged = tflite.with_ranges(rangeless, tflite.observe(rangeless, IMAGES, ("minmax",)), "minmax")
    (logits,) = [op for op in quantizable(ranged) if "logits" in op.name]
    assert "SOFTMAX" in tflite.float_operators(tflite.quantize(ranged, [logits.name]))
    float_onnx = onnx_model.to_float32(tflite.to_float32(network))
    kernels = [kernel_of(ranged, logits)]
    kept = onnx.load_from_string(onnx_model.to_int8(float_onnx, IMAGES, keep_float=kernels))
    makers = {name: node.op_type for node in kept.graph.node for name in node.output}
    (softmax,) = [node for node in kept.graph.node if node.op_type == "Softmax"]
    assert makers[softmax.input[0]] == "Gemm"


def _branching() -> Any:
    """Two separable convolutions and a shortcut beside them."""
    keras.utils.set_random_seed(3)
    x = inputs = keras.Input(batch_shape=(1, *IMAGES.shape[1:]))
    x = layers.Conv2D(4, 3, strides=4, padding="same", activation="relu")(layers.Rescaling(0.01)(x))
    shortcut = layers.Conv2D(8, 1, strides=2, padding="same")(x)
    x = layers.ReLU()(layers.SeparableConv2D(6, 3, padding="same")(x))
    x = layers.SeparableConv2D(8, 3, padding="same")(x)
    x = layers.Add()([layers.MaxPooling2D(3, strides=2, padding="same")(x), shortcut])
    x = layers.Dense(7, activation="softmax")(layers.GlobalAveragePooling2D()(x))
    return keras.Model(inputs, x)


def test_both_formats_leave_the_same_layer_of_a_network_that_branches_in_float() -> None:
    network = _branching()
    rangeless = tflite.calibratable(network, IMAGES)
    ranged = tflite.with_ranges(rangeless, tflite.observe(rangeless, IMAGES, ("minmax",)), "minmax")
    float_onnx = onnx_model.to_float32(tflite.to_float32(network))
    weighted = [op for op in quantizable(ranged) if op.kind in WEIGHTED]
    assert len(weighted) == 7
    for operator in weighted:
        kernel = kernel_of(ranged, operator)
        kept = onnx.load_from_string(onnx_model.to_int8(float_onnx, IMAGES, keep_float=[kernel]))
        floats = {each.name: each for each in kept.graph.initializer if each.data_type == 1}
        (left,) = [
            onnx.numpy_helper.to_array(floats[node.input[1]])
            for node in kept.graph.node
            if node.op_type in ("Conv", "Gemm", "MatMul") and node.input[1] in floats
        ]
        np.testing.assert_array_equal(np.sort(left, None), np.sort(kernel, None))
