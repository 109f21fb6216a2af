"""The threshold of what a device calls uncertain: which images choose it, and how."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from exported import LEAKS, Exported

from fer_edge.bundle import INT8_TFLITE, open_bundle
from fer_edge.chatter import import_keras

import_keras()

from fer_edge.export import exporter  # noqa: E402
from fer_edge.export.judging.certainty import choose_threshold, find_certainty  # noqa: E402
from fer_edge.export.judging.measure import HeldOut, hold_out  # noqa: E402
from fer_edge.export.source import Source, open_run  # noqa: E402


def _with_copies(source: Source, split: str, count: int) -> Source:
    """The run with validation images that are another split's, all of them with a wrong label."""
    faces, targets = source.dataset.faces.copy(), source.dataset.targets.copy()
    own = np.flatnonzero(source.dataset.splits == "PublicTest")[:count]
    other = np.flatnonzero(source.dataset.splits == split)[-count:]
    faces[own], targets[own] = faces[other], (targets[other] + 3) % 7
    return replace(source, dataset=replace(source.dataset, faces=faces, targets=targets))


@pytest.mark.parametrize("split", ["PrivateTest", "Training"])
def test_no_image_chooses_the_threshold_that_was_trained_on_or_is_tested_on(
    exported: Exported, split: str
) -> None:
    source = _with_copies(open_run(exported.run), split, 30)
    int8 = open_bundle(exported.bundle).read(INT8_TFLITE)
    found = find_certainty(source, hold_out(source), int8)
    assert found is not None
    assert found.chosen.images == 96 - 30
    assert found.chosen.precision >= 0.9
    assert found.held_out is not None
    assert found.held_out.images == 96 - LEAKS


def test_no_threshold_is_chosen_where_all_validation_images_are_copies(exported: Exported) -> None:
    source = open_run(exported.run)
    source = replace(source, roles=source.roles | {"validation": source.roles["test"]})
    int8 = open_bundle(exported.bundle).read(INT8_TFLITE)
    assert find_certainty(source, hold_out(source), int8) is None


def test_the_measured_file_is_not_asked_about_the_test_images_again(
    exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known: list[bool] = []

    def look(source: Source, held_out: HeldOut, int8: bytes) -> None:
        known.append(int8 in held_out.asked)

    monkeypatch.setattr(exporter, "find_certainty", look)
    exporter.export(
        exported.run,
        budget=exported.result.budget,
        output=tmp_path,
        calibration=70,
        formats=(INT8_TFLITE,),
    )
    assert known == [True]


def test_the_threshold_is_the_lowest_that_is_as_precise_as_wanted() -> None:
    confidence = np.repeat([0.9, 0.7, 0.5], [60, 40, 100])
    said = np.stack([confidence, 1 - confidence], 1).astype(np.float32)
    targets = np.zeros(200, np.uint8)
    targets[60:66] = targets[100:150] = 1
    assert choose_threshold(said, targets) == np.float32(0.7)
    targets[:40] = 1
    assert choose_threshold(said, targets) is None
