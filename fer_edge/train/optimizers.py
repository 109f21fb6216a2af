"""The optimizer that a recipe's [fit] asks for, and how its learning rate moves."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import keras
from keras import ops

from fer_edge.train.recipe import FitTable


def optimizer_of(table: FitTable, steps: int) -> keras.optimizers.Optimizer:
    """The recipe's optimizer, its schedule over the recipe's epochs of so many ``steps``."""
    # AdamW takes no None
    none = 0.0 if table.optimizer == "adamw" else None
    options: dict[str, Any] = {"weight_decay": table.weight_decay or none}
    if table.ema:
        options |= {"use_ema": True, "ema_momentum": table.ema}
    rate = _learning_rate(table, steps)
    if table.optimizer == "sgd":
        return keras.optimizers.SGD(rate, momentum=table.momentum, nesterov=True, **options)
    kind = {"adam": keras.optimizers.Adam, "adamw": keras.optimizers.AdamW}[table.optimizer]
    return kind(rate, **options)


def _learning_rate(
    table: FitTable, steps: int
) -> float | keras.optimizers.schedules.LearningRateSchedule:
    warmup = round(table.warmup_epochs * steps)
    restarts = [epoch for epoch in table.restarts if epoch < table.epochs]
    if restarts:
        ends = [epoch * steps for epoch in (*restarts, table.epochs)]
        return CosineCycles(table.learning_rate, warmup, ends)
    if table.schedule == "constant" and not warmup:
        return table.learning_rate
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0 if warmup else table.learning_rate,
        decay_steps=max(table.epochs * steps - warmup, 1),
        alpha=0.0 if table.schedule == "cosine" else 1.0,
        warmup_target=table.learning_rate if warmup else None,
        warmup_steps=warmup,
    )


@keras.saving.register_keras_serializable(package="fer_edge")
class CosineCycles(keras.optimizers.schedules.LearningRateSchedule):
    """Falls to zero along half a cosine again and again, each time from the same learning rate.

    Warm restarts, as in SGDR (Loshchilov and Hutter 2017), with cycles of any lengths.

    Args:
        learning_rate: that each cycle falls from.
        warmup_steps: over which the first one is reached, in a line from zero.
        ends: the steps at which the cycles end, in ascending order, the first behind the warm-up.
    """

    def __init__(self, learning_rate: float, warmup_steps: int, ends: list[int]) -> None:
        super().__init__()
        self.learning_rate, self.warmup_steps, self.ends = learning_rate, warmup_steps, list(ends)

    def __call__(self, step: Any) -> Any:
        """The learning rate of a step, counted from 0; zero behind the last cycle."""
        step = ops.cast(step, "float32")
        rate = self.learning_rate * step / max(self.warmup_steps, 1)
        for start, end in pairwise((self.warmup_steps, *self.ends)):
            done = ops.clip((step - start) / (end - start), 0.0, 1.0)
            fall = self.learning_rate * 0.5 * (1.0 + ops.cos(done * math.pi))
            rate = ops.where(step < start, rate, fall)
        return rate

    def get_config(self) -> dict[str, Any]:
        """What ``from_config`` needs."""
        return {
            "learning_rate": self.learning_rate,
            "warmup_steps": self.warmup_steps,
            "ends": self.ends,
        }
