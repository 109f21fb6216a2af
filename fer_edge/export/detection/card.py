"""The model card of a detector: what it is for, how well it finds faces, where it is weak."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fer_edge import bundle
from fer_edge.detection import RELIABLE
from fer_edge.detection.evaluating import number


def model_card(name: str, photos: str, figures: Mapping[str, Any]) -> str:
    """Markdown for people.

    Args:
        name: of the recipe.
        photos: what those that it learned from are called.
        figures: of each member, as ``Judged.to_dict`` gives them.
    """
    largest = figures[bundle.INT8_TFLITE]
    grouped, threshold, table = _grouped(largest)
    return "\n".join(
        [
            f"# {name}",
            "",
            "A face detector for gray frames, made to find faces for a camera that reacts to them. "
            "It",
            "gives boxes, scores and five landmarks: eyes, nose, corners of the mouth. Not made to",
            "identify or to count people for decisions about them.",
            "",
            f"It was taught the boxes that another detector gave on photos ({photos}), placed",
            "into composed frames; it inherits that one's mistakes. The photos were divided by "
            "name; what",
            "follows is of frames composed of photos that training did not have.",
            "",
            "| file | frame | size | threshold | recall | "
            "false positives a frame: with faces, empty |",
            "|---|---|---|---|---|---|",
            *(_as_it_ships(member, each) for member, each in figures.items()),
            "",
            "Both see the same frames, the smaller one at half the size. The threshold is the "
            "score from",
            "which a detection counts on a device; validation frames gave it. Detectors are "
            "compared by recall",
            f"at {largest['int8']['false_positives']['wanted']:g} false positives a frame, at the "
            "threshold that gives these frames so many:",
            "",
            f"| frame | threshold | recall | from {RELIABLE} pixels on |",
            "|---|---|---|---|",
            *(_to_compare(each) for each in figures.values()),
            "",
            f"Recall at {_frame(largest)} and {threshold:.3f}, the threshold of the {table} table, "
            "by the face's",
            "height in pixels, and by its mean gray value, which is all that can be told of light",
            "and skin here:",
            "",
            *_table("pixels", grouped["recall_by_height"]),
            "",
            *_table("gray", grouped["recall_by_light"]),
            "",
            "Weak: profiles, faces under 24 pixels, covered mouths, heads tilted by more than 25°,",
            "whatever the photos lack.",
            "",
        ]
    )


def _grouped(figures: Mapping[str, Any]) -> tuple[Mapping[str, Any], float, str]:
    """The figures that have recall by height and light, of which threshold, and in which table.

    Earlier exports have them at the threshold of the second table alone.
    """
    if "recall_by_height" in figures["at_min_score"]:
        return figures["at_min_score"], figures["min_score"], "first"
    return figures["int8"], figures["int8"]["threshold"], "second"


def _as_it_ships(member: str, figures: Mapping[str, Any]) -> str:
    found = figures["at_min_score"]
    wrong = ", ".join(map(number, found["false_positives"]))
    return (
        f"| `{member}` | {_frame(figures)} | {figures['bytes'] / 1000:.0f} kB | "
        f"{figures['min_score']:.3f} | {found['recall']:.1%} | {wrong} |"
    )


def _to_compare(figures: Mapping[str, Any]) -> str:
    found = figures["int8"]
    return (
        f"| {_frame(figures)} | {found['threshold']:.3f} | {found['recall']['value']:.1%} | "
        f"{_share_of_large(found)} |"
    )


def _frame(figures: Mapping[str, Any]) -> str:
    columns, rows = figures["size"]
    return f"{columns}×{rows}"


def _share_of_large(found: Mapping[str, Any]) -> str:
    groups = [group for group in found["recall_by_height"] if group["from"] >= RELIABLE]
    faces = sum(group["faces"] for group in groups)
    if not faces:
        return "–"
    return f"{sum(group['recall'] * group['faces'] for group in groups) / faces:.1%}"


def _table(unit: str, groups: list[dict[str, Any]]) -> list[str]:
    return [
        f"| {unit} | faces | recall |",
        "|---|---|---|",
        *(
            f"| {group['from']}–{group['to']} | {group['faces']:,} | {group['recall']:.1%} |"
            for group in groups
        ),
    ]
