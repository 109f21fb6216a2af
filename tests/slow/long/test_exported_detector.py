"""A detector's run becomes a bundle that proves itself, and a device finds faces with it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from fer_edge.bundle import GOLDEN, INT8_160_TFLITE, INT8_TFLITE, open_bundle, write_bundle
from fer_edge.bundle.golden_frames import MEMBERS, prove_detector
from fer_edge.bundle.verifying import verify
from fer_edge.chatter import import_keras
from fer_edge.data.detection.photos import load_photos
from fer_edge.detection import grid
from fer_edge.detection.network import TFLiteDetector
from fer_edge.device.classifier import newest_bundle, open_classifier
from fer_edge.device.detectors import OwnDetector, open_detector
from fer_edge.errors import FerEdgeError, GateRefused
from fer_edge.evaluation.detector import evaluate_detector
from fer_edge.face import OWN

keras = import_keras(backend="tensorflow")

from fer_edge.export.detection.exporting import (  # noqa: E402
    DetectorExport,
    export_detector,
    refuse_if_failed,
)
from fer_edge.export.detection.judging import judge_detector  # noqa: E402
from fer_edge.export.detection.source import open_detector_run  # noqa: E402
from fer_edge.export.judging.budget import Budget, DetectorBudget, load_budget  # noqa: E402
from fer_edge.subject import task_of  # noqa: E402
from fer_edge.train.models.detector import build_detector  # noqa: E402

ANY = Budget(
    detector=DetectorBudget(
        false_positives_per_frame=10, recall_drop_points=100, landmark_error_rise_points=100
    )
)
"""Kept where one face is found."""
SMALL = {"stem": 4, "early": 4, "widths": [4, 4, 4], "depths": [1, 1, 1], "head": 4}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run folder, as training writes it; its network finds faces by chance alone."""
    folder = tmp_path_factory.mktemp("run")
    keras.utils.set_random_seed(2)
    network = build_detector(SMALL, (320, 240))
    for layer in network.layers:
        if layer.name.startswith("score"):
            kernel, bias = layer.get_weights()
            layer.set_weights([kernel * 20_000, bias * 0])
    network.save(folder / "model.keras")
    (folder / "recipe.toml").write_text('name = "faces"\ndescription = "Drawn faces"\n')
    content = {
        "task": "detect",
        "path": "synthetic",
        "labels": ["face"],
        "name": "synthetic",
        "fingerprint": load_photos("synthetic").fingerprint(),
        "train": ["Training"],
        "validation": ["PublicTest"],
        "test": ["PrivateTest"],
        "drop_leaks": False,
        "held_out": 4,
        "backgrounds": [],
    }
    (folder / "data.json").write_text(json.dumps(content))
    (folder / "metrics.json").write_text('{"interrupted": false}')
    return folder


@pytest.fixture(scope="module")
def exported(run: Path, tmp_path_factory: pytest.TempPathFactory) -> DetectorExport:
    return export_detector(
        run,
        budget=ANY,
        output=tmp_path_factory.mktemp("bundles"),
        calibration=2,
        ranges="minmax",
    )


def test_a_bundle_holds_a_file_for_each_size_and_says_how_to_read_it(
    exported: DetectorExport,
) -> None:
    assert task_of(exported.bundle) == "detect"
    manifest = open_bundle(exported.bundle).manifest
    assert manifest.task == "detect"
    assert manifest.labels == ("face",)
    assert manifest.crop == OWN
    assert manifest.detector["sizes"] == {name: list(size) for name, size in MEMBERS.items()}
    assert set(manifest.detector["min_score"]) == set(MEMBERS)
    for member in MEMBERS:
        assert manifest.gate[member]["passed"]
        assert manifest.metrics["detection"][member]["int8"]["frames"] == 4


def test_int8_takes_raw_pixels_and_says_what_keras_says_to_a_step(
    exported: DetectorExport, run: Path
) -> None:
    frame = np.random.default_rng(0).integers(0, 256, (240, 320)).astype(np.uint8)
    network = TFLiteDetector(open_bundle(exported.bundle).read(INT8_TFLITE), "int8")
    assert network.size == (320, 240)
    raw = network.raw(frame)
    assert raw.dtype == np.uint8
    assert raw.shape == (len(grid((320, 240))), 15)
    found = network.find(frame, 0.0)
    assert np.isfinite(found.boxes).all()
    assert (np.diff(found.scores) <= 0).all()


def test_a_higher_threshold_leaves_the_surer_part_of_the_same_faces(
    exported: DetectorExport,
) -> None:
    frame = np.random.default_rng(1).integers(0, 256, (120, 160)).astype(np.uint8)
    network = TFLiteDetector(open_bundle(exported.bundle).read(INT8_160_TFLITE), "int8")
    every = network.find(frame, 0.0)
    threshold = float(np.median(every.scores))
    some = network.find(frame, threshold)
    assert 0 < len(some) < len(every)
    assert some.scores.min() >= threshold - 1e-6
    np.testing.assert_allclose(some.scores, every.scores[: len(some)])


def test_this_machine_proves_the_bundle_and_a_changed_network_is_found_out(
    exported: DetectorExport, tmp_path: Path
) -> None:
    found = verify(exported.bundle)
    assert set(found.replayed) == set(MEMBERS) == set(found.exact)
    assert max(found.replayed.values()) <= found.bundle.manifest.golden_tolerance
    opened = open_bundle(exported.bundle)
    content = {name: opened.read(name) for name in opened.content}
    changed = bytearray(content[INT8_160_TFLITE])
    # a weight somewhere in the middle of the file
    for place in range(len(changed) // 3, len(changed) // 3 + 400):
        changed[place] ^= 0x55
    other = tmp_path / "other.fer"
    write_bundle(other, opened.manifest, {**content, INT8_160_TFLITE: bytes(changed)})
    with pytest.raises(FerEdgeError):
        prove_detector(open_bundle(other), INT8_160_TFLITE)
    no_golden = {**content, GOLDEN: content[GOLDEN][:-7]}
    write_bundle(other, opened.manifest, no_golden)
    with pytest.raises(FerEdgeError, match="golden set"):
        prove_detector(open_bundle(other), INT8_TFLITE)


def test_a_device_opens_it_and_takes_the_network_that_the_smallest_face_allows(
    exported: DetectorExport,
) -> None:
    detector = open_detector(str(exported.bundle))
    assert isinstance(detector, OwnDetector)
    assert detector.member == INT8_TFLITE
    assert detector.crop_rule == OWN
    assert OwnDetector(exported.bundle, min_face=0.3).member == INT8_160_TFLITE
    for shape in ((240, 320), (480, 640), (336, 596), (100, 90)):
        frame = np.random.default_rng(2).integers(0, 256, shape).astype(np.uint8)
        for x, y, width, height in OwnDetector(exported.bundle, min_score=0.3).detect(frame):
            assert max(width, height) >= 0.15 * min(shape) - 1
            # in the bar below or beside a picture, too: it has learned nothing
            assert -shape[1] <= x <= max(shape[1], shape[0] / 0.75)
            assert -shape[0] <= y <= max(shape[0], shape[1] * 0.75)


def test_a_detector_is_no_classifier_nor_the_newest_one(
    exported: DetectorExport, tmp_path: Path
) -> None:
    with pytest.raises(FerEdgeError, match="names no expressions"):
        open_classifier(exported.bundle)
    shutil.copy(exported.bundle, tmp_path / "detector.fer")
    with pytest.raises(FerEdgeError, match="no bundle was named"):
        newest_bundle([tmp_path])


def test_run_folder_and_bundle_are_evaluated_on_the_same_frames(
    exported: DetectorExport, run: Path
) -> None:
    of_run = evaluate_detector(run, None)["model.keras"]
    of_bundle = evaluate_detector(exported.bundle, "synthetic", frames=4)
    assert set(of_bundle) == set(MEMBERS)
    assert of_run.frames == 6
    assert of_bundle[INT8_TFLITE].frames == of_bundle[INT8_160_TFLITE].frames == 6
    with pytest.raises(FerEdgeError, match="no photos given"):
        evaluate_detector(exported.bundle, None)


def test_the_gate_refuses_a_detector_that_finds_too_little(
    exported: DetectorExport, run: Path
) -> None:
    source = open_detector_run(run)
    frames = source.held_out("validation"), source.held_out("test")
    int8 = open_bundle(exported.bundle).read(INT8_TFLITE)
    strict = Budget(detector=replace_limits(ANY, recall_percent=100, max_kilobytes=1))
    judged = judge_detector(INT8_TFLITE, int8, int8, *frames, strict)
    assert judged.verdict.checks[0].verdict == "pass"  # against itself nothing is lost
    with pytest.raises(GateRefused, match=r"recall at 320×240[^\n]*budget is 100") as refused:
        refuse_if_failed([judged])
    assert "kilobytes of model" in str(refused.value)
    refuse_if_failed([judge_detector(INT8_TFLITE, int8, int8, *frames, ANY)])


def test_the_gate_refuses_a_detector_that_finds_nothing(
    exported: DetectorExport, run: Path
) -> None:
    source = open_detector_run(run)
    frames = source.held_out("validation"), source.held_out("test")
    int8 = open_bundle(exported.bundle).read(INT8_TFLITE)
    # without a false positive, no threshold leaves a face of an untrained one
    none = Budget(detector=replace_limits(ANY, false_positives_per_frame=1e-3))
    judged = judge_detector(INT8_TFLITE, int8, int8, *frames, none)
    with pytest.raises(GateRefused, match=r"faces that the float file finds at 320×240 0\.00"):
        refuse_if_failed([judged])


def test_a_budget_file_has_a_table_for_detectors(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text("[detector]\nrecall_drop_points = 0.5\n")
    assert load_budget(path).detector == replace_limits(Budget(), recall_drop_points=0.5)
    path.write_text("[detector]\nrecall_drop = 0.5\n")
    with pytest.raises(FerEdgeError, match="recall_drop"):
        load_budget(path)


def replace_limits(budget: Budget, **changed: float) -> DetectorBudget:
    return DetectorBudget(**{**budget.detector.model_dump(), **changed})


def test_other_photos_than_those_of_the_training_are_refused(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    content = json.loads((copy / "data.json").read_text())
    (copy / "data.json").write_text(json.dumps({**content, "fingerprint": "0" * 64}))
    with pytest.raises(FerEdgeError, match="other photos"):
        export_detector(copy, budget=Budget(), output=tmp_path)
