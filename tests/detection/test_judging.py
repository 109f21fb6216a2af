"""The gate of detectors: what it fails, by which threshold, and that test frames choose nothing."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fer_edge.chatter import import_keras
from fer_edge.detection.measuring import Matches

import_keras(backend="tensorflow")

from fer_edge.bundle import INT8_TFLITE, MODEL_CARD, open_bundle  # noqa: E402
from fer_edge.errors import GateRefused  # noqa: E402
from fer_edge.evaluation.metrics import Estimate  # noqa: E402
from fer_edge.export.detection import exporting, judging  # noqa: E402
from fer_edge.export.detection.card import model_card  # noqa: E402
from fer_edge.export.detection.exporting import (  # noqa: E402
    DetectorExport,
    export_detector,
    print_detector_export,
    refuse_if_failed,
)
from fer_edge.export.detection.judging import Judged, judge_detector  # noqa: E402
from fer_edge.export.judging.budget import Budget  # noqa: E402
from fer_edge.export.judging.gate import Verdict, rise  # noqa: E402
from fer_edge.export.remedies.ranges import METHODS  # noqa: E402
from fer_edge.shipped import DETECTOR_FILE, FOLDER  # noqa: E402


def _matches(scores: np.ndarray, wrong: Any = ()) -> Matches:
    """A face in each of as many frames, and as many empty frames, which are the wrong ones'."""
    count = len(scores)
    return Matches(
        frames=2 * count,
        empty=count,
        face_frames=np.arange(count),
        heights=np.full(count, 50.0),
        lights=np.full(count, 100.0),
        scores=np.asarray(scores, float),
        errors=np.where(np.asarray(scores) > 0, 0.1, np.nan),
        false_frames=count + np.arange(len(wrong)),
        false_scores=np.asarray(wrong, float),
    )


def _judged(monkeypatch: pytest.MonkeyPatch, reference: Matches, int8: Matches) -> Judged:
    """Judge two detectors that were seen to give these."""

    def opened(content: bytes, name: str) -> Any:
        return SimpleNamespace(size=(320, 240), found={b"float": reference, b"int8": int8}[content])

    monkeypatch.setattr(judging, "TFLiteDetector", opened)
    monkeypatch.setattr(judging, "measure", lambda network, frames: network.found)
    frames: Any = SimpleNamespace(resized=lambda size: None)
    return judge_detector("model.int8.tflite", b"float", b"int8", frames, frames, Budget())


def test_a_detector_that_finds_nothing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    good, blind = _matches(np.full(100, 0.9)), _matches(np.zeros(100))
    assert _judged(monkeypatch, good, good).verdict.passed
    for reference, failed in (
        (blind, {"faces that the float file finds at 320×240", "landmark error rise at 320×240"}),
        (good, {"recall drop at 320×240", "landmark error rise at 320×240"}),
    ):
        judged = _judged(monkeypatch, reference, blind)
        assert {check.what for check in judged.verdict.failures} == failed
        with pytest.raises(GateRefused):
            refuse_if_failed([judged])


@pytest.mark.parametrize("score", [0.53124, 0.53126, 0.9999999])
def test_the_threshold_of_a_bundle_leaves_out_what_it_was_set_to_leave_out(
    score: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    # of 300 empty frames, fewer than 20 may have one
    seen = _matches(np.full(300, 1.0), [score] * 20)
    judged = _judged(monkeypatch, seen, seen)
    assert judged.min_score > np.float32(score)
    assert judged.min_score - score < 1e-4 + 1e-7
    assert judged.min_score == pytest.approx(round(judged.min_score, 4), abs=1e-12)


def test_card_and_table_give_what_is_found_at_the_threshold_that_ships(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # validation leaves false positives to spare, and with them a face
    seen = _matches(np.array([0.7] + [0.9] * 99), np.linspace(0.5, 0.8, 7))
    judged = _judged(monkeypatch, seen, seen)
    figures = judged.to_dict(0.03)
    assert figures["int8"]["recall"]["value"] == 1
    assert figures["at_min_score"]["recall"] == 0.99
    assert figures["at_min_score"]["recall_by_height"][0]["recall"] == 0.99
    score = f"{judged.min_score:.3f}"
    card = model_card("faces", "photos", {INT8_TFLITE: figures})
    assert f"| {score} | 99.0% | 0.000, 0.010 |" in card
    assert "| 320×240 | 0.500 | 100.0% | 100.0% |" in card
    assert f"Recall at 320×240 and {score}, the threshold of the first table" in card
    monkeypatch.setenv("COLUMNS", "120")
    print_detector_export(DetectorExport(Path("faces.fer"), 0.03, (judged,), "minmax"))
    ships = capsys.readouterr().out.split("at the threshold of the bundle")[1]
    for figure in (score, "99.0%", "0.010"):
        assert figure in ships


def test_the_card_of_the_detector_that_ships_gives_its_recall_at_its_threshold() -> None:
    bundle = open_bundle(FOLDER / DETECTOR_FILE)
    card = bundle.read(MODEL_CARD).decode()
    for member, figures in bundle.manifest.metrics["detection"].items():
        row = next(line for line in card.splitlines() if line.startswith(f"| `{member}` |"))
        assert f"| {bundle.manifest.detector['min_score'][member]:.3f} |" in row
        assert f"| {figures['at_min_score']['recall']:.1%} |" in row


@pytest.mark.parametrize(("ranges", "shipped"), [("auto", METHODS[2]), ("kl", "kl")])
def test_ranges_are_chosen_by_validation_frames_and_judged_once_by_test_frames(
    ranges: str, shipped: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _asked(monkeypatch, ranges, {METHODS[2]: 0.0}) == (
        shipped,
        [] if ranges == "kl" else [*METHODS[:3]],
        [shipped],
    )


def test_of_ranges_that_all_lose_too_much_those_that_lose_the_least_are_judged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chosen, tried, judged = _asked(monkeypatch, "auto", {METHODS[1]: 2.0})
    assert (chosen, tried, judged) == (METHODS[1], [*METHODS], [METHODS[1]])


def _asked(
    monkeypatch: pytest.MonkeyPatch, ranges: str, drops: dict[str, float]
) -> tuple[str, list[str], list[str]]:
    """The ranges shipped, and those judged on validation and on test frames, where 5 is lost but
    by some."""
    asked: dict[str, list[str]] = {"validation": [], "test": []}

    def judge(member: str, exact: Any, int8: str, validation: Any, test: Any, budget: Any) -> Any:
        if int8 not in asked[test.part]:
            asked[test.part].append(int8)
        lost = drops.get(int8, 5.0)
        check = rise("recall drop", Estimate(lost, lost, lost), 1.0, "frames")
        return SimpleNamespace(verdict=Verdict((check,)))

    prepared = SimpleNamespace(exact=b"", quantized=lambda method: method)
    source = SimpleNamespace(
        name="d",
        calibration=lambda count: [],
        held_out=lambda part: SimpleNamespace(frames=[0], part=part),
    )
    for name, replacement in {
        "check_writable": lambda folder: None,
        "open_detector_run": lambda run, data: source,
        "_prepared": lambda *of: prepared,
        "judge_detector": judge,
        "refuse_if_failed": lambda judged: None,
        "_write": lambda *of: None,
    }.items():
        monkeypatch.setattr(exporting, name, replacement)
    result = export_detector(Path("run"), budget=Budget(), ranges=ranges)
    return result.ranges, asked["validation"], asked["test"]
