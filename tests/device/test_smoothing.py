"""One face's expression over time: steady, not sluggish, and honest about doubt."""

from __future__ import annotations

import numpy as np
import pytest

from fer_edge.device.smoothing import NO_SMOOTHING, UNCERTAIN, Expression, Smoothing
from fer_edge.errors import FerEdgeError

LABELS = ("sad", "happy", "neutral")


def _row(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def _told(smoothing: Smoothing, rows: list[np.ndarray], fps: float = 25) -> list[str]:
    expression, labels = Expression(smoothing, LABELS), []
    for number, row in enumerate(rows):
        expression.add(row, number / fps)
        labels.append(expression.label)
    return labels


@pytest.mark.parametrize("fps", [5, 25, 100])
def test_after_the_time_constant_an_old_expression_weighs_37_percent_at_any_frame_rate(fps):
    expression = Expression(Smoothing(time_constant=0.4), LABELS)
    expression.add(_row(1, 0, 0), 0.0)
    for number in range(1, round(0.4 * fps) + 1):
        expression.add(_row(0, 1, 0), number / fps)
    assert expression.probabilities[0] == pytest.approx(np.exp(-1), abs=1e-5)
    assert expression.probabilities.sum() == pytest.approx(1, abs=1e-5)


def test_a_single_odd_frame_does_not_change_the_label():
    rows = [_row(0.1, 0.8, 0.1)] * 10 + [_row(0.9, 0.05, 0.05)] + [_row(0.1, 0.8, 0.1)] * 5
    assert set(_told(Smoothing(), rows)) == {"happy"}
    assert set(_told(NO_SMOOTHING, rows)) == {"happy", "sad"}


def test_a_lasting_change_is_told_within_two_time_constants():
    rows = [_row(0.1, 0.8, 0.1)] * 10 + [_row(0.8, 0.1, 0.1)] * 15
    labels = _told(Smoothing(time_constant=0.3), rows)
    assert labels[9] == "happy"
    assert labels[-1] == "sad"
    assert labels.count("happy") <= 10 + 2 * 0.3 * 25


def test_two_expressions_that_take_turns_by_a_hair_do_not_flicker():
    rows = [_row(0.44, 0.46, 0.1) if number % 2 else _row(0.46, 0.44, 0.1) for number in range(40)]
    held = Smoothing(time_constant=0.0, margin=0.1)
    assert set(_told(held, rows)) == {"sad"}
    assert set(_told(Smoothing(time_constant=0.0, margin=0.0), rows)) == {"sad", "happy"}


def test_below_the_least_confidence_the_label_is_uncertain():
    steady = Smoothing(time_constant=0.0, min_confidence=0.5, margin=0.1)
    rows = [
        _row(0.4, 0.35, 0.25),  # never sure
        _row(0.6, 0.3, 0.1),  # sure
        _row(0.45, 0.3, 0.25),  # a little less: held
        _row(0.38, 0.34, 0.28),  # clearly less
        _row(0.3, 0.48, 0.22),  # another one, not sure either
        _row(0.3, 0.52, 0.18),
    ]
    expected = [UNCERTAIN, "sad", "sad", UNCERTAIN, UNCERTAIN, "happy"]
    assert _told(steady, rows) == expected


def test_confidence_is_the_labels_own_or_of_the_most_probable_while_uncertain():
    expression = Expression(Smoothing(time_constant=0.0, min_confidence=0.5), LABELS)
    expression.add(_row(0.4, 0.35, 0.25), 0.0)
    assert expression.confidence == pytest.approx(0.4)
    expression.add(_row(0.2, 0.7, 0.1), 0.1)
    assert expression.confidence == pytest.approx(0.7)
    expression.add(_row(0.47, 0.45, 0.08), 0.2)  # a lead within the margin
    assert (expression.label, expression.confidence) == ("happy", pytest.approx(0.45))


def test_a_clock_that_goes_back_changes_nothing_but_that_frames_weight():
    expression = Expression(Smoothing(), LABELS)
    expression.add(_row(0, 1, 0), 10.0)
    expression.add(_row(1, 0, 0), 4.0)
    np.testing.assert_array_equal(expression.probabilities, _row(0, 1, 0))
    expression.add(_row(1, 0, 0), 14.0)
    assert expression.label == "sad"


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"time_constant": -1}, "--smoothing.*-1"),
        ({"time_constant": float("nan")}, "nan"),
        ({"min_confidence": 35}, "--min-confidence.*35"),
        ({"margin": -0.1}, "margin.*-0.1"),
    ],
)
def test_impossible_values_are_refused_by_name(changes, named):
    with pytest.raises(FerEdgeError, match=named):
        Smoothing(**changes)
