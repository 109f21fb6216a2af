"""The check of an int8 model against its float model on the same held-out images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from fer_edge.evaluation.metrics import Drop, Estimate
from fer_edge.export.judging.budget import Budget

WHOLE, UNLEAKED = "all images", "images not in the training splits"
"""Scopes of a check."""
SIZES = KILOBYTES, ARENA = "kilobytes", "kilobytes of the arena"
"""What the checks of sizes are called; no remedy makes a network smaller."""
RECALL = "recall drop of "
"""Before the class, in what those checks are called."""
ROUNDING = 1e-9
"""Points; what is exactly at its limit passes, whatever binary fractions made of it."""


@dataclass(frozen=True)
class Check:
    """One line of the gate.

    Attributes:
        what: such as ``accuracy drop`` or ``recall drop of disgust``.
        measured: with its paired 95% interval, in percentage points or percent.
        limit: of the budget, in the same unit.
        verdict: ``pass``, ``warn`` (the interval reaches over the limit, or the class has too few
            images to decide) or ``fail``.
        scope: of the held-out images, ``all images`` or ``images not in the training splits``.
    """

    what: str
    measured: Estimate
    limit: float
    verdict: str
    scope: str

    def __str__(self) -> str:
        """Such as ``agreement 96.10 (95.20 – 96.90) on all images``."""
        measured = self.measured
        interval = f"{measured.low:.2f} – {measured.high:.2f}"
        return f"{self.what} {measured.value:.2f} ({interval}) on {self.scope}"


@dataclass(frozen=True)
class Verdict:
    """The gate's answer for one model.

    Attributes:
        checks: every check that was made.
        unchecked: classes without a held-out image, of whose recall nothing can be said.
        unchecked_unleaked: those of which training saw every held-out image.
    """

    checks: tuple[Check, ...]
    unchecked: tuple[str, ...] = ()
    unchecked_unleaked: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """True when no check failed; warnings do not count."""
        return not self.failures

    @property
    def failures(self) -> tuple[Check, ...]:
        """The checks that failed."""
        return tuple(check for check in self.checks if check.verdict == "fail")

    @property
    def warnings(self) -> tuple[Check, ...]:
        """The checks that warn."""
        return tuple(check for check in self.checks if check.verdict == "warn")

    @property
    def too_large(self) -> bool:
        """Whether a size is over its limit."""
        return any(check.what in SIZES for check in self.failures)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "passed": self.passed,
            "checks": [asdict(check) for check in self.checks],
            "unchecked": list(self.unchecked),
            "unchecked_unleaked": list(self.unchecked_unleaked),
        }


def judge(
    drop: Drop,
    class_images: Mapping[str, int],
    budget: Budget,
    *,
    unleaked: tuple[Drop, Mapping[str, int]] | None = None,
    size: int | None = None,
    arena: int | None = None,
) -> Verdict:
    """Hold what was measured against a budget.

    Args:
        drop: of the int8 model against the float batch-norm model, on the same images.
        class_images: held-out images of each class.
        budget: the limits.
        unleaked: the same two of the held-out images that training never saw, where that is not
            all of them. They are held against the same limits.
        size: bytes of the file, where the budget may limit them.
        arena: bytes that TFLite Micro takes for its tensors, where it was asked.

    A check fails when its point estimate is over the limit, and warns when only the interval is. In
    a class with fewer images than ``budget.recall_min_images`` a face or two decide the estimate:
    it fails when the whole interval is over the limit, and warns else, also of a class that lost
    nothing. Macro-F1 fails by its whole interval alone, too, where one face of the smallest class
    weighs more than its limit. A class without images is named as unchecked, in either scope.
    """
    checks = _checks(drop, class_images, budget, WHOLE)
    if unleaked is not None:
        checks += _checks(*unleaked, budget, UNLEAKED)
    for what, measured, limit in (
        (KILOBYTES, size, budget.max_kilobytes),
        (ARENA, arena, budget.max_arena_kilobytes),
    ):
        if measured is not None and limit is not None:
            kilobytes = Estimate(measured / 1000, measured / 1000, measured / 1000)
            checks.append(rise(what, kilobytes, limit, WHOLE))
    unchecked = _absent(drop)
    seen = () if unleaked is None else _absent(unleaked[0])
    return Verdict(
        tuple(checks), unchecked, tuple(label for label in seen if label not in unchecked)
    )


def _absent(drop: Drop) -> tuple[str, ...]:
    """Classes without an image."""
    return tuple(label for label, estimate in drop.recall.items() if estimate is None)


def _checks(drop: Drop, class_images: Mapping[str, int], budget: Budget, scope: str) -> list[Check]:
    macro_f1 = rise("macro-F1 drop", _points(drop.macro_f1), budget.macro_f1_drop_points, scope)
    if _one_face(class_images) > macro_f1.limit:
        macro_f1 = _by_interval(macro_f1)
    checks = [
        rise("accuracy drop", _points(drop.accuracy), budget.accuracy_drop_points, scope),
        macro_f1,
    ]
    for label, estimate in drop.recall.items():
        if estimate is None:
            continue
        limit = budget.recall_drop_points
        check = rise(RECALL + label, _points(estimate), limit, scope)
        if class_images[label] < budget.recall_min_images:
            check = _by_interval(check)
            if check.verdict == "pass":
                check = replace(check, verdict="warn")
        checks.append(check)
    for what, estimate, limit in (
        ("calibration error rise", drop.calibration_error, budget.calibration_error_rise_points),
        ("mean difference", drop.mean_difference, budget.mean_difference_points),
        ("largest difference", drop.largest_difference, budget.largest_difference_points),
    ):
        checks.append(rise(what, _points(estimate), limit, scope))
    agreement, least = _points(drop.agreement), budget.agreement_percent
    verdict = _verdict(-agreement.value, -agreement.low, -least)
    checks.append(Check("agreement", agreement, least, verdict, scope))
    return checks


def _one_face(class_images: Mapping[str, int]) -> float:
    """Points of macro-F1 that one face of the smallest class may weigh."""
    counts = [count for count in class_images.values() if count]
    return 100 / (len(counts) * min(counts)) if counts else 0.0


def _by_interval(check: Check) -> Check:
    """The same check, failing only where the whole interval is over the limit."""
    collapsed = check.measured.low > check.limit + ROUNDING
    return check if check.verdict != "fail" or collapsed else replace(check, verdict="warn")


def rise(what: str, measured: Estimate, limit: float, scope: str) -> Check:
    """A check of what may rise up to a limit, in the unit of both."""
    return Check(what, measured, limit, _verdict(measured.value, measured.high, limit), scope)


def _verdict(value: float, highest: float, limit: float) -> str:
    # a NaN must not pass
    if not value <= limit + ROUNDING:
        return "fail"
    return "warn" if highest > limit + ROUNDING else "pass"


def _points(share: Estimate) -> Estimate:
    return Estimate(100 * share.value, 100 * share.low, 100 * share.high)
