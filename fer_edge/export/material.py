"""A run made ready to be quantized: folded, and with the images that each step may see."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import keras
import numpy as np

from fer_edge.data.audit import drop_leaks
from fer_edge.export.converters import tflite
from fer_edge.export.judging.budget import Budget
from fer_edge.export.judging.rehearsal import Rehearsal, rehearse
from fer_edge.export.remedies.calibration import calibration_images
from fer_edge.export.remedies.folding import fold_batch_norms
from fer_edge.export.remedies.ranges import AUTO, check_method
from fer_edge.export.source import Source


@dataclass(frozen=True)
class Material:
    """What the remedies work with.

    Attributes:
        folded: the network with its batch norms folded, batch size 1, not equalized.
        batch_norms: how many were folded.
        exact: the float TFLite.
        calibration: (M, 48, 48, 1) uint8.
        training: (N, 48, 48, 1) uint8, all training images.
        rehearsal: the images that remedies are compared on.
        budget: what int8 may lose.
        ranges: one of ``ranges.METHODS``, or ``auto``.

    No image that calibrates, trains or rehearses stands in the test splits as well.
    """

    folded: keras.Model
    batch_norms: int
    exact: bytes
    calibration: np.ndarray
    training: np.ndarray
    rehearsal: Rehearsal
    budget: Budget
    ranges: str


def prepare(
    source: Source,
    budget: Budget,
    *,
    calibration: int,
    balance: bool = True,
    ranges: str = AUTO,
    say: Callable[[str], None] = lambda line: None,
) -> Material:
    """Fold, convert to float, and choose the images to calibrate and to rehearse on.

    Raises:
        FerEdgeError: no such method of ranges, too few images, or a layer cannot be converted.
    """
    check_method(ranges)
    source = _without_twins(source)
    train = source.roles["train"]
    images = calibration_images(source.dataset, train, calibration, balance=balance)
    folded, count = fold_batch_norms(source.network)
    say(f"converting ({count} batch norms folded behind a ReLU)")
    exact = tflite.to_float32(folded)
    return Material(
        folded=folded,
        batch_norms=count,
        exact=exact,
        calibration=images,
        training=source.dataset.select(train).faces[..., None],
        rehearsal=rehearse(source, exact, images),
        budget=budget,
        ranges=ranges,
    )


def _without_twins(source: Source) -> Source:
    """The run without those images of its other splits that the test splits hold, too."""
    left = drop_leaks(source.dataset, source.roles["test"])
    needed = {*source.roles["train"], *(source.roles["validation"] or ())}
    # where a split holds nothing else, all stay
    return replace(source, dataset=left) if needed <= set(left.split_names) else source
