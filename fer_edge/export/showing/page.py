"""An export as a page to show to others: what was measured, by which limit, and where it hurts.

One HTML file with everything in it, and the same figures as JSON.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import jinja2
from markupsafe import Markup

from fer_edge.board import read_board
from fer_edge.data.division import describe_division
from fer_edge.evaluation.metrics import percent
from fer_edge.export.converters.tflite_graph import short_name
from fer_edge.export.findings import Findings
from fer_edge.export.judging.gate import Check, Verdict
from fer_edge.export.judging.layers import CLIP_IMAGES, Explanation
from fer_edge.export.judging.timing import RUNS, WARM_UP
from fer_edge.export.showing import plots
from fer_edge.export.showing.model_card import intervals
from fer_edge.export.showing.report import copies, instructions, unchecked
from fer_edge.export.targets import advise
from fer_edge.files import json_text, write_text

REPORT_HTML, REPORT_JSON = "report.html", "report.json"
SPAN = 1.6
"""Times the limit: as far as the bar of a check reaches."""


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


def write_page(found: Findings, layers: Explanation, folder: Path) -> Path:
    """Write ``report.html`` and ``report.json`` into a folder.

    Args:
        found: what the export measured.
        layers: what int8 costs in each.
        folder: made if need be.

    Returns:
        The page.
    """
    machine = str(read_board())
    content = found.to_dict() | {"layers": layers.to_dict(), "machine": machine}
    write_text(folder / REPORT_JSON, json_text(content, indent=1) + "\n")
    write_text(folder / REPORT_HTML, _html(found, layers, machine))
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


def _html(found: Findings, layers: Explanation, machine: str) -> str:
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "percent": percent,
        "short": short_name,
        "bar": bar,
        "scopes": lambda verdict: list(dict.fromkeys(check.scope for check in verdict.checks)),
        "by_what": _by_what,
        "unchecked": unchecked,
    }
    text = (resources.files("fer_edge.export.showing") / "page.html").read_text(encoding="utf-8")
    reference, int8 = found.reference_own, found.int8
    figures = {
        "recall": plots.recall_plot(reference, int8.own),
        "confusion": plots.confusion_change_plot(reference, int8.own),
        "reliability": plots.reliability_plot(found.reference_reliability, int8.reliability),
        "layers": plots.layers_plot(layers),
    }
    drawn = {name: Markup(plots.as_svg(figure)) for name, figure in figures.items()}
    return environment.from_string(text).render(
        found=found,
        layers=layers,
        plots=drawn,
        machine=machine,
        division=describe_division(found.dataset),
        copies=copies(found),
        partly=bool(found.copies and found.reference_unleaked),
        intervals=intervals(found),
        instructions=instructions(found),
        advice=advise(found.target),
        runs=RUNS,
        warm_up=WARM_UP,
        clip_images=min(CLIP_IMAGES, layers.images),
        worst=layers.worst_first[:1],
    )
