"""A detector of any kind against composed frames or others with a known truth."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from fer_edge.detection.measuring import LEAST_SCORE, Matches, Truth, match
from fer_edge.detection.network import DetectorNetwork


class Frames(Protocol):
    """Frames with faces, then empty ones; see ``fer_edge.data.detection.held_out_frames``."""

    @property
    def frames(self) -> Sequence[np.ndarray]: ...
    @property
    def truths(self) -> Sequence[Truth | None]: ...


def measure(network: DetectorNetwork, frames: Frames) -> Matches:
    """Ask a detector about every frame, and match its answers with the truth."""
    found = network.find_all(frames.frames, LEAST_SCORE)
    return match(found, frames.truths, frames.frames)


def print_detection(report: dict[str, Any], title: str, *, as_json: bool = False) -> None:
    """Print the figures of ``Matches.report``."""
    from rich.console import Console
    from rich.table import Table

    if as_json:
        print(json.dumps(report, indent=2))
        return
    table = Table(title=title, title_justify="left", show_header=False)
    table.add_column("")
    table.add_column("", justify="right")
    recall, wrong, error = (report[k] for k in ("recall", "false_positives", "landmark_error"))
    table.add_row("frames, and empty ones", f"{report['frames']:,} + {report['empty_frames']:,}")
    table.add_row("faces", f"{report['faces']:,}")
    interval = f"{recall['low']:.1%} – {recall['high']:.1%}"
    table.add_row("recall", f"{recall['value']:.1%} ({interval})")
    table.add_row("at the score", f"{report['threshold']:.3f}")
    table.add_row("false positives a frame", number(wrong["with_faces"]))
    table.add_row("an empty frame", number(wrong["empty"]))
    table.add_row("average precision", f"{report['average_precision']:.3f}")
    table.add_row(
        "landmarks off, in eye distances", f"{number(error['p50'])}, p90 {number(error['p90'])}"
    )
    for key, what in (("recall_by_height", "pixels high"), ("recall_by_light", "gray")):
        table.add_section()
        for group in report[key]:
            name = f"recall, {group['from']} to {group['to']} {what}"
            table.add_row(name, f"{group['recall']:.1%} of {group['faces']:,}")
    Console().print(table)


def number(value: float | None) -> str:
    """To three digits, or a dash where there is none."""
    return "–" if value is None else f"{value:.3f}"
