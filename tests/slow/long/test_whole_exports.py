"""Exports from beginning to end, by the command."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from exported import Exported, broken_run, listing

from fer_edge.bundle import (
    INT8_TFLITE,
    open_bundle,
)
from fer_edge.chatter import import_keras

keras = import_keras()

from fer_edge.export.exporter import export  # noqa: E402
from fer_edge.export.formats import SLIM  # noqa: E402
from fer_edge.export.judging.budget import Budget  # noqa: E402


def test_two_exports_of_a_run_are_equal_to_the_last_byte(
    exported: Exported, tmp_path: Path
) -> None:
    """In another process, from another place, at another time, on one processor."""
    run, data = tmp_path / "elsewhere" / "run", tmp_path / "moved.npz"
    shutil.copytree(exported.run, run)
    shutil.copy(exported.data, data)
    command = [sys.executable, "-m", "fer_edge", "export", str(run), "--int8", "--data", str(data)]
    # whose batch norms are sound, so that recalibrating them changes nothing
    command += ["--float16", "--dynamic", "--recalibrate-bn"]
    done = subprocess.run(
        [*command, "--calibration", "70", "-o", "out"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo", "LC_ALL": "C"},
        preexec_fn=lambda: os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}),
    )
    assert done.returncode == 0, done.stderr
    assert listing(tmp_path / "out") == ["blobs.fer"]
    assert (tmp_path / "out" / "blobs.fer").read_bytes() == exported.bundle.read_bytes()


def test_the_ladder_carries_over_the_gate_what_plain_int8_ruins_and_tells_how(
    exported: Exported, tmp_path: Path
) -> None:
    said: list[str] = []
    result = export(
        # too much for the correction of biases
        broken_run(exported, tmp_path, offset=800),
        budget=Budget(),
        output=tmp_path / "out",
        calibration=70,
        formats=SLIM,
        ranges="coverage",
        say=said.append,
    )
    climb = open_bundle(result.bundle).manifest.export["ladder"]
    assert climb["needed"] == "float layers"
    assert 0 < len(climb["float_layers"]) < 5
    assert climb["rungs"][0]["name"] == "rewrites"
    assert "96 images of PublicTest" in " ".join(said)
    int8 = next(each for each in result.formats if each.name == INT8_TFLITE)
    assert int8.drop.accuracy.value <= 0.01
