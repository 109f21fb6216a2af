"""The gate fails on what was measured and warns of what may be."""

from __future__ import annotations

import json

import numpy as np
import pytest

from fer_edge.evaluation.metrics import Drop, Estimate, drop
from fer_edge.export.judging.budget import Budget
from fer_edge.export.judging.gate import judge

PLENTY = {"happy": 900, "disgust": 155}


def _drop(
    accuracy: tuple[float, float, float] = (0.001, -0.002, 0.004),
    disgust: tuple[float, float, float] | None = (0.0, -0.01, 0.02),
    agreement: tuple[float, float, float] = (0.985, 0.981, 0.989),
    **others: tuple[float, float, float],
) -> Drop:
    """A drop as the metrics give it, in shares."""
    recall = {
        "happy": Estimate(0.0, -0.005, 0.005),
        "disgust": None if disgust is None else Estimate(*disgust),
    }
    measured = {
        "macro_f1": (0.002, -0.003, 0.007),
        "calibration_error": (-0.001, -0.004, 0.003),
        "agreement": agreement,
        "mean_difference": (0.004, 0.003, 0.005),
        "largest_difference": (0.07, 0.06, 0.07),
    }
    estimates = {name: Estimate(*values) for name, values in (measured | others).items()}
    return Drop(Estimate(*accuracy), recall, **estimates, lost=5, won=3, p_value=0.7)


def test_gate_passes_a_model_that_lost_next_to_nothing() -> None:
    verdict = judge(_drop(), PLENTY, Budget())
    assert verdict.passed
    assert not verdict.warnings
    assert [check.what for check in verdict.checks] == [
        "accuracy drop",
        "macro-F1 drop",
        "recall drop of happy",
        "recall drop of disgust",
        "calibration error rise",
        "mean difference",
        "largest difference",
        "agreement",
    ]


def test_gate_fails_when_the_accuracy_measured_is_over_the_budget() -> None:
    verdict = judge(_drop(accuracy=(0.0101, 0.004, 0.016)), PLENTY, Budget())
    assert not verdict.passed
    (failure,) = verdict.failures
    assert failure.what == "accuracy drop"
    assert failure.measured.value == pytest.approx(1.01)
    assert failure.limit == 1.0


def test_gate_warns_when_only_the_interval_reaches_over_the_budget() -> None:
    verdict = judge(_drop(accuracy=(0.006, -0.001, 0.013)), PLENTY, Budget())
    assert verdict.passed
    (warning,) = verdict.warnings
    assert warning.what == "accuracy drop"
    assert (warning.measured.value, warning.measured.high) == pytest.approx((0.6, 1.3))


@pytest.mark.parametrize("points", [0.1, 0.3, 0.7, 1.0, 2.3])
def test_a_drop_of_exactly_the_budget_passes_whatever_rounding_made_of_it(points: float) -> None:
    share = points / 100
    budget = Budget(accuracy_drop_points=points, recall_drop_points=points)
    verdict = judge(_drop((share, 0.0, share), (share, 0.0, share)), PLENTY, budget)
    assert verdict.passed
    assert {check.what for check in verdict.warnings} <= {"recall drop of happy"}
    over = judge(_drop((share + 1e-6, 0.0, share + 1e-6)), PLENTY, budget)
    assert not over.passed


def test_gate_refuses_a_model_whose_recall_on_disgust_collapsed() -> None:
    verdict = judge(_drop(disgust=(0.4, 0.25, 0.55)), PLENTY, Budget())
    assert [check.what for check in verdict.failures] == ["recall drop of disgust"]


def test_two_faces_lost_in_a_class_of_few_images_warn_where_more_images_would_have_failed() -> None:
    few, enough = {"happy": 900, "disgust": 99}, {"happy": 900, "disgust": 100}
    verdict = judge(_drop(disgust=(0.036, 0.0, 0.09)), few, Budget())
    assert verdict.passed
    assert [check.what for check in verdict.warnings] == ["recall drop of disgust"]
    assert not judge(_drop(disgust=(0.036, 0.0, 0.09)), enough, Budget()).passed


def test_a_class_of_few_images_that_lost_nothing_warns() -> None:
    few = {"happy": 900, "disgust": 99}
    verdict = judge(_drop(disgust=(0.0, 0.0, 0.0)), few, Budget())
    assert [check.what for check in verdict.warnings] == ["recall drop of disgust"]


def test_one_face_of_a_class_with_one_image_does_not_fail_an_export() -> None:
    given = np.array([0] * 150 + [1] * 150 + [2], np.uint8)
    before = np.eye(3, dtype=np.float32)[given] * 0.2 + 0.8 / 3
    after = before.copy()
    after[-1] = before[0]
    images = {"a": 150, "b": 150, "c": 1}
    lost = drop(before, after, given, ("a", "b", "c"))
    assert lost.recall["c"].value == 1
    assert lost.macro_f1.value > 0.3, "a third of it is that class"
    verdict = judge(lost, images, Budget())
    assert verdict.passed
    warned = [check.what for check in verdict.warnings]
    assert {"macro-F1 drop", "recall drop of c"} <= set(warned)
    assert "macro-F1 drop" in [
        check.what for check in judge(lost, images | {"c": 30}, Budget()).failures
    ]


def test_gate_does_not_pass_seven_images_without_a_warning() -> None:
    said = np.tile(np.float32([0.6, 0.4]), (7, 1))
    lost = drop(said, said, np.zeros(7, np.uint8), ("a", "b"))
    warned = {check.what for check in judge(lost, {"a": 7, "b": 0}, Budget()).warnings}
    assert warned == {"accuracy drop", "macro-F1 drop", "recall drop of a", "agreement"}


def test_an_answer_that_is_no_number_fails() -> None:
    said = np.tile(np.float32([0.6, 0.4]), (700, 1))
    broken = said.copy()
    broken[5] = np.nan
    lost = drop(said, broken, np.zeros(700, np.uint8), ("a", "b"))
    failed = {check.what for check in judge(lost, {"a": 700, "b": 0}, Budget()).failures}
    assert failed == {"calibration error rise", "mean difference", "largest difference"}


def test_gate_refuses_a_model_whose_recall_on_disgust_collapsed_however_few_its_images() -> None:
    verdict = judge(_drop(disgust=(0.4, 0.25, 0.55)), {"happy": 900, "disgust": 29}, Budget())
    assert [check.what for check in verdict.failures] == ["recall drop of disgust"]


def test_a_class_without_images_is_named_as_unchecked() -> None:
    verdict = judge(_drop(disgust=None), {"happy": 900, "disgust": 0}, Budget())
    assert verdict.passed
    assert verdict.unchecked == ("disgust",)
    assert "recall drop of disgust" not in [check.what for check in verdict.checks]


def test_a_class_whose_every_image_was_trained_on_is_named_as_unchecked_there() -> None:
    clean = (_drop(disgust=None), {"happy": 400, "disgust": 0})
    verdict = judge(_drop(), PLENTY, Budget(), unleaked=clean)
    assert (verdict.unchecked, verdict.unchecked_unleaked) == ((), ("disgust",))
    assert verdict.to_dict()["unchecked_unleaked"] == ["disgust"]
    verdict = judge(_drop(disgust=None), {"happy": 9, "disgust": 0}, Budget(), unleaked=clean)
    assert (verdict.unchecked, verdict.unchecked_unleaked) == (("disgust",), ())


def test_agreement_of_exactly_the_budget_passes_and_less_fails() -> None:
    assert judge(_drop(agreement=(0.97, 0.97, 0.98)), PLENTY, Budget()).passed
    verdict = judge(_drop(agreement=(0.9699, 0.96, 0.98)), PLENTY, Budget())
    assert [check.what for check in verdict.failures] == ["agreement"]
    assert judge(_drop(agreement=(1, 1, 1)), PLENTY, Budget(agreement_percent=100)).passed
    assert 100 * 0.58 < 58, "binary fractions must not decide"
    assert judge(_drop(agreement=(0.58, 0.58, 0.58)), PLENTY, Budget(agreement_percent=58)).passed


def test_agreement_whose_interval_reaches_under_the_budget_warns() -> None:
    verdict = judge(_drop(agreement=(0.972, 0.965, 0.979)), PLENTY, Budget())
    assert verdict.passed
    assert [check.what for check in verdict.warnings] == ["agreement"]


@pytest.mark.parametrize(
    ("name", "what", "limit"),
    [
        ("macro_f1", "macro-F1 drop", 0.015),
        ("calibration_error", "calibration error rise", 0.03),
        ("mean_difference", "mean difference", 0.02),
        ("largest_difference", "largest difference", 0.5),
    ],
)
def test_every_other_figure_has_its_limit(name: str, what: str, limit: float) -> None:
    under, over = limit - 1e-4, limit + 1e-4
    assert judge(_drop(**{name: (limit, under, limit)}), PLENTY, Budget()).passed
    (failure,) = judge(_drop(**{name: (over, under, over)}), PLENTY, Budget()).failures
    assert (failure.what, failure.limit) == (what, pytest.approx(100 * limit))
    (failure,) = judge(_drop(**{name: (float("nan"),) * 3}), PLENTY, Budget()).failures
    assert failure.what == what


def test_a_loss_that_only_unseen_images_show_fails() -> None:
    few = {"happy": 400, "disgust": 20}
    hidden = _drop(accuracy=(0.04, 0.02, 0.06))
    verdict = judge(_drop(), PLENTY, Budget(), unleaked=(hidden, few))
    (failure,) = verdict.failures
    assert str(failure) == "accuracy drop 4.00 (2.00 – 6.00) on images not in the training splits"
    assert judge(_drop(), PLENTY, Budget(), unleaked=(_drop(), few)).passed


def test_a_file_over_the_size_limit_fails() -> None:
    budget = Budget(max_kilobytes=100)
    assert judge(_drop(), PLENTY, budget, size=100_000).passed
    (failure,) = judge(_drop(), PLENTY, budget, size=100_001).failures
    assert failure.what == "kilobytes"
    assert judge(_drop(), PLENTY, Budget(), size=10**9).passed


def test_an_arena_over_its_limit_fails() -> None:
    budget = Budget(max_arena_kilobytes=256)
    verdict = judge(_drop(), PLENTY, budget, size=10**9, arena=256_000)
    assert verdict.passed
    assert not verdict.too_large
    verdict = judge(_drop(), PLENTY, budget, arena=256_001)
    assert [check.what for check in verdict.failures] == ["kilobytes of the arena"]
    assert verdict.too_large
    assert judge(_drop(), PLENTY, Budget(), arena=10**9).passed


def test_a_better_int8_model_passes() -> None:
    gain = (-0.02, -0.03, -0.01)
    assert judge(_drop(gain, gain), PLENTY, Budget(accuracy_drop_points=0)).passed


def test_a_verdict_can_be_written_as_json() -> None:
    content = json.loads(json.dumps(judge(_drop(), PLENTY, Budget()).to_dict()))
    assert content["passed"] is True
    assert content["checks"][0]["measured"]["value"] == pytest.approx(0.1)
