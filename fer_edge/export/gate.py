"""The check of an int8 model against its float model on the same held-out images."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from fer_edge.export.budget import Budget
from fer_edge.metrics import Drop, Estimate

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
    """

    what: str
    measured: Estimate
    limit: float
    verdict: str


@dataclass(frozen=True)
class Verdict:
    """The gate's answer for one model.

    Attributes:
        checks: every check that was made.
        unchecked: classes without a held-out image, of whose recall nothing can be said.
    """

    checks: tuple[Check, ...]
    unchecked: tuple[str, ...] = ()

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

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "passed": self.passed,
            "checks": [asdict(check) for check in self.checks],
            "unchecked": list(self.unchecked),
        }


def judge(drop: Drop, class_images: dict[str, int], budget: Budget) -> Verdict:
    """Hold a measured drop against a budget.

    Args:
        drop: of the int8 model against the float batch-norm model, on the same images.
        class_images: held-out images of each class.
        budget: the limits.

    A check fails when its point estimate is over the limit, and warns when only the interval is. In
    a class with fewer images than ``budget.recall_min_images`` a face or two decide the estimate:
    it fails when the whole interval is over the limit, and warns before. A class without images
    is named as unchecked.
    """
    checks = [_check("accuracy drop", drop.accuracy, budget.accuracy_drop_points)]
    for label, estimate in drop.recall.items():
        if estimate is None:
            continue
        check = _check(f"recall drop of {label}", estimate, budget.recall_drop_points)
        few = class_images[label] < budget.recall_min_images
        if check.verdict == "fail" and few and check.measured.low <= check.limit + ROUNDING:
            check = Check(check.what, check.measured, check.limit, "warn")
        checks.append(check)
    agreement = 100 * drop.agreement
    checks.append(
        Check(
            "agreement",
            Estimate(agreement, agreement, agreement),
            budget.agreement_percent,
            "pass" if agreement >= budget.agreement_percent - ROUNDING else "fail",
        )
    )
    unchecked = tuple(label for label, estimate in drop.recall.items() if estimate is None)
    return Verdict(tuple(checks), unchecked)


def _check(what: str, drop: Estimate, limit: float) -> Check:
    points = Estimate(100 * drop.value, 100 * drop.low, 100 * drop.high)
    over = points.value > limit + ROUNDING
    verdict = "fail" if over else "warn" if points.high > limit + ROUNDING else "pass"
    return Check(what, points, limit, verdict)
