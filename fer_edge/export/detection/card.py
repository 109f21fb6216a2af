"""The model card of a detector: what it is for, how well it finds faces, where it is weak."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fer_edge import bundle
from fer_edge.detection import RELIABLE
from fer_edge.export.detection.source import DetectorSource


def model_card(source: DetectorSource, figures: Mapping[str, Any]) -> str:
    """Markdown for people.

    Args:
        source: the run.
        figures: of each member, as ``Judged.to_dict`` gives them.
    """
    rows = []
    for member, each in figures.items():
        found = each["int8"]
        rows.append(
            f"| `{member}` | {each['size'][0]}×{each['size'][1]} | {each['bytes'] / 1000:.0f} kB | "
            f"{found['recall']['value']:.1%} | {_share_of_large(found)} | "
            f"{found['false_positives']['wanted']:g} | {each['min_score']:.2f} |"
        )
    largest = figures[bundle.INT8_TFLITE]
    return "\n".join(
        [
            f"# {source.name}",
            "",
            "A face detector for gray frames, made to find faces for a camera that reacts to them. "
            "It",
            "gives boxes, scores and five landmarks: eyes, nose, corners of the mouth. Not made to",
            "identify or to count people for decisions about them.",
            "",
            "It was taught the boxes that another detector gave on photos "
            f"({source.content['name']}), placed",
            "into composed frames; it inherits that one's mistakes. The photos were divided by "
            "name; what",
            "follows is of frames composed of photos that training did not have.",
            "",
            f"| file | frame | size | recall | from {RELIABLE} pixels on | "
            "false positives a frame | threshold |",
            "|---|---|---|---|---|---|---|",
            *rows,
            "",
            "Both see the same frames, the smaller one at half the size. Recall at "
            f"{largest['size'][0]}×{largest['size'][1]} by the",
            "face's height in pixels, and by its mean gray value, which is all that can be told of "
            "light",
            "and skin here:",
            "",
            *_table("pixels", largest["int8"]["recall_by_height"]),
            "",
            *_table("gray", largest["int8"]["recall_by_light"]),
            "",
            "Weak: profiles, faces under 24 pixels, covered mouths, heads tilted by more than 25°,",
            "whatever the photos lack.",
            "",
        ]
    )


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
