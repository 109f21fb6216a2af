"""Whether a network's batch norms know the statistics of its training images, and a remedy.

In training a batch norm goes by the mean and variance of the batch at hand; afterwards by averages
that moved along with the weights. After few steps with a high momentum these still hold what they
began with, and a network that was good in training answers at random.

The remedy is precise batch norm (``fer_edge.batch_norm``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import keras
import numpy as np

from fer_edge.batch_norm import BATCH, answers, batch_norms, by_batch, estimate, with_moments
from fer_edge.data.dataset import Dataset
from fer_edge.errors import FerEdgeError
from fer_edge.export.source import Source

LEAST = 64
"""Training images; the statistics of fewer say nothing."""
CHECKED = 1024
"""Training images on which both kinds of statistics are compared."""
ESTIMATED_ON = 4096
"""Training images behind new statistics; the paper finds 1,000 to 10,000 to be enough."""
ALLOWED = 0.02
"""Accuracy that inference may lack against batch statistics before it is worth a word."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class BatchNorms:
    """What was found out about a network's batch norms.

    Attributes:
        images: training images that were asked about.
        inference: accuracy on them with the statistics that the network holds, 0..1.
        batch: the same with those of each batch of ``BATCH``.
        estimated_on: training images behind new statistics; 0 where the network kept its own.
        splits: whose images the next two are accuracies on.
        before, after: with the network's own statistics and with new ones; None where none were
            estimated.
    """

    images: int
    inference: float
    batch: float
    estimated_on: int = 0
    splits: tuple[str, ...] = ()
    before: float | None = None
    after: float | None = None

    @property
    def sound(self) -> bool:
        """Inference is as good as training was."""
        return self.batch - self.inference <= ALLOWED


def check_batch_norms(
    source: Source, *, recalibrate: bool, say: Say
) -> tuple[Source, BatchNorms | None]:
    """Compare a run's network with batch statistics to itself, on training images.

    Args:
        source: the run.
        recalibrate: estimate new statistics where the network's own are off.
        say: told what was found, where it is worth telling.

    Returns:
        The run, its network with new statistics if these were needed and better; and what was
        found, None for a network without batch norms or with too few images to tell.

    Raises:
        FerEdgeError: ``recalibrate`` with fewer than ``LEAST`` training images.
    """
    training = source.dataset.select(source.roles["train"])
    few = len(training) < LEAST
    if not batch_norms(source.network) or (few and not recalibrate):
        if recalibrate:
            say("batch norms: there are none, nothing to recalibrate")
        return source, None
    if few:
        raise FerEdgeError(
            f"--recalibrate-bn has {len(training)} training images, statistics take {LEAST}",
            "train on more, or leave it out",
        )
    # whole batches: a few images have statistics of their own
    count = min(len(training) // BATCH * BATCH or len(training), ESTIMATED_ON)
    drawn = training.subset(np.random.default_rng(0).permutation(len(training))[:count])
    some = drawn.subset(np.arange(min(count, CHECKED)))
    found = BatchNorms(
        len(some), _accuracy(source.network, some), _accuracy(by_batch(source.network), some)
    )
    figures = (
        f"accuracy {found.inference:.1%} in inference, {found.batch:.1%} with batch statistics, on "
        f"{found.images:,} training images"
    )
    if found.sound:
        if recalibrate:
            say(f"batch norms: {figures}; nothing to recalibrate")
        return source, found
    if not recalibrate:
        say(f"warning: batch norms hold other statistics: {figures}; try --recalibrate-bn")
        return source, found
    say(f"batch norms: {figures}; estimating on {len(drawn):,} training images")
    renewed = with_moments(source.network, estimate(source.network, drawn.faces))
    splits = tuple(source.roles.get("validation") or source.roles["train"])
    judged = source.dataset.select(splits)
    before, after = _accuracy(source.network, judged), _accuracy(renewed, judged)
    found = replace(found, splits=splits, before=before, after=after)
    bought = f"accuracy on {', '.join(splits)} {before:.1%} before, {after:.1%} with new statistics"
    if after <= before:
        say(f"batch norms: {bought}; not kept")
        return source, found
    say(f"batch norms: {bought}")
    return replace(source, network=renewed), replace(found, estimated_on=len(drawn))


def _accuracy(network: keras.Model, images: Dataset) -> float:
    said = np.concatenate([answer.argmax(axis=1) for answer in answers(network, images.faces)])
    return float((said == images.targets).mean())
