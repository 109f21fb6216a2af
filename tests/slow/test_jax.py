"""Training on JAX, which is no requirement of the package; ``make test-jax`` installs it."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest


@pytest.mark.timeout(600)
@pytest.mark.skipif(find_spec("jax") is None, reason="jax is not installed")
def test_two_devices_learn_what_one_learns_and_one_goes_on_where_they_stopped() -> None:
    script = Path(__file__).with_name("on_two_devices.py")
    command = [sys.executable, script, "jax"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    for figure in ("loss", "accuracy", "val_loss", "val_accuracy"):
        one, two = ([row[figure] for row in found[key]] for key in ("one", "resumed"))
        assert two == pytest.approx(one, abs=1e-3), figure
    assert found["resumed"][:2] == found["begun"]
    assert found["one"][2]["loss"] < found["one"][0]["loss"] - 0.1
