"""Recall, false positives and the rest, on frames whose answers can be counted by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from fer_edge.data.detection.frames import Truth
from fer_edge.detection import Detections
from fer_edge.detection.measuring import LEAST_SCORE, Matches, match, overlaps, recall_drop

FRAME = np.full((120, 160), 100, np.uint8)
FACE = [20.0, 20, 40, 50]
POINTS = np.float32([[30, 35], [50, 35], [40, 45], [32, 58], [48, 58]])


def _truth(*boxes: Sequence[float], ignored: Sequence[Sequence[float]] = ()) -> Truth:
    return Truth(
        np.float32(boxes).reshape(-1, 4),
        np.tile(POINTS, (len(boxes), 1, 1)),
        np.float32(ignored).reshape(-1, 4),
    )


def _said(*faces: tuple[Sequence[float], float]) -> Detections:
    return Detections(
        np.float32([box for box, _ in faces]).reshape(-1, 4),
        np.float32([score for _, score in faces]),
        np.tile(POINTS + np.float32([2, 0]), (len(faces), 1, 1)).reshape(-1, 5, 2),
    )


def _match(*pairs: tuple[Detections, Truth | None]) -> Matches:
    found, truths = zip(*pairs, strict=True)
    return match(found, truths, [FRAME] * len(pairs))


def test_a_face_is_found_by_a_box_that_overlaps_it_by_half() -> None:
    near, far = [24.0, 22, 40, 50], [45.0, 20, 40, 50]
    result = _match((_said((near, 0.9)), _truth(FACE)), (_said((far, 0.8)), _truth(FACE)))
    np.testing.assert_allclose(result.scores, [0.9, 0])
    np.testing.assert_allclose(result.false_scores, [0.8])
    assert result.recall(0.5).value == 0.5
    assert result.recall(0.95).value == 0
    assert result.errors[0] == pytest.approx(2 / 20)
    assert np.isnan(result.errors[1])
    np.testing.assert_array_equal(result.lights, [100, 100])


def test_a_second_box_on_a_face_is_a_false_positive() -> None:
    result = _match((_said((FACE, 0.9), (FACE, 0.6)), _truth(FACE)))
    np.testing.assert_allclose(result.false_scores, [0.6])


def test_a_half_hidden_face_counts_neither_way() -> None:
    result = _match((_said((FACE, 0.9)), _truth(ignored=[FACE])))
    assert len(result.scores) == len(result.false_scores) == 0


def test_the_threshold_leaves_as_many_false_positives_as_wanted() -> None:
    empty = [(_said((FACE, score)), None) for score in (0.9, 0.7, 0.5, 0.3)]
    result = _match((_said((FACE, 0.8)), _truth(FACE)), *empty)
    for rate, wrong in ((0.0, 0), (0.2, 1), (0.4, 2), (1.0, 4)):
        threshold = result.threshold(rate)
        assert (result.false_scores >= threshold).sum() == wrong
    assert result.threshold(1.0) == LEAST_SCORE
    with_faces, on_empty = result.false_positives(result.threshold(0.4))
    assert (with_faces, on_empty) == (0, 0.5)


def test_a_safe_threshold_has_something_to_spare_on_each_kind_of_frame() -> None:
    scores = np.linspace(0.9, 0.1, 40)
    empty = [(_said((FACE, float(score))), None) for score in scores]
    result = _match(*[(_said((FACE, 0.95)), _truth(FACE))] * 60, *empty)
    threshold = result.safe_threshold(0.25)
    # 10 of 40 empty frames would be the rate: 7 and their root are within it, 8 are not
    assert (result.false_scores >= threshold).sum() == 7
    assert result.threshold(0.25) < threshold, "all 100 frames together would allow 25"
    assert result.recall(threshold).value == 1
    assert _match((_said(), None)).safe_threshold() == LEAST_SCORE


def test_average_precision_is_one_only_where_every_face_comes_before_every_mistake() -> None:
    good = (_said((FACE, 0.9)), _truth(FACE))
    assert _match(good, good).average_precision() == 1
    wrong = (_said((FACE, 0.95)), None)
    assert _match(good, wrong).average_precision() == pytest.approx(0.5)
    assert _match((_said(), _truth(FACE))).average_precision() == 0


def test_recall_is_told_by_height_and_by_light() -> None:
    small = [100.0, 20, 16, 20]
    report = _match((_said((FACE, 0.9)), _truth(FACE, small))).report()
    assert [(g["from"], g["recall"]) for g in report["recall_by_height"]] == [(16, 0), (40, 1)]
    assert report["recall_by_light"] == [{"from": 96, "to": 128, "faces": 2, "recall": 0.5}]
    assert report["recall"]["value"] == 0.5
    assert report["landmark_error"]["p50"] == pytest.approx(0.1)


def test_what_one_detector_loses_against_another_is_counted_at_each_ones_own_threshold() -> None:
    truth = _truth(FACE)
    float_one = _match(*[(_said((FACE, 0.9)), truth)] * 8, (_said((FACE, 0.5)), None))
    # all scores halved, and one face of eight lost
    faces = [(_said((FACE, 0.45)), truth)] * 7 + [(_said(), truth)]
    int8 = _match(*faces, (_said((FACE, 0.25)), None))
    lost = recall_drop(float_one, int8, rate=0.0)
    assert lost.value == pytest.approx(1 / 8)
    assert lost.low <= lost.value <= lost.high


def _world(rng: np.random.Generator, frames: int) -> tuple[Matches, Matches]:
    """A detector and one that scores otherwise by chance; 1.7 faces in each frame that has some."""
    faces, wrong = frames * 5 // 3, frames * 2 // 3
    right_scores, wrong_scores = rng.normal(2.2, 1.6, faces), rng.normal(-2.0, 1.2, wrong)
    where, where_wrong = rng.integers(0, frames * 2 // 3, faces), rng.integers(0, frames, wrong)

    def matches(noise: float) -> Matches:
        noisy = (
            right_scores + rng.normal(0, noise, faces),
            wrong_scores + rng.normal(0, noise, wrong),
        )
        scores, false_scores = (1 / (1 + np.exp(-each)) for each in noisy)
        nothing = np.zeros(faces)
        return Matches(
            frames, frames // 3, where, nothing, nothing, scores, nothing, where_wrong, false_scores
        )

    return matches(0), matches(0.4)


def test_intervals_at_a_rate_of_false_positives_cover_the_truth() -> None:
    rng = np.random.default_rng(0)
    rate = 0.03
    true = [(each.scores >= each.threshold(rate)).mean() for each in _world(rng, 300_000)]
    covered = {"recall": 0, "drop": 0}
    for _ in range(40):
        reference, other = _world(rng, 900)
        recall, lost = reference.recall_at(rate), recall_drop(reference, other, rate)
        covered["recall"] += recall.low <= true[0] <= recall.high
        covered["drop"] += lost.low <= true[0] - true[1] <= lost.high
    # a binomial with p = 0.95 falls below 34 once in 300 times
    assert min(covered.values()) >= 34


def test_a_report_of_no_faces_and_no_detections_is_a_report() -> None:
    report = _match((_said(), None)).report()
    assert report["faces"] == 0
    assert report["recall"]["value"] == 0
    assert report["landmark_error"]["p50"] is None


def test_overlap_is_that_of_areas() -> None:
    shares = overlaps(np.float32([[0, 0, 10, 10]]), np.float32([[5, 0, 10, 10], [20, 0, 5, 5]]))
    np.testing.assert_allclose(shares, [[1 / 3, 0]], atol=1e-6)
