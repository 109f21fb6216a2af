"""The networks, a file each; a recipe's ``model.name`` is a key of ``BUILDERS``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from fer_edge.errors import FerEdgeError, nearest
from fer_edge.train.models.baselines import mini_xception, mobilenet
from fer_edge.train.models.compact import compact
from fer_edge.train.models.edge import edge
from fer_edge.train.models.kumar import kumar
from fer_edge.train.models.kusno import kusno
from fer_edge.train.models.mondal import mondal_deep, mondal_shallow
from fer_edge.train.models.options import built, check
from fer_edge.train.models.pretrained import pretrained
from fer_edge.train.models.triwijoyo import triwijoyo

BUILDERS: dict[str, Callable[..., keras.Model]] = {
    "compact": compact,
    "edge": edge,
    "kumar": kumar,
    "kusno": kusno,
    "mini_xception": mini_xception,
    "mobilenet": mobilenet,
    "mondal_deep": mondal_deep,
    "mondal_shallow": mondal_shallow,
    "triwijoyo": triwijoyo,
}


def check_options(name: str, options: dict[str, Any]) -> None:
    """Hold a recipe's options against those of the network called ``name``.

    Raises:
        FerEdgeError: no such network, an option that its builder does not take, or a value of
            another type or out of range.
    """
    builders = BUILDERS | {"pretrained": pretrained}
    if name not in builders:
        raise FerEdgeError(
            f"recipe: no model '{name}'", nearest(name, builders) or f"known: {', '.join(builders)}"
        )
    check(builders[name], name, options, given="classes")


def build_model(name: str, classes: int, options: dict[str, Any]) -> keras.Model:
    """Build the network called ``name`` for so many classes, with a recipe's options.

    ``pretrained`` is a finished one from a file.

    Raises:
        FerEdgeError: as ``check_options``, or the network cannot be built.
    """
    check_options(name, options)
    builder = (BUILDERS | {"pretrained": pretrained})[name]
    return built(builder, name, classes=classes, **options)
