"""Intervals of an export on a dataset that says who is in its pictures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from exported import Exported

from fer_edge.bundle import FLOAT_TFLITE, INT8_TFLITE, open_bundle
from fer_edge.chatter import import_keras
from fer_edge.data.dataset import Dataset
from fer_edge.evaluation.metrics import Drop

import_keras()

from fer_edge.export.findings import Findings  # noqa: E402
from fer_edge.export.judging.measure import hold_out  # noqa: E402
from fer_edge.export.judging.rehearsal import rehearse  # noqa: E402
from fer_edge.export.packing import pack  # noqa: E402
from fer_edge.export.source import open_run  # noqa: E402


def _width(lost: Drop) -> float:
    return lost.accuracy.high - lost.accuracy.low


def _with_persons(dataset: Dataset) -> Dataset:
    """Six pictures a person, as they come."""
    names = [f"S{number // 6:03}" for number in range(len(dataset))]
    return replace(dataset, subjects=np.array(names))


def _changed(reference: np.ndarray, every: int) -> np.ndarray:
    """Other answers on all pictures of some persons."""
    said = reference.copy()
    for start in range(0, len(said), 6 * every):
        said[start : start + 6] = np.roll(said[start : start + 6], 1, axis=1)
    return said


def test_what_int8_lost_and_how_good_it_is_are_as_uncertain_as_the_persons_make_it(
    exported: Exported,
) -> None:
    unknown = hold_out(open_run(exported.run))
    known = replace(unknown, dataset=_with_persons(unknown.dataset))
    said = _changed(unknown.reference, 4)
    for narrow, wide in zip(unknown.drops(said), known.drops(said), strict=True):
        assert narrow is not None
        assert wide is not None
        assert wide.accuracy.value == narrow.accuracy.value
        assert _width(wide) > 1.5 * _width(narrow)
    for less, more in zip(unknown.reports(said), known.reports(said), strict=True):
        assert less is not None
        assert more is not None
        assert more.accuracy.high - more.accuracy.low > 1.5 * (
            less.accuracy.high - less.accuracy.low
        )


def test_the_rehearsal_knows_its_persons_too(exported: Exported) -> None:
    source = open_run(exported.run)
    known = replace(source, dataset=_with_persons(source.dataset))
    exact = open_bundle(exported.bundle).read(FLOAT_TFLITE)
    none = np.zeros((0, 48, 48, 1), np.uint8)
    lost = []
    for each in (source, known):
        rehearsal = rehearse(each, exact, none)
        # what a model says that is wrong on all pictures of some persons
        order = np.argsort(rehearse(known, exact, none).subjects, kind="stable")
        reference = rehearsal.reference.copy()
        reference[order] = _changed(reference[order], 4)
        lost.append(replace(rehearsal, reference=reference).compare(exact))
        assert len(rehearsal.first(10).reference) == 10
    assert lost[0].accuracy.value == lost[1].accuracy.value
    assert _width(lost[1]) > 1.3 * _width(lost[0])
    subjects = rehearse(known, exact, none).first(10).subjects
    assert subjects is not None
    assert len(subjects) == 10


def test_a_bundle_has_their_number_where_they_are_known(exported: Exported, tmp_path: Path) -> None:
    assert "persons" not in open_bundle(exported.bundle).manifest.metrics
    content = {INT8_TFLITE: open_bundle(exported.bundle).read(INT8_TFLITE)}
    measured = {name: value for name, value in vars(exported.result).items() if name != "bundle"}
    found = Findings(**measured | {"persons": 16})
    packed, _ = pack(found, open_run(exported.run), content, tmp_path)
    assert open_bundle(packed.bundle).manifest.metrics["persons"] == 16
    assert packed.to_dict()["persons"] == 16
