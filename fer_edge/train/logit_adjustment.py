"""Post-hoc logit adjustment (Menon et al. 2021, arXiv 2007.07314, section 4.1), by chosen amounts.

Which of two similar expressions a doubtful face is called decides which of them is found: fear
loses to sad and surprise. A constant on its logit finds more of it at the same accuracy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import keras

from fer_edge.errors import FerEdgeError, nearest
from fer_edge.train.consistency import NO_ADJUSTMENT
from fer_edge.train.heads import logits_of
from fer_edge.train.recipe import FitTable


def amounts_of(table: FitTable, head: str) -> dict[str, float]:
    """What is added to a head's logits, by class; of a network without heads it is called ""."""
    return dict(table.logit_adjustment.get(head or "fer2013", {}))  # type: ignore[call-overload]


def check_classes(table: FitTable, labels: Sequence[str]) -> None:
    """Raise FerEdgeError where a class is adjusted that the dataset does not have."""
    for amounts in table.logit_adjustment.values():
        for name in amounts:
            if name not in labels:
                raise FerEdgeError(
                    f"fit.logit_adjustment names '{name}', and the classes are {', '.join(labels)}",
                    f"{nearest(name, labels)} or {NO_ADJUSTMENT}".removeprefix(" or "),
                )


def adjust_logits(
    network: keras.Model, amounts: Mapping[str, float], labels: Sequence[str]
) -> None:
    """Add a constant to the logits of some classes, in place, in the last layer's bias.

    Args:
        network: ends with Dense "logits" and a softmax.
        amounts: by class; in nats, a class at 0.4 is 1.5 times as likely against the others.
        labels: of the outputs, in order.
    """
    kernel, bias = logits_of(network).get_weights()
    for name, amount in amounts.items():
        bias[labels.index(name)] += amount
    logits_of(network).set_weights([kernel, bias])
