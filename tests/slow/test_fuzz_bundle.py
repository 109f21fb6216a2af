"""20,000 mutants: 10,000 of bundles, 10,000 of the model in an otherwise sound bundle.

None may end the process, hang, or be accepted without computing what its golden set says.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from exported import Exported
from maker import Maker, to_int8

from fer_edge.chatter import import_keras
from fer_edge.labels import LABELS

FUZZING = Path(__file__).parents[1] / "fuzzing.py"
MUTANTS = int(os.environ.get("FER_EDGE_MUTANTS", "10000"))
SECONDS = 20
"""Of processor time for one mutant; the slowest sound bundle takes a tenth of one."""


@pytest.fixture(scope="module")
def bundles(
    exported: Exported, bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> list[Path]:
    """Three networks, so that most kinds of operators are among them; one in every format."""
    keras = import_keras()
    from fer_edge.export.converters import tflite

    varied, folder = _varied_network(keras), tmp_path_factory.mktemp("varied")
    contents = {
        "int8": to_int8(varied),
        "float16": tflite.to_float16(varied),
        "dynamic": tflite.to_dynamic_range(varied),
    }
    made = [Maker(content, folder).bundle(f"{name}.fer") for name, content in contents.items()]
    return [exported.bundle, bundle, *made]


def _varied_network(keras: Any) -> Any:
    layers = keras.layers
    keras.utils.set_random_seed(7)
    given = keras.Input(batch_shape=(1, 48, 48, 1))
    pixels = layers.Rescaling(1 / 255)(given)
    stem = layers.Conv2D(8, 3, strides=3, padding="same", activation="relu")(pixels)
    deep = layers.DepthwiseConv2D(3, padding="same", activation="relu6")(stem)
    side = layers.SeparableConv2D(8, 3, dilation_rate=2, padding="same")(stem)
    both = layers.Concatenate()([layers.Add()([stem, deep]), layers.Multiply()([side, stem])])
    small = layers.AveragePooling2D(2)(layers.ZeroPadding2D(1)(both))
    squeezed = layers.GlobalAveragePooling2D()(small)
    excited = layers.Dense(16, activation="sigmoid")(squeezed)
    scaled = layers.Multiply()([small, layers.Reshape((1, 1, 16))(excited)])
    # of over 1,024 weights, so that they are in int8 in the dynamic-range file
    wide = layers.Conv2D(16, 3, padding="same")(scaled)
    flat = layers.Flatten()(layers.MaxPooling2D(3)(layers.LeakyReLU()(wide)))
    logits = layers.Dense(len(LABELS), kernel_initializer="he_normal")(flat)
    return keras.Model(given, layers.Softmax()(logits * 9))


@pytest.mark.timeout(3000)
@pytest.mark.parametrize("kind", ["bundles", "models"])
def test_no_mutant_ends_the_process_hangs_or_computes_something_else(
    kind: str, bundles: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    processes = len(os.sched_getaffinity(0))
    share = -(-MUTANTS // processes)
    started = [
        subprocess.Popen(
            [sys.executable, FUZZING, kind, str(number * share), str(share), *map(str, bundles)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(processes)
    ]
    found: Counter[str] = Counter()
    slowest = 0.0
    for process in started:
        printed, progress = process.communicate()
        assert process.returncode == 0, progress[-3000:]
        result = json.loads(printed)
        found.update(result["found"])
        slowest = max(slowest, result["slowest_s"])
    with capsys.disabled():
        print(f"\n{kind}: {dict(found)}, slowest {slowest} s of processor time")
    assert slowest < SECONDS
    tried = sum(found.values())
    assert tried >= MUTANTS * 0.9
    assert found["accepted, to the bit"] < tried / 2
