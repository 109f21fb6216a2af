"""What distortions do to faces, and what a model loses by them."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest
from maker import Maker

from fer_edge.data.dataset import Dataset
from fer_edge.evaluation.distortions import Distortion, distortions
from fer_edge.evaluation.robustness import CLEAN, Robustness, measure, print_robustness
from fer_edge.face import Pixels
from fer_edge.runtime import load_model

ALL = {each.name: each for each in distortions()}
STRONGER = ("blur", "noise", "low light", "JPEG", "rotation", "occlusion", "box shift", "face of")
"""Kinds whose distortions go from the weaker to the stronger."""


@pytest.fixture(scope="module")
def faces(blob_dataset: Dataset) -> Pixels:
    return blob_dataset.faces[:40]


def test_each_kind_that_is_asked_for_is_there() -> None:
    assert {each.kind for each in ALL.values()} == {*STRONGER, "box scale"}
    for name in ("rotation ±20°", "box shift ±10%", "box scale 0.8", "box scale 1.2"):
        assert name in ALL
    assert {f"face of {side} px" for side in (24, 32, 40)} <= set(ALL)


@pytest.mark.parametrize("name", ALL)
def test_a_distortion_changes_faces_in_the_same_way_every_time(name: str, faces: Pixels) -> None:
    before = faces.copy()
    changed = ALL[name].apply(faces, seed=3)
    assert (changed.shape, changed.dtype) == (faces.shape, np.uint8)
    assert all((one != other).any() for one, other in zip(changed, faces, strict=True))
    np.testing.assert_array_equal(changed, ALL[name].apply(faces, seed=3))
    np.testing.assert_array_equal(faces, before)


@pytest.mark.parametrize("kind", STRONGER)
def test_a_stronger_one_changes_more(kind: str, faces: Pixels) -> None:
    changes = [
        np.abs(each.apply(faces, seed=1).astype(int) - faces).mean()
        for each in ALL.values()
        if each.kind == kind
    ]
    assert len(changes) > 1
    assert changes == sorted(changes)


def _square() -> Pixels:
    face = np.zeros((1, 48, 48), np.uint8)
    face[0, 16:32, 16:32] = 200
    return face


@pytest.mark.parametrize(("size", "side"), [("0.8", 20), ("1.2", 13.3)])
def test_a_larger_box_makes_the_face_smaller(size: str, side: float) -> None:
    changed = ALL[f"box scale {size}"].apply(_square(), seed=0)
    assert changed.sum() / 200 == pytest.approx(side**2, rel=0.05)
    rows = changed[0].sum(axis=1)
    assert np.average(np.arange(48), weights=rows) == pytest.approx(23.5, abs=0.1)


def test_a_shifted_box_moves_the_face_by_its_share() -> None:
    changed = ALL["box shift ±10%"].apply(_square(), seed=0)[0].astype(int)
    middle = np.average(np.arange(48), weights=changed.sum(axis=1))
    assert abs(middle - 23.5) == pytest.approx(4.8, abs=0.1)


def test_what_is_lost_is_counted_against_the_same_faces_unchanged(
    maker: Maker, blob_dataset: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    model = load_model(maker.content)
    held_out = blob_dataset.select("PrivateTest")
    same = Distortion("nothing", "at all", lambda face, rng: face)
    dark = Distortion("darkness", "total", lambda face, rng: np.zeros_like(face))
    rows = measure({"int8": model}, held_out, [same, dark])
    clean, untouched, blind = rows
    said = model.probabilities(held_out.faces)
    right = (said.argmax(axis=1) == held_out.targets).mean()
    assert (clean.kind, clean.accuracy.value) == (CLEAN, pytest.approx(right))
    assert untouched.accuracy == clean.accuracy
    assert untouched.lost.value == 0
    assert untouched.lost.high < 0.03, "of 96 faces"
    blank = int(model.probabilities(np.zeros((1, 48, 48), np.uint8)).argmax())
    guessed = (held_out.targets == blank).mean()
    assert blind.accuracy.value == pytest.approx(guessed)
    assert blind.lost.value == pytest.approx(right - guessed)
    found = Robustness(("PrivateTest",), len(held_out), "labels", rows)
    print_robustness(found, as_json=True)
    assert json.loads(capsys.readouterr().out)["rows"][2]["kind"] == "darkness"
    print_robustness(found)
    lines = defaultdict(
        str, {line.split("  ")[0].strip(): line for line in capsys.readouterr().out.splitlines()}
    )
    assert f"{guessed:.1%}" in lines["darkness total"]


def test_names_of_ones_own_are_shown_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    print_robustness(Robustness(("[red]a", "[/b]"), 0, "labels", (), "[/x] has no votes"))
    shown = " ".join(capsys.readouterr().out.split())
    assert "[red]a, [/b], 0 images" in shown
    assert "[/x] has no votes" in shown


def test_where_persons_are_known_intervals_are_theirs(maker: Maker, blob_dataset: Dataset) -> None:
    model = load_model(maker.content)
    held_out = blob_dataset.select("PrivateTest")
    dark = Distortion("darkness", "total", lambda face, rng: np.zeros_like(face))
    right = model.probabilities(held_out.faces).argmax(axis=1) == held_out.targets
    # eight persons; each has pictures that are all named rightly, or all wrongly
    persons = np.empty(len(held_out), "<U2")
    persons[np.argsort(right, kind="stable")] = np.repeat([*"abcdefgh"], 12)
    rows = [
        measure({"int8": model}, replace(held_out, subjects=who), [dark]) for who in (None, persons)
    ]
    for unknown, known in zip(*rows, strict=True):
        for one, other in (
            (unknown.accuracy, known.accuracy),
            (unknown.macro_f1, known.macro_f1),
            (unknown.lost, known.lost),
        ):
            assert (other.value, other.low <= one.low) == (one.value, other.high >= one.high)
    clean, blind = rows[1]
    assert clean.accuracy.high - clean.accuracy.low > 0.3
    assert blind.lost.high - blind.lost.low > 0.3
