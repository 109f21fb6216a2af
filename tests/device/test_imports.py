"""What the device stage loads, and what it says where an extra is missing."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest


def _python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)


def test_the_device_stage_imports_neither_training_nor_plotting():
    done = _python(
        "import sys, fer_edge.device, fer_edge.device.run, fer_edge.device.doctor\n"
        "heavy = {'tensorflow', 'keras', 'matplotlib', 'fer_edge.train', 'fer_edge.export',"
        " 'fer_edge.data'}\n"
        "print(*sorted(heavy & set(sys.modules)))"
    )
    assert done.stderr == ""
    assert done.stdout.strip() == ""


def test_a_run_loads_neither_training_nor_plotting(bundle, clip):
    done = _python(
        "import sys; from pathlib import Path; from fer_edge.device.run import RunOptions, run\n"
        f"run(RunOptions(bundle=Path({str(bundle)!r}), video=Path({str(clip.path)!r}),"
        " max_frames=3))\n"
        "print('loaded:', *sorted({'tensorflow', 'keras', 'matplotlib'} & set(sys.modules)))"
    )
    assert done.stdout.splitlines()[-1].strip() == "loaded:", done.stderr


_WITHOUT = """
import sys
from importlib.machinery import PathFinder
class Blind(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        absent = name.partition(".")[0] in {absent!r}
        return None if absent else PathFinder.find_spec(name, path, target)
sys.meta_path[:] = [Blind if finder is PathFinder else finder for finder in sys.meta_path]
from fer_edge.cli import main
sys.argv = ["fer-edge", *{arguments!r}]
main()
"""


def _without(absent: set[str], *arguments: object) -> subprocess.CompletedProcess[str]:
    return _python(_WITHOUT.format(absent=absent, arguments=[str(word) for word in arguments]))


@pytest.mark.parametrize("absent", [{"cv2"}, {"ai_edge_litert", "tflite_runtime", "onnxruntime"}])
def test_a_missing_extra_is_named(absent, bundle, clip):
    done = _without(absent, "run", bundle, "--video", clip.path)
    assert done.returncode == 2
    assert "fer-edge[device]" in done.stderr
    assert len(done.stderr.splitlines()) == 2


def test_doctor_works_on_a_base_install(tmp_path):
    absent = {"cv2", "ai_edge_litert", "tflite_runtime", "onnxruntime", "tensorflow", "keras"}
    done = _without(absent, "doctor", "--json")
    assert done.returncode == 0, done.stderr
    states = {finding["topic"]: finding for finding in json.loads(done.stdout)["findings"]}
    assert states["OpenCV"]["state"] == states["model runtime"]["state"] == "missing"
    assert "fer-edge[device]" in states["OpenCV"]["remedy"]
    assert states["training"]["state"] == "absent"
