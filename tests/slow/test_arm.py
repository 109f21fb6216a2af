"""Exported models on emulated 64-bit Arm boards: the same answers, for no more instructions.

``make test-arm`` runs it; the first time as root, since that installs the emulator.
"""

from __future__ import annotations

import json
import warnings
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from answer import Job, answer, read_answers, write_jobs
from count import Counts, count, find_models, from_json, takes_plugins
from emulator import A53, A72, A76, PROCESSORS, Processor, prepare, run
from shipped import ROOT, Shipped
from untrained import file_names, write_untrained

from fer_edge.bundle import FLOAT_TFLITE, INT8_TFLITE
from fer_edge.data.clip import render_clip
from fer_edge.device.run import RunOptions
from fer_edge.device.run import run as run_here
from fer_edge.errors import FerEdgeError
from fer_edge.instructions import COUNTS

pytestmark = pytest.mark.timeout(1800)

HERE = Path(__file__).parent
STEP = 1 / 256
"""Of a probability in an int8 model's output."""
FLOAT_TOLERANCE = 1e-5
"""In probability: processors add, and fuse a multiplication with an addition, differently."""
SLOWER = 1.01
"""Instructions over those of the baseline that are let pass; a repeated count differs by 0.03%."""
BASELINE = COUNTS
REFRESH = f"python benchmarks/arm/count.py --json {BASELINE.relative_to(ROOT)}"

Answers = dict[str, np.ndarray]
"""(N, 7) probabilities by processor; this machine is ``here``."""


@pytest.fixture(scope="session", autouse=True)
def emulator() -> Path:
    return prepare()


@pytest.fixture(scope="session")
def answers(
    shipped: list[Shipped], emulator: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[tuple[str, str], list[Answers]]:
    """What each processor says, bundle by bundle, by member and kernels (fast or reference)."""
    said: dict[tuple[str, str], list[Answers]] = {}
    for bundle in shipped:
        jobs = {}
        for member in (INT8_TFLITE, FLOAT_TFLITE):
            if model := bundle.files.get(member):
                jobs[member, "fast"] = Job(str(model), bundle.emulated)
                if bundle.references:
                    job = Job(str(model), bundle.references, reference=True)
                    jobs[member, "reference"] = job
        ask = partial(_ask, list(jobs.values()), bundle.faces, tmp_path_factory.mktemp("answers"))
        with ThreadPoolExecutor(2) as pool:
            columns = [answer(list(jobs.values()), bundle.faces), *pool.map(ask, PROCESSORS)]
        names = ["here", *(processor.cpu for processor in PROCESSORS)]
        for key, row in zip(jobs, zip(*columns, strict=True), strict=True):
            said.setdefault(key, []).append(dict(zip(names, row, strict=True)))
    return said


def _ask(
    jobs: list[Job], faces: np.ndarray, folder: Path, processor: Processor
) -> list[np.ndarray]:
    (folder / processor.cpu).mkdir()
    jobs_file, out = write_jobs(folder / processor.cpu, jobs, faces)
    run(processor, HERE / "answer.py", jobs_file)
    return read_answers(out)


def test_reference_kernels_give_the_same_bits_of_int8_on_every_processor(answers):
    for by_processor in answers[INT8_TFLITE, "reference"]:
        here = by_processor["here"]
        assert len(np.unique(here, axis=0)) > 1
        for processor in PROCESSORS:
            np.testing.assert_array_equal(by_processor[processor.cpu], here, processor.name)


def test_reference_kernels_give_the_same_bits_of_float_on_every_arm_board(answers):
    for by_processor in answers[FLOAT_TFLITE, "reference"]:
        for processor in (A53, A76):
            np.testing.assert_array_equal(by_processor[processor.cpu], by_processor[A72.cpu])
        assert np.abs(by_processor[A72.cpu] - by_processor["here"]).max() <= FLOAT_TOLERANCE


def test_fast_int8_kernels_are_within_a_step_and_name_the_same_expression(answers):
    for by_processor in answers[INT8_TFLITE, "fast"]:
        for one, other in combinations(by_processor, 2):
            assert np.abs(by_processor[one] - by_processor[other]).max() <= STEP, (one, other)
            assert_same_labels(by_processor[one], by_processor[other])


def test_fast_float_kernels_agree_on_every_processor(answers):
    for by_processor in answers[FLOAT_TFLITE, "fast"]:
        for one, other in combinations(by_processor, 2):
            difference = np.abs(by_processor[one] - by_processor[other]).max()
            assert difference <= FLOAT_TOLERANCE, (one, other)
            assert_same_labels(by_processor[one], by_processor[other])


def assert_same_labels(one: np.ndarray, other: np.ndarray) -> None:
    """The same best class of each face, unless ``one``'s two best are a step or less apart."""
    second, best = np.sort(one, axis=1)[:, -2:].T
    clear = best - second > STEP
    assert clear.mean() > 0.7
    np.testing.assert_array_equal(one.argmax(axis=1)[clear], other.argmax(axis=1)[clear])


@pytest.mark.parametrize("processor", [A72, A76], ids=lambda processor: processor.cpu)
def test_a_bundle_proves_itself_on_a_board_with_numpy_and_litert_alone(processor, shipped):
    told = json.loads(run(processor, HERE / "prove.py", shipped[0].path))
    assert told["machine"] == "aarch64"
    assert told["verified"] is True
    assert told["reference"] == 0, "the golden set was recorded by the reference kernels"
    assert {"numpy", "ai_edge_litert"} <= set(told["imported"])
    assert not {"cv2", "tensorflow", "keras", "matplotlib"} & set(told["imported"])


def test_fer_edge_run_on_a_board_finds_and_names_what_it_does_here(shipped, tmp_path, capsys):
    clip, bundle = tmp_path / "people.mp4", shipped[0].path
    render_clip(clip, frames=4, size=(320, 180))
    run_here(RunOptions(bundle=bundle, video=clip, json=True))
    here = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    said = run(A72, "-m", "fer_edge", "run", bundle, "--video", clip, "--json")
    board = [json.loads(line) for line in said.splitlines()]
    assert board[-1]["faces"] == here[-1]["faces"] == 8
    assert board[-1]["model"]["verified"] is True
    # the board's OpenCV is an older one: its decoder may round another way, and two boxes of like
    # size may come in the other order
    events = [
        sorted(each[:-1], key=lambda event: (event["frame"], event["box"]))
        for each in (board, here)
    ]
    for there, expected in zip(*events, strict=True):
        assert np.abs(np.subtract(there["box"], expected["box"])).max() <= 4
        assert there["label"] == expected["label"]


@pytest.fixture(scope="session")
def counts(emulator: Path, tmp_path_factory: pytest.TempPathFactory) -> Counts:
    """Of every network of the package, on the two boards that the baseline is held to."""
    if not takes_plugins():
        pytest.skip("this qemu-aarch64 takes no plugins; Debian 12's does")
    return count(write_untrained(tmp_path_factory.mktemp("untrained")), (A72, A76))


def test_the_counter_sees_every_multiplication(counts):
    multiplications = 7_382_688  # of compact's convolutions and its dense layer
    for board in (A72, A76):
        assert 1 <= 4 * counts["compact.float32"][board.cpu].fmla / multiplications < 1.1
    assert 1 <= 16 * counts["compact.int8"][A76.cpu].dot / multiplications < 1.1
    without_dot_products = counts["compact.int8"][A72.cpu]
    assert without_dot_products.dot == 0
    assert 4 <= multiplications / without_dot_products.widening <= 8


def test_no_network_of_the_package_takes_more_instructions_than_before(counts):
    baseline = from_json(BASELINE.read_text())
    assert set(baseline) == file_names(), f"the baseline is of other networks: {REFRESH}"
    slower, faster = [], []
    for model, row in counts.items():
        for cpu, now in row.items():
            before = baseline[model][cpu]
            line = f"{model} on {cpu}: {before.all / 1e6:.2f} → {now.all / 1e6:.2f} million"
            if now.all > before.all * SLOWER:
                slower.append(line)
            if now.all * SLOWER < before.all:
                faster.append(line)
    if faster:
        warnings.warn("faster than the baseline: " + "; ".join([*faster, REFRESH]), stacklevel=1)
    assert not slower, "; ".join([*slower, f"if that is the price of something: {REFRESH}"])


def test_a_machine_without_the_emulator_is_told_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FerEdgeError, match="apt-get install qemu-user debootstrap gcc"):
        prepare()


def test_a_network_is_counted_by_its_name(tmp_path):
    found = find_models([Path("kusno-8"), Path("edge-nano")], tmp_path)
    formats = [f"edge-nano.{kind}" for kind in ("float32", "float16", "dynamic", "int8")]
    assert set(found) == {"kusno-8.float32", "kusno-8.int8", *formats}
    assert all(path.is_file() for path in found.values())


def test_nothing_else_is_counted(tmp_path):
    with pytest.raises(FerEdgeError, match=r"model\.onnx is not a model that can be counted"):
        find_models([tmp_path / "model.onnx"], tmp_path)
