"""One interface over four kinds of model: they agree, and what is no model is refused in a line."""

from __future__ import annotations

import subprocess
import sys
import types
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from exported import Exported

from fer_edge.bundle import FLOAT_ONNX, FLOAT_TFLITE, INT8_ONNX, INT8_TFLITE, open_bundle
from fer_edge.errors import FerEdgeError, require_extra
from fer_edge.runtime import load_model


@pytest.fixture(scope="module")
def models(exported: Exported, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The sample's network in every form, as files."""
    folder = tmp_path_factory.mktemp("models")
    paths = {"model.keras": exported.run / "model.keras"}
    for name, content in open_bundle(exported.bundle).content.items():
        if name.startswith("model."):
            paths[name] = folder / name
            paths[name].write_bytes(content)
    return paths


@pytest.fixture(scope="module")
def faces(exported: Exported) -> np.ndarray:
    return exported.dataset.select("PrivateTest").faces


FLOATS = ("model.keras", FLOAT_TFLITE, FLOAT_ONNX)
ALL = (*FLOATS, INT8_TFLITE, INT8_ONNX)


def test_float_models_of_every_kind_agree_to_a_ten_thousandth(
    models: dict[str, Path], faces: np.ndarray
) -> None:
    said = [load_model(models[name]).probabilities(faces) for name in FLOATS]
    assert said[0].std(axis=0).min() > 0.1, "a network that says the same of all proves nothing"
    for other in said[1:]:
        np.testing.assert_allclose(other, said[0], atol=1e-4)


@pytest.mark.parametrize("name", [INT8_TFLITE, INT8_ONNX])
def test_quantized_models_give_probabilities_near_those_of_the_float_one(
    models: dict[str, Path], faces: np.ndarray, name: str
) -> None:
    float_said = load_model(models["model.keras"]).probabilities(faces)
    said = load_model(models[name]).probabilities(faces)
    assert said.dtype == np.float32
    assert np.abs(said - float_said).max() < 0.1
    np.testing.assert_allclose(said.sum(axis=1), 1, atol=7 / 256)
    assert len(np.unique(said)) > 10


@pytest.mark.parametrize("name", ALL)
def test_faces_with_and_without_a_channel_axis_and_none_at_all(
    models: dict[str, Path], faces: np.ndarray, name: str
) -> None:
    model = load_model(models[name])
    assert model.classes == 7
    assert model.format == models[name].suffix[1:]
    assert model.runtime.split()[0] in ("Keras", "LiteRT", "ONNX")
    three, four = model.probabilities(faces[:5]), model.probabilities(faces[:5, ..., None])
    np.testing.assert_array_equal(three, four)
    assert three.shape == (5, 7)
    for shape in ((0, 48, 48), (0, 48, 48, 1)):
        none = model.probabilities(np.empty(shape, np.uint8))
        assert none.shape == (0, 7)
        assert none.dtype == np.float32


@pytest.mark.parametrize("name", ALL)
def test_a_face_is_classified_alike_alone_and_among_others(
    models: dict[str, Path], faces: np.ndarray, name: str
) -> None:
    model = load_model(models[name])
    together = model.probabilities(faces[:9])
    alone = np.concatenate([model.probabilities(faces[i : i + 1]) for i in range(9)])
    np.testing.assert_allclose(together, alone, atol=1e-6)
    assert together.flags.owndata, "a view into the interpreter would change with the next face"


@pytest.mark.parametrize("name", [INT8_TFLITE, FLOAT_TFLITE, FLOAT_ONNX])
def test_bytes_and_several_threads_give_what_the_file_gives(
    models: dict[str, Path], faces: np.ndarray, name: str
) -> None:
    expected = load_model(models[name]).probabilities(faces)
    content = models[name].read_bytes()
    np.testing.assert_allclose(
        load_model(content, threads=2).probabilities(faces), expected, atol=1e-5
    )


def test_reference_kernels_give_what_a_quantization_step_away_the_fast_ones_give(
    models: dict[str, Path], faces: np.ndarray
) -> None:
    reference = load_model(models[INT8_TFLITE], reference_kernels=True).probabilities(faces)
    fast = load_model(models[INT8_TFLITE]).probabilities(faces)
    assert np.abs(fast - reference).max() <= 8 / 256
    # the output's zero is 0 and its step 1/256
    np.testing.assert_array_equal(reference * 256, np.round(reference * 256))


def _quantized_model(low: float, high: float, dtype: str) -> bytes:
    """Gives each of two classes the mean of one half of the picture; calibrated on a range."""
    import tensorflow as tf

    from fer_edge.chatter import import_keras, silenced_stderr

    keras = import_keras()
    inputs = keras.Input(batch_shape=(1, 48, 48, 1))
    x = keras.layers.AveragePooling2D((48, 24))(inputs)
    network = keras.Model(inputs, keras.layers.Reshape((2,))(x))
    picture = np.linspace(low, high, 2304, dtype=np.float32).reshape(1, 48, 48, 1)
    converter = tf.lite.TFLiteConverter.from_keras_model(network)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: [[picture], [picture[:, :, ::-1]]]
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = getattr(tf, dtype)
    with silenced_stderr(), warnings.catch_warnings(action="ignore"):
        content: bytes = converter.convert()
    return content


@pytest.mark.parametrize("dtype", ["uint8", "int8"])
@pytest.mark.parametrize(("low", "high"), [(0, 255), (0, 200), (-55, 200)])
def test_any_quantization_of_input_and_output_is_undone(low: int, high: int, dtype: str) -> None:
    model = load_model(_quantized_model(low, high, dtype))
    dark_and_light = np.zeros((2, 48, 48), np.uint8)
    dark_and_light[0, :, 24:] = 180
    dark_and_light[1, :, :24] = 90
    said = model.probabilities(dark_and_light)
    step = (high - low) / 255
    np.testing.assert_allclose(said, [[0, 180], [90, 0]], atol=1.5 * step)


def test_pixels_outside_the_calibrated_range_are_clipped_and_never_wrap_around() -> None:
    model = load_model(_quantized_model(0, 200, "uint8"))
    white = np.full((1, 48, 48), 255, np.uint8)
    np.testing.assert_allclose(model.probabilities(white), 200, atol=1)


@pytest.mark.parametrize("shape", [(4, 24, 24), (1, 48, 48, 3), (48, 48), (1, 1, 48, 48)])
def test_pictures_of_another_shape_are_refused_instead_of_rearranged(
    models: dict[str, Path], shape: tuple[int, ...]
) -> None:
    for name in ALL:
        with pytest.raises(FerEdgeError, match=r"\(N, 48, 48\)"):
            load_model(models[name]).probabilities(np.zeros(shape, np.uint8))


def _network(shape: tuple[int, ...], *layers: Any, batch: int | None = 1) -> Any:
    from fer_edge.chatter import import_keras

    keras = import_keras()
    inputs = keras.Input(batch_shape=(batch, *shape))
    x = inputs
    for layer in layers or (keras.layers.Flatten(), keras.layers.Dense(7)):
        x = layer(x)
    return keras.Model(inputs, x)


def _as_tflite(network: Any) -> bytes:
    from fer_edge.export.converters.tflite import to_float32

    return to_float32(network)


@pytest.mark.parametrize(
    ("shape", "batch", "message"),
    [
        ((64, 64, 1), 1, "takes pictures of 64×64×1, not 48×48×1"),
        ((48, 48, 3), 1, "takes pictures of 48×48×3"),
        ((48, 48, 1), 4, "takes 4 faces at once"),
    ],
)
def test_a_model_for_other_pictures_is_refused(
    tmp_path: Path, shape: tuple[int, ...], batch: int, message: str
) -> None:
    network = _network(shape, batch=batch)
    network.save(tmp_path / "model.keras")
    path = tmp_path / "model.tflite"
    path.write_bytes(_as_tflite(network))
    for model in (path, tmp_path / "model.keras") if batch == 1 else (path,):
        with pytest.raises(FerEdgeError, match=message) as caught:
            load_model(model)
        assert str(model) in caught.value.message
        assert caught.value.hint


def test_a_model_that_gives_a_picture_is_refused(tmp_path: Path) -> None:
    from keras import layers

    network = _network((48, 48, 1), layers.Conv2D(2, 3))
    with pytest.raises(FerEdgeError, match=r"output of shape .*×46×46×2, not a prob"):
        load_model(_as_tflite(network))
    network.save(tmp_path / "model.keras")
    with pytest.raises(FerEdgeError, match="output of shape"):
        load_model(tmp_path / "model.keras")


def test_a_model_with_two_outputs_is_refused(tmp_path: Path) -> None:
    import keras
    import onnx

    inputs = keras.Input(batch_shape=(1, 48, 48, 1))
    flat = keras.layers.Flatten()(inputs)
    outputs = [keras.layers.Dense(7)(flat), keras.layers.Dense(2)(flat)]
    network = keras.Model(inputs, outputs)
    network.save(tmp_path / "model.keras")
    face = onnx.helper.make_tensor_value_info("face", 1, [1, 48, 48, 1])
    given = [onnx.helper.make_tensor_value_info(name, 1, [1, 48, 48, 1]) for name in "ab"]
    nodes = [onnx.helper.make_node("Relu", ["face"], [name]) for name in "ab"]
    graph = onnx.helper.make_graph(nodes, "two", [face], given)
    two = onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8
    )
    for model in (_as_tflite(network), tmp_path / "model.keras", two.SerializeToString()):
        with pytest.raises(FerEdgeError, match="2 outputs, not 1"):
            load_model(model)


def _picture() -> bytes:
    import cv2

    return bytes(cv2.imencode(".png", np.zeros((48, 48), np.uint8))[1])


def test_a_file_that_is_no_model_is_refused_in_a_line_with_a_remedy(
    models: dict[str, Path], tmp_path: Path
) -> None:
    cases: dict[str, bytes] = {
        "picture.tflite": _picture(),
        "picture.onnx": _picture(),
        "picture.keras": _picture(),
        "picture.png": _picture(),
        "empty.tflite": b"",
        "empty.onnx": b"",
        "empty.keras": b"",
        "random.onnx": np.random.default_rng(0).bytes(5000),
        "no-suffix": b"text",
    }
    for name in (INT8_TFLITE, FLOAT_ONNX, "model.keras"):
        whole = models[name].read_bytes()
        cases |= {f"{cut}-{name}": whole[: len(whole) * cut // 10] for cut in (1, 5, 9)}
    for name, content in cases.items():
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(FerEdgeError) as caught:
            load_model(path)
        assert str(path) in caught.value.message, name
        assert "\n" not in caught.value.message, name
        assert caught.value.hint, name


def test_a_missing_model_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.tflite", tmp_path):
        with pytest.raises(FerEdgeError, match="no model file") as caught:
            load_model(path)
        assert "give a .tflite" in caught.value.hint


def test_bytes_of_something_else_are_refused() -> None:
    for content in (b"", b"x", _picture(), b"\x08", b"\x08\x07junk", b"\x1c\0\0\0TFL3" + bytes(99)):
        with pytest.raises(FerEdgeError):
            load_model(content)


def test_a_module_that_another_thread_is_importing_is_not_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun = types.ModuleType("begun")
    begun.__spec__ = None
    monkeypatch.setitem(sys.modules, "begun", begun)
    require_extra("begun", "device")


def test_a_missing_runtime_names_the_extra_to_install(
    models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib.util

    find = importlib.util.find_spec
    hidden = ("ai_edge_litert", "tflite_runtime", "onnxruntime")

    def without(name: str, *rest: Any) -> Any:
        return None if name in hidden else find(name, *rest)

    monkeypatch.setattr(importlib.util, "find_spec", without)
    monkeypatch.setattr("fer_edge.runtime.tflite_model.find_spec", without)
    with pytest.raises(FerEdgeError, match=r"ai_edge_litert.*not installed") as caught:
        load_model(models[INT8_TFLITE])
    assert "fer-edge[device]" in caught.value.hint
    with pytest.raises(FerEdgeError, match=r"onnxruntime.*not installed"):
        load_model(models[INT8_ONNX])


def test_loading_a_tflite_file_imports_neither_tensorflow_nor_keras(
    models: dict[str, Path],
) -> None:
    code = (
        "import sys, numpy as np; from fer_edge.runtime import load_model; "
        f"model = load_model({str(models[INT8_TFLITE])!r}); "
        "model.probabilities(np.zeros((1, 48, 48), np.uint8)); "
        "print(sorted({'tensorflow', 'keras', 'matplotlib', 'onnxruntime'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert done.stderr == "", "the runtime's notices stay away from the user's terminal"


def test_tensorflow_lite_runtime_is_taken_where_litert_is_absent(
    models: dict[str, Path], faces: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the names of tflite_runtime over LiteRT's code, which it shares."""
    from importlib import metadata

    from ai_edge_litert import interpreter

    monkeypatch.setattr(
        "fer_edge.runtime.tflite_model.find_spec", lambda name: name == "tflite_runtime" or None
    )
    monkeypatch.setitem(sys.modules, "tflite_runtime", type(sys)("tflite_runtime"))
    monkeypatch.setattr(sys.modules["tflite_runtime"], "interpreter", interpreter, raising=False)
    monkeypatch.setattr(metadata, "version", lambda name: {"tflite-runtime": "2.14.0"}[name])
    model = load_model(models[INT8_TFLITE])
    assert model.runtime == "tflite-runtime 2.14.0"
    assert model.probabilities(faces[:1]).shape == (1, 7)
