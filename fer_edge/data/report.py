"""What the ``data`` commands print: tables for people, JSON for programs."""

from __future__ import annotations

import json
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fer_edge.data.audit import AuditReport
from fer_edge.data.summary import Summary


def print_summary(summary: Summary, *, as_json: bool = False, **more: Any) -> None:
    """Print counts by split and label; ``more`` are further facts, such as a file's size."""
    if as_json:
        print(json.dumps(summary.to_dict() | more, indent=2))
        return
    # rich would take brackets in names of one's own for markup
    title = f"{escape(summary.name)}: {summary.faces:,} faces"
    table = Table(title=title, title_justify="left")
    table.add_column("label")
    for split in summary.counts:
        table.add_column(escape(split), justify="right")
    several = len(summary.counts) > 1
    if several:
        table.add_column("all", justify="right")
    for label in summary.labels:
        numbers = [counts[label] for counts in summary.counts.values()]
        numbers += [sum(numbers)] if several else []
        table.add_row(escape(label), *(f"{number:,}" for number in numbers))
    table.add_section()
    totals = [sum(counts.values()) for counts in summary.counts.values()]
    totals += [summary.faces] if several else []
    table.add_row("all", *(f"{total:,}" for total in totals))
    console = Console()
    console.print(table)
    console.print(f"fingerprint  {summary.fingerprint}", soft_wrap=True)
    if summary.votes:
        console.print("FER+ votes   joined")
    if summary.skipped:
        console.print(f"left out     {summary.skipped:,} bad rows or pictures")
    for shortcoming in summary.shortcomings:
        console.print(f"[yellow]note:[/] {escape(shortcoming)}", highlight=False, soft_wrap=True)
    for name, value in more.items():
        console.print(f"{name:<12} {escape(str(value))}", soft_wrap=True)


def print_audit(report: AuditReport, *, as_json: bool = False) -> None:
    """Print an audit's findings."""
    if as_json:
        print(json.dumps(report.to_dict(), indent=2))
        return
    title = f"{escape(report.name)}: {report.faces:,} faces"
    table = Table(title=title, title_justify="left")
    table.add_column("finding")
    table.add_column("count", justify="right")
    table.add_row("groups of identical pictures", f"{report.duplicate_groups:,}")
    table.add_row("  faces in them", f"{report.duplicate_faces:,}")
    table.add_row("  groups with contradicting labels", f"{report.conflicting_groups:,}")
    table.add_row("  groups that cross splits", f"{report.groups_across_splits:,}")
    for overlap in report.overlaps:
        first, second = escape(overlap.first), escape(overlap.second)
        table.add_row(f"  groups in {first} and {second}", f"{overlap.groups:,}")
        for one, other, faces in (
            (first, second, overlap.faces_first),
            (second, first, overlap.faces_second),
        ):
            table.add_row(f"    {one} faces also in {other}", f"{faces:,}")
    if report.near_pairs is not None:
        table.add_section()
        table.add_row("pairs of nearly identical pictures", f"{report.near_pairs:,}")
        table.add_row("  across splits", f"{report.near_pairs_across_splits:,}")
        table.add_row("pairs of nearly mirrored pictures", f"{report.mirrored_pairs:,}")
    table.add_section()
    table.add_row("pictures of one gray value", f"{report.constant_faces:,}")
    Console().print(table)
    if report.groups_across_splits:
        Console().print("train --drop-leaks leaves out what validation and test also hold")
