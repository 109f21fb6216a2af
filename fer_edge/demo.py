"""The whole pipeline, small: drawn faces → training → int8 through the gate → a drawn clip."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from fer_edge.chatter import import_keras
from fer_edge.errors import FerEdgeError, require_extra
from fer_edge.files import atomic_path, write_text
from fer_edge.shipped import default_model

if TYPE_CHECKING:
    from fer_edge.data.clip import DrawnFace

MARK = ".fer-edge-demo"
"""A folder that holds it is replaced by the next demo."""
NEEDS = ("tensorflow", "tf2onnx", "onnxruntime", "ai_edge_litert", "cv2")


def run_demo(folder: Path) -> None:
    """Train on the built-in set, export through the gate, run over a rendered clip.

    Args:
        folder: for everything that is made; a demo's folder is replaced.

    Raises:
        FerEdgeError: the folder holds something else, or an extra is missing.
    """
    for module in NEEDS:
        require_extra(module, "all")
    _clear(folder)
    console = Console()
    import_keras()
    from fer_edge.data import load_dataset
    from fer_edge.data.clip import render_clip
    from fer_edge.data.summary import write_contact_sheet
    from fer_edge.export.exporter import export
    from fer_edge.export.judging.budget import Budget
    from fer_edge.export.showing.report import print_export
    from fer_edge.train.report import print_run
    from fer_edge.train.run import train

    console.rule("1  drawn faces")
    sheet = folder / "faces.png"
    write_contact_sheet(load_dataset("synthetic"), sheet)
    console.print(f"the built-in set, a sample in {sheet}", highlight=False)
    console.rule("2  training")
    trained = train("demo", "synthetic", output=folder / "run", devices="1")
    print_run(trained)
    if trained.interrupted:
        raise KeyboardInterrupt
    console.rule("3  export to int8, through the gate")
    exported = export(trained.folder, budget=Budget(), output=folder)
    print_export(exported)
    console.rule("4  a drawn clip, on the device's path")
    clip, annotated = folder / "clip.mp4", folder / "annotated.mp4"
    truth = render_clip(clip)
    events = _run(exported.bundle, clip, folder / "events.jsonl", "--save", str(annotated))
    console.print(_agreement(events, truth), highlight=False)
    if (shipped := default_model()) is not None:
        console.rule(
            f"5  the same clip, and {shipped.stem}, which ships and never saw a drawn face"
        )
        events = _run(shipped, clip, folder / f"{shipped.stem}.jsonl")
        console.print(_agreement(events, truth), highlight=False)
    console.rule("made")
    pictures = (sheet, trained.folder / "curves.png", trained.folder / "confusion.png")
    for path in (*pictures, clip, annotated, exported.bundle):
        console.print(str(path), highlight=False)


def _run(bundle: Path, clip: Path, target: Path, *options: str) -> list[dict[str, Any]]:
    """``fer-edge run`` as a user would start it: its memory and latency are its own."""
    command = [sys.executable, "-m", "fer_edge", "run", str(bundle), "--video", str(clip)]
    with atomic_path(target) as temporary, temporary.open("w") as stream:
        done = subprocess.run([*command, *options, "--json"], stdout=stream)
    if done.returncode:
        raise FerEdgeError("fer-edge run failed on the demo's clip", "see the message above")
    return [json.loads(line) for line in target.read_text().splitlines()]


def _agreement(events: list[dict[str, Any]], truth: list[tuple[DrawnFace, ...]]) -> str:
    """How many faces were named as they were drawn."""
    named = faces = 0
    for event in events:
        if "summary" in event or "event" in event:
            continue
        x, y, width, height = event["box"]
        for face in truth[event["frame"]]:
            left, top, side, tall = face.box
            inside = left < x + width / 2 < left + side and top < y + height / 2 < top + tall
            if inside and face.settled:
                faces += 1
                named += event["label"] == face.expression
    return (
        f"of {faces} found faces whose expression had settled, {named} "
        f"({named / max(faces, 1):.0%}) were named as drawn"
    )


def _clear(folder: Path) -> None:
    """Make an empty folder that bears the demo's mark, in place of an earlier demo's."""
    if folder.exists():
        if not folder.is_dir() or (any(folder.iterdir()) and not (folder / MARK).exists()):
            raise FerEdgeError(
                f"{folder} holds something else than a demo", "name another folder with -o"
            )
        shutil.rmtree(folder)
    write_text(folder / MARK, "fer-edge demo replaces this folder\n")
