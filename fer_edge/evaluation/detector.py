"""A face detector, in a run folder or a bundle, against frames composed of held-out photos."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fer_edge.bundle import open_bundle
from fer_edge.bundle.golden_frames import MEMBERS
from fer_edge.data.detection.held_out_frames import FRAMES, compose_held_out
from fer_edge.data.detection.photos import load_photos
from fer_edge.data.splits import TEST
from fer_edge.detection.evaluating import measure, print_detection
from fer_edge.detection.measuring import Matches
from fer_edge.detection.network import DetectorNetwork, KerasDetector, TFLiteDetector
from fer_edge.errors import FerEdgeError, require_extra
from fer_edge.plots import save_png
from fer_edge.subject import read_run


def evaluate_detector(
    path: Path,
    data: str | None,
    splits: Sequence[str] = (),
    backgrounds: Sequence[str] | None = None,
    frames: int | None = None,
) -> dict[str, Matches]:
    """Measure every network that a run folder or a bundle holds.

    Args:
        path: a run folder or a bundle, of a detector.
        data: the photos; None takes the run's own.
        splits: held out; none takes the run's own.
        backgrounds: folders of photographs without faces; None takes the run's own, of a bundle
            drawn clutter.
        frames: with faces, and half as many empty ones; None takes as many as the run did.

    Returns:
        By the network's file, what it found.

    Raises:
        FerEdgeError: no photos are named, no such split, or the run holds no network.
    """
    networks, known = _networks(path)
    source = data or known.get("path")
    if source is None:
        raise FerEdgeError("no photos given", "name the face photos with --data PATH")
    frames = frames or int(known.get("held_out", FRAMES))
    held_out = compose_held_out(
        load_photos(source),
        tuple(splits) or tuple(known.get("test", (TEST,))),
        known.get("backgrounds", ()) if backgrounds is None else backgrounds,
        frames=frames,
        empty=frames // 2,
    )
    return {
        name: measure(network, held_out.resized(network.size)) for name, network in networks.items()
    }


def print_detectors(
    found: dict[str, Matches], *, as_json: bool = False, plot: Path | None = None
) -> None:
    """Print each network's figures, and draw its precision over its recall."""
    reports = {name: each.report() for name, each in found.items()}
    if as_json:
        print(json.dumps(reports, indent=2))
    for name, report in reports.items():
        if not as_json:
            print_detection(report, name)
    if plot:
        _plot(found, plot)


def _networks(path: Path) -> tuple[dict[str, DetectorNetwork], dict[str, Any]]:
    if path.is_dir():
        content = read_run(path, unfinished=True)
        require_extra("keras", "train")
        import keras

        network = keras.models.load_model(path / "model.keras", compile=False)
        return {"model.keras": KerasDetector(network)}, content
    bundle = open_bundle(path)
    networks = {name: TFLiteDetector(bundle.read(name), name) for name in MEMBERS}
    return dict(networks), {"test": bundle.manifest.dataset.get("test", [TEST])}


def _plot(found: dict[str, Matches], target: Path) -> None:
    require_extra("matplotlib", "train")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 4), layout="constrained")
    axes = figure.subplots()
    for name, each in found.items():
        _, precision, recall = each.curve()
        axes.plot(recall, precision, label=f"{name}, {each.average_precision():.3f}")
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.01))
    axes.grid(alpha=0.3)
    axes.legend()
    save_png(figure, target)
