"""An export as a page to show to others: what was measured, by which limit, and where it hurts.

One HTML file with everything in it, and the same figures as JSON.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from fer_edge.board import read_board
from fer_edge.bundle import INT8_TFLITE
from fer_edge.export import plots
from fer_edge.export.budget import Budget
from fer_edge.export.explaining import Explanation, short_name
from fer_edge.export.gate import Check, Verdict
from fer_edge.export.ladder import Climb
from fer_edge.export.measure import Format
from fer_edge.export.timing import RUNS, WARM_UP
from fer_edge.files import write_text
from fer_edge.metrics import Bin, Report, percent

REPORT_HTML, REPORT_JSON = "report.html", "report.json"
SPAN = 1.6
"""Times the limit: as far as the bar of a check reaches."""


@dataclass(frozen=True)
class Findings:
    """Everything that an export found out, whatever the gate says of it.

    Attributes:
        name, description: of the recipe.
        dataset: its name, fingerprint and which split served what.
        splits: held-out.
        reference: the float32 Keras model on all held-out images.
        reference_reliability: its confidence beside its accuracy.
        formats: the exported files.
        budget: what the gate judged by.
        climb: the remedies that were tried.
        explanation: every layer of the int8 TFLite.
        calibration_images: how many the quantizers saw.
        tools: versions by name.
    """

    name: str
    description: str
    dataset: dict[str, Any]
    splits: tuple[str, ...]
    reference: Report
    reference_reliability: tuple[Bin, ...]
    formats: tuple[Format, ...]
    budget: Budget
    climb: Climb
    explanation: Explanation
    calibration_images: int
    tools: dict[str, str]

    @property
    def passed(self) -> bool:
        """Whether the gate let every judged file pass."""
        return all(each.verdict.passed for each in self.formats if each.verdict)

    @property
    def int8(self) -> Format:
        """The int8 TFLite."""
        return next(each for each in self.formats if each.name == INT8_TFLITE)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        own = ("name", "description", "dataset", "calibration_images", "tools")
        return {
            **{name: getattr(self, name) for name in own},
            "passed": self.passed,
            "splits": list(self.splits),
            "reference": self.reference.to_dict(),
            "reference_reliability": [asdict(each) for each in self.reference_reliability],
            "formats": [each.to_dict() for each in self.formats],
            "budget": self.budget.model_dump(),
            "ladder": asdict(self.climb),
            "layers": self.explanation.to_dict(),
            "machine": str(read_board()),
        }


@dataclass(frozen=True)
class Bar:
    """A check's interval on a track, whose limit stands at the same place for every check.

    Attributes:
        left, width, value, limit: percent of the track.
    """

    left: float
    width: float
    value: float
    limit: float


def write_page(findings: Findings, folder: Path) -> Path:
    """Write ``report.html`` and ``report.json`` into a folder.

    Returns:
        The page.
    """
    write_text(folder / REPORT_JSON, json.dumps(findings.to_dict(), indent=1) + "\n")
    write_text(folder / REPORT_HTML, _html(findings))
    return folder / REPORT_HTML


def bar(check: Check) -> Bar:
    """Where a check's figure and interval lie; for agreement, what is missing to 100%."""
    measured, limit = check.measured, check.limit
    low, value, high = measured.low, measured.value, measured.high
    if check.what == "agreement":
        low, value, high, limit = 100 - high, 100 - value, 100 - low, 100 - limit
    # a limit of nothing would leave no track
    whole = SPAN * limit or max(abs(low), abs(high)) or 1.0
    # from half a span under zero on: int8 may also be better
    places = [_place(each, whole) for each in (low, value, high, limit)]
    return Bar(places[0], max(places[2] - places[0], 0.5), places[1], places[3])


def _by_what(verdict: Verdict) -> list[list[Check]]:
    """The checks of a verdict, those of the same figure together."""
    found: dict[str, list[Check]] = {}
    for check in verdict.checks:
        found.setdefault(check.what, []).append(check)
    return list(found.values())


def _place(value: float, whole: float) -> float:
    return 100 * min(1.0, max(0.0, (value + whole / 2) / (1.5 * whole)))


def _html(findings: Findings) -> str:
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "percent": percent,
        "short": short_name,
        "bar": bar,
        "scopes": lambda verdict: list(dict.fromkeys(check.scope for check in verdict.checks)),
        "by_what": _by_what,
    }
    text = (resources.files("fer_edge.export") / "page.html").read_text(encoding="utf-8")
    reference, int8 = findings.reference, findings.int8
    figures = {
        "recall": plots.recall_plot(reference, int8.whole),
        "confusion": plots.confusion_change_plot(reference, int8.whole),
        "reliability": plots.reliability_plot(findings.reference_reliability, int8.reliability),
        "layers": plots.layers_plot(findings.explanation),
    }
    drawn = {name: Markup(plots.as_svg(figure)) for name, figure in figures.items()}
    return environment.from_string(text).render(
        found=findings,
        plots=drawn,
        machine=str(read_board()),
        runs=RUNS,
        warm_up=WARM_UP,
        worst=findings.explanation.worst_first[:1],
    )
