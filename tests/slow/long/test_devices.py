"""Which devices a training takes, and that their number does not change what is learned."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fer_edge.chatter import import_keras
from fer_edge.errors import FerEdgeError

import_keras()

from fer_edge.train.devices import choose_devices, local_devices, pick_devices  # noqa: E402

GPUS = ("gpu:0", "gpu:1", "gpu:2", "cpu:0")


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    """Histories of a recipe on one virtual device, and begun on two and ended on one."""
    script = Path(__file__).parents[1] / "on_two_devices.py"
    command = [sys.executable, script, "tensorflow"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def _curve(history: list[dict[str, float]], figure: str) -> list[float]:
    return [row[figure] for row in history]


# the first of them waits for a process that imports TensorFlow and traces three graphs
@pytest.mark.timeout(300)
@pytest.mark.parametrize("figure", ["loss", "accuracy", "val_loss", "val_accuracy"])
def test_two_devices_learn_what_one_learns(found: dict[str, Any], figure: str) -> None:
    one, two = _curve(found["one"], figure), _curve(found["begun"], figure)
    assert two == pytest.approx(one[:2], abs=1e-3)
    assert abs(one[2] - one[0]) > 0.1, "nothing was learned that could differ"


def test_a_run_begun_on_two_devices_goes_on_on_one(found: dict[str, Any]) -> None:
    assert found["resumed"][:2] == found["begun"]
    one, resumed = _curve(found["one"], "loss"), _curve(found["resumed"], "loss")
    assert resumed == pytest.approx(one, abs=1e-3)


def test_each_device_drops_units_of_its_own(found: dict[str, Any]) -> None:
    first, second = found["dropped"]
    assert 0 < sum(first) < len(first)
    assert first != second


def test_a_checkpoint_of_two_devices_is_one_that_any_backend_reads(found: dict[str, Any]) -> None:
    assert found["marks"] == [False] * 4


def test_all_are_the_accelerators_or_else_one_processor() -> None:
    assert pick_devices("all", GPUS) == ("gpu:0", "gpu:1", "gpu:2")
    assert pick_devices("all", ("cpu:0", "cpu:1")) == ("cpu:0",)


def test_a_number_takes_the_first_of_them() -> None:
    assert pick_devices("2", GPUS) == ("gpu:0", "gpu:1")
    assert pick_devices("2", ("cpu:0", "cpu:1")) == ("cpu:0", "cpu:1")


def test_names_are_taken_in_their_order() -> None:
    assert pick_devices("gpu:2, GPU:0", GPUS) == ("gpu:2", "gpu:0")
    assert pick_devices("cpu:0", GPUS) == ("cpu:0",)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("4", "cannot train on 4 devices: this machine has gpu:0, gpu:1, gpu:2"),
        ("0", "cannot train on 0 devices"),
        ("gpu:3", "no device 'gpu:3' to train on: this machine has gpu:0, gpu:1, gpu:2, cpu:0"),
        ("gpu", "no device 'gpu'"),
        ("-1", "no device '-1'"),
        ("gpu:0,", "no device ''"),
        ("gpu:0,gpu:0", "names a device twice"),
        ("gpu:0,cpu:0", "mixes kinds"),
    ],
)
def test_devices_that_cannot_be_used_are_refused(wanted: str, message: str) -> None:
    with pytest.raises(FerEdgeError) as caught:
        pick_devices(wanted, GPUS)
    assert message in caught.value.message
    assert caught.value.hint


def test_a_batch_that_does_not_divide_is_refused_with_what_would(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("fer_edge.train.devices.local_devices", lambda: GPUS)
    with pytest.raises(FerEdgeError, match="64 images does not divide among 3 devices") as caught:
        choose_devices("all", 64)
    assert "--devices 2" in caught.value.hint
    assert "fit.batch_size=63" in caught.value.hint
    assert choose_devices("all", 63) == GPUS[:3]


def test_this_machine_has_a_processor_to_train_on() -> None:
    assert "cpu:0" in local_devices()
