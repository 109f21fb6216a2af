"""The same faces through Keras, LiteRT, tflite-runtime and ONNX Runtime.

``make test-parity`` runs it, and ``make test-arm`` before it turns to other processors.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from answer import Job, answer, read_answers, write_jobs
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from shipped import ROOT, Shipped

from fer_edge.bundle import FLOAT_ONNX, FLOAT_TFLITE, INT8_ONNX, INT8_TFLITE
from fer_edge.export.judging.measure import PARITY

pytestmark = pytest.mark.timeout(600)

HERE = Path(__file__).parent
STEP = 1 / 256
"""Of a probability in an int8 model's output."""


@dataclass(frozen=True)
class Limit:
    """How far apart two may be: the largest difference of a probability, the least agreement."""

    what: str
    reference: str
    difference: float
    agreement: float


LIMITS = (
    Limit("float32 LiteRT", "float32 Keras", PARITY, 1),
    Limit("float32 tflite-runtime", "float32 Keras", PARITY, 1),
    Limit("float32 ONNX Runtime", "float32 Keras", PARITY, 1),
    # the older library rounds the other way once in hundreds of values; of 1,000 faces edge-nano
    # made up to 4 steps of a probability from that
    Limit("int8 tflite-runtime, reference", "int8 LiteRT, reference", 4 * STEP, 0.98),
    # fast kernels round between layers in their own way; 11 steps were seen, on drawn faces that
    # the model was not trained for
    Limit("int8 LiteRT", "int8 LiteRT, reference", 16 * STEP, 0.97),
    Limit("int8 tflite-runtime", "int8 LiteRT, reference", 16 * STEP, 0.97),
    # what quantization loses is the gate's business: this is against a broken runtime
    Limit("int8 LiteRT", "float32 Keras", 0.1, 0.95),
    Limit("int8 tflite-runtime", "float32 Keras", 0.1, 0.95),
    Limit("int8 ONNX Runtime", "float32 Keras", 0.1, 0.95),
)

Said = dict[str, np.ndarray]
"""(N, 7) probabilities by what computed them, such as ``int8 LiteRT``."""


@pytest.fixture(scope="session")
def tflite_runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with tflite-runtime, which needs an older numpy, and no more."""
    folder = tmp_path_factory.mktemp("tflite-runtime")
    uv = [sys.executable, "-m", "uv", "--no-config"]
    made = subprocess.run([*uv, "venv", "--quiet", "--python", "3.11", folder / "env"])
    if made.returncode:
        pytest.skip("tflite-runtime has wheels for Python up to 3.11, and there is no Python 3.11")
    python = folder / "env" / "bin" / "python"
    pins = ["--require-hashes", "-r", HERE / "tflite-runtime.txt"]
    subprocess.run([*uv, "pip", "install", "--quiet", "--python", python, *pins], check=True)
    return python


@pytest.fixture(scope="session")
def answers(
    shipped: list[Shipped], tflite_runtime: Path, tmp_path_factory: pytest.TempPathFactory
) -> list[Said]:
    """What each runtime says of each bundle's faces."""
    return [
        _ask_all(bundle, tflite_runtime, tmp_path_factory.mktemp("answers")) for bundle in shipped
    ]


def _ask_all(bundle: Shipped, tflite_runtime: Path, folder: Path) -> Said:
    count, files = len(bundle.faces), bundle.files
    jobs = {
        "float32 Keras": bundle.network and Job(str(bundle.network), count),
        "float32 LiteRT": FLOAT_TFLITE in files and Job(str(files[FLOAT_TFLITE]), count),
        "float32 ONNX Runtime": FLOAT_ONNX in files and Job(str(files[FLOAT_ONNX]), count),
        "int8 LiteRT": Job(str(files[INT8_TFLITE]), count),
        "int8 LiteRT, reference": Job(str(files[INT8_TFLITE]), count, reference=True),
        "int8 ONNX Runtime": INT8_ONNX in files and Job(str(files[INT8_ONNX]), count),
    }
    here = {name: job for name, job in jobs.items() if job}
    older = {
        name.replace("LiteRT", "tflite-runtime"): job
        for name, job in here.items()
        if "LiteRT" in name
    }
    jobs_file, out = write_jobs(folder, list(older.values()), bundle.faces)
    # the package itself, and nothing else of this environment
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([tflite_runtime, HERE / "answer.py", jobs_file], env=environment, check=True)
    said = dict(zip(here, answer(list(here.values()), bundle.faces), strict=True))
    return said | dict(zip(older, read_answers(out), strict=True))


def test_the_same_faces_get_the_same_answers_from_every_runtime(shipped, answers, capsys):
    table = Table(box=SIMPLE)
    for title in ("bundle", "model and runtime", "against", "difference", "agreement"):
        table.add_column(title)
    compared, over = set(), []
    for bundle, said in zip(shipped, answers, strict=True):
        for limit in LIMITS:
            if not {limit.what, limit.reference} <= set(said):
                continue
            one, other = said[limit.what], said[limit.reference]
            difference = float(np.abs(one - other).max())
            agreement = float((one.argmax(axis=1) == other.argmax(axis=1)).mean())
            row = (bundle.path.stem, limit.what, limit.reference)
            figures = (
                f"{difference:.1g} ≤ {limit.difference:.1g}",
                f"{agreement:.1%} ≥ {limit.agreement:.0%}",
            )
            table.add_row(*row, *figures)
            compared.add(limit)
            # a NaN must fail as well
            if not (difference <= limit.difference and agreement >= limit.agreement):
                over.append((*row, *figures))
    with capsys.disabled():
        Console(width=120).print(table)
    assert not over
    assert compared == set(LIMITS)
