"""Figures against hand-computed cases, and what their intervals promise."""

from __future__ import annotations

import math
import tracemalloc
from collections.abc import Iterator

import numpy as np
import pytest

from fer_edge.evaluation.calibration import expected_calibration_error, reliability
from fer_edge.evaluation.estimates import RESAMPLES
from fer_edge.evaluation.metrics import Drop, Estimate, Report, drop, mcnemar, percent, report
from fer_edge.evaluation.resampling import drawn_cells

ABC = ("a", "b", "c")


def _answers(predicted: list[int], confidence: float = 0.8, classes: int = 3) -> np.ndarray:
    """(N, classes) float32 with ``confidence`` on the predicted class."""
    rest = (1 - confidence) / (classes - 1)
    probabilities = np.full((len(predicted), classes), rest, np.float32)
    probabilities[np.arange(len(predicted)), predicted] = confidence
    return probabilities


def _targets(values: list[int]) -> np.ndarray:
    return np.array(values, np.uint8)


def test_a_small_case_equals_what_one_computes_by_hand() -> None:
    #        true class:     a  a  a  a  b  b  b  c  c  c
    given = _targets([0, 0, 0, 0, 1, 1, 1, 2, 2, 2])
    said = _answers([0, 0, 0, 1, 1, 1, 2, 2, 0, 0])
    result = report(said, given, ABC)
    assert result.images == 10
    assert result.confusion == ((3, 1, 0), (0, 2, 1), (2, 0, 1))
    assert result.accuracy.value == pytest.approx(6 / 10)
    assert [result.recall[c].value for c in ABC] == pytest.approx([3 / 4, 2 / 3, 1 / 3])
    assert [result.precision[c].value for c in ABC] == pytest.approx([3 / 5, 2 / 3, 1 / 2])
    # F1 is 2·TP / (predicted + occurring): 6/9, 4/6, 2/5
    assert result.macro_f1.value == pytest.approx((6 / 9 + 4 / 6 + 2 / 5) / 3)
    # every answer has confidence 0.8, six of ten are right
    assert result.calibration_error.value == pytest.approx(0.2, abs=1e-6)


def test_a_class_that_does_not_occur_has_no_recall_and_stays_out_of_the_mean() -> None:
    result = report(_answers([0, 0, 1, 1]), _targets([0, 0, 1, 0]), ABC)
    assert result.recall["c"] is None
    assert result.precision["c"] is None
    assert result.macro_f1.value == pytest.approx((2 * 2 / 5 + 2 * 1 / 3) / 2)
    assert percent(result.recall["c"]) == "–"


def test_a_class_that_occurs_but_is_never_predicted_counts_as_zero() -> None:
    result = report(_answers([0, 0, 0, 0]), _targets([0, 0, 1, 1]), ("a", "b", "c"))
    assert result.recall["b"].value == 0
    assert result.precision["b"] is None
    assert result.macro_f1.value == pytest.approx((2 * 2 / 6 + 0) / 2)


def test_intervals_hold_their_figure_and_are_as_wide_as_the_sample_is_small() -> None:
    rng = np.random.default_rng(1)
    given = rng.integers(0, 3, 4000).astype(np.uint8)
    answers = np.where(rng.random(4000) < 0.7, given, (given + 1) % 3)
    large = report(_answers(answers.tolist()), given, ABC)
    small = report(_answers(answers[:100].tolist()), given[:100], ABC)
    for result in (large, small):
        for estimate in (result.accuracy, result.macro_f1, *result.recall.values()):
            assert estimate is not None
            assert estimate.low <= estimate.value <= estimate.high
    width = large.accuracy.high - large.accuracy.low
    assert width == pytest.approx(2 * 1.96 * math.sqrt(0.7 * 0.3 / 4000), rel=0.15)
    assert small.accuracy.high - small.accuracy.low > 4 * width


def test_95_percent_intervals_cover_the_truth_about_95_times_in_100() -> None:
    rng = np.random.default_rng(2)
    covered = {"accuracy": 0, "recall": 0}
    for seed in range(100):
        given = (rng.random(300) < 0.3).astype(np.uint8)
        answers = np.where(rng.random(300) < 0.8, given, 1 - given)
        result = report(_answers(answers.tolist(), classes=2), given, ("a", "b"), seed=seed)
        covered["accuracy"] += result.accuracy.low <= 0.8 <= result.accuracy.high
        recall = result.recall["b"]
        covered["recall"] += recall.low <= 0.8 <= recall.high
    # a binomial with p = 0.95 falls below 89 once in 150 times
    assert 89 <= covered["accuracy"] <= 100
    assert 88 <= covered["recall"] <= 100


def test_calibration_error_of_honest_answers_is_small_and_of_boastful_ones_the_gap() -> None:
    rng = np.random.default_rng(3)
    confidence = rng.uniform(0.4, 1, 40_000)
    assert expected_calibration_error(confidence, rng.random(40_000) < confidence) < 0.01
    boast = np.full(40_000, 0.95)
    assert expected_calibration_error(boast, rng.random(40_000) < 0.6) == pytest.approx(
        0.35, abs=0.01
    )


def test_calibration_error_takes_bins_apart_instead_of_letting_them_cancel() -> None:
    confidence = np.array([0.55, 0.55, 0.95, 0.95])
    right = np.array([True, True, False, True])
    # bins: |1 − 0.55| and |0.5 − 0.95|, half of the answers each
    assert expected_calibration_error(confidence, right) == pytest.approx(0.45)
    assert expected_calibration_error(np.array([1.0]), np.array([True])) == 0


@pytest.mark.parametrize(("lost", "won"), [(0, 0), (1, 0), (5, 5), (10, 2), (0, 8), (40, 61)])
def test_mcnemar_equals_the_exact_binomial_sum(lost: int, won: int) -> None:
    flips, fewer = lost + won, min(lost, won)
    exact = 2 * sum(math.comb(flips, k) for k in range(fewer + 1)) / 2**flips
    assert mcnemar(lost, won) == pytest.approx(min(1, exact))
    assert mcnemar(lost, won) == mcnemar(won, lost)


def test_mcnemar_does_not_overflow_on_a_large_set() -> None:
    assert mcnemar(5000, 5000) == pytest.approx(1, abs=0.02)
    assert mcnemar(6000, 4000) < 1e-80


def test_a_drop_counts_what_was_lost_and_won_on_the_same_images() -> None:
    given = _targets([0, 0, 0, 0, 1, 1, 1, 1])
    before = _answers([0, 0, 0, 1, 1, 1, 1, 0])
    after = _answers([0, 0, 1, 0, 1, 0, 0, 0])
    lost = drop(before, after, given, ABC)
    assert (lost.lost, lost.won) == (3, 1)
    assert lost.accuracy.value == pytest.approx(6 / 8 - 4 / 8)
    assert lost.recall["a"].value == pytest.approx(0)
    assert lost.recall["b"].value == pytest.approx(2 / 4)
    assert lost.recall["c"] is None
    assert lost.agreement.value == pytest.approx(4 / 8)
    assert lost.largest_difference.value == pytest.approx(0.7)
    assert lost.p_value == pytest.approx(mcnemar(3, 1))


def test_the_paired_interval_of_a_drop_is_narrower_than_that_of_two_separate_accuracies() -> None:
    rng = np.random.default_rng(4)
    given = rng.integers(0, 3, 2000).astype(np.uint8)
    before = np.where(rng.random(2000) < 0.65, given, (given + 1) % 3)
    after = np.where(rng.random(2000) < 0.98, before, (before + 1) % 3)
    first, second = _answers(before.tolist()), _answers(after.tolist())
    paired = drop(first, second, given, ABC).accuracy
    alone = [report(answers, given, ABC).accuracy for answers in (first, second)]
    unpaired = math.hypot(*(estimate.high - estimate.low for estimate in alone))
    assert paired.high - paired.low < unpaired / 3
    assert paired.low <= paired.value <= paired.high


def test_equal_models_lose_nothing() -> None:
    answers = _answers([0, 1, 2, 0])
    lost = drop(answers, answers, _targets([0, 1, 2, 1]), ABC)
    assert lost.accuracy.value == lost.macro_f1.value == 0
    assert lost.largest_difference == lost.calibration_error == Estimate(0, 0, 0)
    assert lost.agreement.value == lost.agreement.high == lost.p_value == 1


def test_the_drop_of_macro_f1_is_that_of_two_reports_and_paired() -> None:
    rng = np.random.default_rng(6)
    given = rng.choice(3, 1500, p=[0.6, 0.35, 0.05]).astype(np.uint8)
    before = np.where(rng.random(1500) < 0.7, given, (given + 1) % 3)
    after = np.where(rng.random(1500) < 0.97, before, (before + 1) % 3)
    first, second = _answers(before.tolist()), _answers(after.tolist())
    lost = drop(first, second, given, ABC)
    figures = [report(answers, given, ABC) for answers in (first, second)]
    expected = figures[0].macro_f1.value - figures[1].macro_f1.value
    assert lost.macro_f1.value == pytest.approx(expected)
    assert lost.macro_f1.low < expected < lost.macro_f1.high
    alone = figures[0].macro_f1.high - figures[0].macro_f1.low
    assert lost.macro_f1.high - lost.macro_f1.low < alone / 2
    rise = figures[1].calibration_error.value - figures[0].calibration_error.value
    assert lost.calibration_error.value == pytest.approx(rise)
    assert lost.calibration_error.low < rise < lost.calibration_error.high


def test_the_same_seed_gives_the_same_intervals_and_another_seed_others() -> None:
    rng = np.random.default_rng(5)
    given = rng.integers(0, 3, 200).astype(np.uint8)
    raw = rng.random((200, 3)).astype(np.float32)
    answers = raw / raw.sum(axis=1, keepdims=True)
    assert report(answers, given, ABC) == report(answers, given, ABC)
    assert report(answers, given, ABC, seed=1).macro_f1 != report(answers, given, ABC).macro_f1
    other = np.roll(answers, 1, axis=0)
    assert drop(answers, other, given, ABC) == drop(answers, other, given, ABC)


def test_one_image_is_enough_to_be_measured() -> None:
    result = report(_answers([1]), _targets([1]), ABC)
    assert result.accuracy.value == result.accuracy.high == result.macro_f1.value == 1
    assert result.accuracy.low < 0.3


@pytest.mark.parametrize(("images", "within"), [(7, 0.4), (100, 0.03), (3000, 0.001)])
def test_images_without_a_difference_do_not_tell_that_there_is_none(
    images: int, within: float
) -> None:
    answers, given = _answers([0] * images), _targets([0] * images)
    lost = drop(answers, answers, given, ABC)
    for estimate in (lost.accuracy, lost.recall["a"], lost.macro_f1):
        assert estimate is not None
        assert estimate.value == 0
        # about three in so many may differ elsewhere
        assert 2 / images < estimate.high == -estimate.low < within
    assert 1 - 4 / images < lost.agreement.low < 1 - 2 / images
    result = report(answers, given, ABC)
    for estimate in (result.accuracy, result.macro_f1, result.recall["a"], result.precision["a"]):
        assert estimate is not None
        assert 1 - 4 / images < estimate.low < 1 - 2 / images


def test_intervals_of_a_rare_drop_cover_the_truth() -> None:
    rng = np.random.default_rng(8)
    covered = 0
    for seed in range(100):
        after = np.where(rng.random(50) < 0.02, 1, 0)
        lost = drop(_answers([0] * 50), _answers(after.tolist()), _targets([0] * 50), ABC, seed)
        covered += lost.accuracy.low <= 0.02 <= lost.accuracy.high
    assert covered >= 89


def test_a_sample_that_holds_every_outcome_has_the_interval_of_its_resamples() -> None:
    loss = np.repeat([1, -1, 0], [15, 13, 3109])
    given, before = _targets([0] * 3137), np.where(loss < 0, 1, 0)
    after = np.where(loss > 0, 1, 0)
    lost = drop(_answers(before.tolist()), _answers(after.tolist()), given, ABC).accuracy
    drawn = np.random.default_rng(1).multinomial(3137, np.array([13, 3109, 15]) / 3137, 1000)
    low, high = np.percentile((drawn[:, 2] - drawn[:, 0]) / 3137, [2.5, 97.5])
    assert (lost.low, lost.high) == pytest.approx((low, high), abs=2.1 / 3137)


def test_answers_that_are_no_numbers_make_figures_that_are_none() -> None:
    answers, given = _answers([0, 1, 2, 0]), _targets([0, 1, 2, 0])
    broken = answers.copy()
    broken[2] = np.nan
    lost = drop(answers, broken, given, ABC)
    for estimate in (lost.calibration_error, lost.mean_difference, lost.largest_difference):
        assert math.isnan(estimate.value)
    assert math.isnan(report(broken, given, ABC).calibration_error.value)
    assert sum(each.images for each in reliability(broken, given)) == 3


# --- several pictures of a person ---------------------------------------------------------------


def _widths(figures: Report | Drop) -> Iterator[tuple[str, float]]:
    """How wide the interval of each figure is."""
    for name, value in vars(figures).items():
        if isinstance(value, Estimate):
            yield name, value.high - value.low
        elif isinstance(value, dict):
            yield from ((f"{name} {key}", each.high - each.low) for key, each in value.items())


def test_the_same_pictures_three_times_over_do_not_make_an_interval_narrower() -> None:
    rng = np.random.default_rng(9)
    given = rng.choice(3, 300, p=[0.5, 0.3, 0.2]).astype(np.uint8)
    before, after = (
        _answers(np.where(rng.random(300) < share, given, (given + 1) % 3).tolist())
        for share in (0.7, 0.65)
    )
    names = np.array([f"S{number:03}" for number in range(300)])
    mixed = rng.permutation(900)
    three = [np.concatenate([each] * 3)[mixed] for each in (before, after, given, names)]
    once = report(before, given, ABC), drop(before, after, given, ABC)
    alone = report(three[0], three[2], ABC), drop(*three[:3], ABC)
    known = (
        report(three[0], three[2], ABC, subjects=three[3]),
        drop(*three[:3], ABC, subjects=three[3]),
    )
    for narrow, right, wide in zip(alone, known, once, strict=True):
        widths = [dict(_widths(each)) for each in (narrow, right, wide)]
        for name, width in widths[1].items():
            # the calibration error's bias is taken out, and the largest difference is one number
            if name not in ("calibration_error", "largest_difference"):
                assert width == pytest.approx(widths[2][name], rel=0.15), name
                assert width > 1.4 * widths[0][name], name
            assert width >= widths[0][name]
    assert [each.accuracy.value for each in known] == [each.accuracy.value for each in alone]


def test_intervals_of_persons_cover_the_truth_where_those_of_their_pictures_do_not() -> None:
    rng = np.random.default_rng(10)
    names = np.repeat(np.arange(40).astype(str), 4)
    covered = {"persons": 0, "pictures": 0}
    for seed in range(50):
        # of a person all pictures are named rightly, or none
        right = np.repeat(rng.random(40) < 0.7, 4)
        said, given = _answers(np.where(right, 0, 1).tolist()), np.zeros(160, np.uint8)
        for what, subjects in (("persons", names), ("pictures", None)):
            accuracy = report(said, given, ABC, seed, subjects=subjects).accuracy
            covered[what] += accuracy.low <= 0.7 <= accuracy.high
    assert covered["persons"] >= 44
    assert covered["pictures"] < 38


def test_pictures_of_one_person_are_no_surer_than_as_many_of_strangers() -> None:
    rng = np.random.default_rng(11)
    given = rng.integers(0, 3, 60).astype(np.uint8)
    before = _answers(np.where(rng.random(60) < 0.7, given, (given + 1) % 3).tolist())
    after = np.roll(before, 1, axis=1)
    one = np.full(60, "S001")
    for known, unknown in (
        (report(before, given, ABC, subjects=one), report(before, given, ABC)),
        (drop(before, after, given, ABC, subjects=one), drop(before, after, given, ABC)),
    ):
        least = dict(_widths(unknown))
        assert all(width >= least[name] for name, width in _widths(known))


def test_ten_persons_without_a_mistake_do_not_tell_that_there_are_none() -> None:
    said, given = _answers([0] * 200), _targets([0] * 200)
    names = np.repeat([*"abcdefghij"], 20)
    result = report(said, given, ABC, subjects=names)
    for estimate in (result.accuracy, result.recall["a"], result.precision["a"]):
        assert estimate is not None
        assert 1 - 4 / 10 < estimate.low < 1 - 2 / 10
    lost = drop(said, said, given, ABC, subjects=names)
    assert lost.accuracy.high == -lost.accuracy.low > 0.2
    assert lost.agreement.low < 0.8


def test_answers_of_persons_that_are_no_numbers_make_figures_that_are_none() -> None:
    answers, given = _answers([0, 1, 2, 0]), _targets([0, 1, 2, 0])
    broken = answers.copy()
    broken[2] = np.nan
    names = np.array(["a", "a", "b", "b"])
    lost = drop(answers, broken, given, ABC, subjects=names)
    assert math.isnan(lost.calibration_error.value)
    assert math.isnan(lost.mean_difference.value)
    assert math.isnan(report(broken, given, ABC, subjects=names).calibration_error.value)


# --- many labels --------------------------------------------------------------------------------


def test_a_drop_of_a_hundred_labels_takes_no_more_memory_than_its_images_do() -> None:
    rng = np.random.default_rng(12)
    labels = tuple(f"label {number}" for number in range(100))
    given = rng.integers(0, 100, 400).astype(np.uint8)
    said = _answers(given.tolist(), classes=100)
    tracemalloc.start()
    lost = drop(said, np.roll(said, 1, axis=0), given, labels)
    largest = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert lost.macro_f1.value > 0.9
    # a cell of true class and both answers for every resample would be 8 GB
    assert largest < 64e6


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_cells_are_drawn_as_the_whole_table_would_be(classes: int) -> None:
    images = np.random.default_rng(13).integers(0, classes, (3, 40))
    shape = (classes,) * 3
    table = np.bincount(np.ravel_multi_index(tuple(images), shape), minlength=classes**3)
    whole = np.random.default_rng(0).multinomial(40, table / 40, RESAMPLES)
    numbers, drawn = drawn_cells(tuple(images), classes, np.random.default_rng(0))
    filled = np.zeros_like(whole)
    filled[:, np.ravel_multi_index(numbers, shape)] = drawn
    np.testing.assert_array_equal(filled, whole)
