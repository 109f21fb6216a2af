"""A file is for microcontrollers when TFLite Micro itself was seen to run it."""

from __future__ import annotations

import numpy as np
import pytest
from maker import Maker

from fer_edge.bundle import pack_golden
from fer_edge.chatter import captured_stderr, import_keras
from fer_edge.errors import FerEdgeError
from fer_edge.export.converters.micro import check_answers, measure_arena
from fer_edge.runtime import load_model

runtime = pytest.importorskip("tflite_micro").runtime
FACES = np.random.default_rng(1).integers(0, 256, (6, 48, 48, 1)).astype(np.uint8)


def _golden(model: bytes, shift: float = 0) -> bytes:
    said = load_model(model, reference_kernels=True).probabilities(FACES)
    said[3, 2] += shift
    return pack_golden(FACES, said)


def test_the_arena_is_what_the_interpreter_takes_and_no_more(maker: Maker) -> None:
    found = measure_arena(maker.content)
    assert 0 < found.tensor_bytes < found.arena_bytes < 20_000
    assert found.runtime.startswith("tflite-micro 0.")
    runtime.Interpreter.from_bytes(maker.content, arena_size=found.arena_bytes + 256)
    with captured_stderr(), pytest.raises(RuntimeError):
        runtime.Interpreter.from_bytes(maker.content, arena_size=found.arena_bytes - 1024)


def test_it_must_answer_as_the_reference_kernels_do_to_the_last_step(maker: Maker) -> None:
    assert check_answers(maker.content, _golden(maker.content)) == len(FACES)
    with pytest.raises(FerEdgeError, match=r"otherwise than LiteRT on 1 of 6 .* by up to 1 steps"):
        check_answers(maker.content, _golden(maker.content, shift=1 / 256))
    with pytest.raises(FerEdgeError, match="on 1 of 6"):
        check_answers(maker.content, _golden(maker.content, shift=np.nan))


def test_what_tflite_micro_cannot_run_is_refused_with_what_it_lacks(
    capfd: pytest.CaptureFixture[str],
) -> None:
    keras = import_keras()
    from fer_edge.export.converters import tflite

    class Tile(keras.layers.Layer):  # type: ignore[name-defined,misc]
        def call(self, inputs):  # type: ignore[no-untyped-def]
            return keras.ops.tile(inputs, (1, 2, 1, 1))

    def network(batch: int | None, *layers):  # type: ignore[no-untyped-def]
        given = keras.Input(batch_shape=(batch, 48, 48, 1))
        x = keras.layers.AveragePooling2D(8)(given)
        for layer in layers:
            x = layer(x)
        x = keras.layers.Dense(7)(keras.layers.Dense(40)(keras.layers.Flatten()(x)))
        return keras.Model(given, x)

    cases = {
        "it has no TILE": tflite.to_float32(network(1, Tile())),
        "FULLY_CONNECTED": tflite.to_dynamic_range(network(1)),
        "DEQUANTIZE": tflite.to_float16(network(1)),
        "has no fixed shape": tflite.to_float32(network(None)),
    }
    capfd.readouterr()
    for why, content in cases.items():
        with pytest.raises(FerEdgeError, match=why) as caught:
            measure_arena(content)
        assert "\n" not in caught.value.message
    assert capfd.readouterr().err == ""
