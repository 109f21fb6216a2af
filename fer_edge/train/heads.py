"""One backbone with an output for each head, and the single networks that come out of it."""

from __future__ import annotations

import keras
from keras import layers

from fer_edge.errors import FerEdgeError
from fer_edge.train.models import build_model
from fer_edge.train.recipe import Recipe

LOGITS = "logits"
"""The dense layer that every network of the package ends with, before its softmax."""


def build_network(recipe: Recipe, classes: int) -> keras.Model:
    """The network that a recipe trains, in the dtype policy that holds.

    Returns:
        From (N, 48, 48, 1) pixels to (N, classes) probabilities; with H heads to
        (N, H, classes).
    """
    network = build_model(recipe.model.name, classes, recipe.model.options)
    heads = len(recipe.targets.heads)
    if not heads:
        return network
    features = logits_of(network).input
    x = layers.Dense(heads * classes, name=LOGITS)(features)
    x = layers.Reshape((heads, classes), name="heads")(x)
    x = layers.Softmax(dtype="float32", name="probabilities")(x)
    return keras.Model(network.inputs[0], x, name=network.name)


def single_networks(network: keras.Model, recipe: Recipe, classes: int) -> dict[str, keras.Model]:
    """The network of each head by its name, as the recipe's builder makes it.

    Args:
        network: float32, as ``build_network`` gives it.
        recipe: that it was built by.
        classes: of each head.

    Returns:
        In the recipe's order, the default first. A network without heads is the only one, under
        the name "".
    """
    heads = recipe.targets.heads
    if not heads:
        return {"": network}
    *backbone, kernel, bias = network.get_weights()
    found = {}
    for number, head in enumerate(heads):
        own = slice(number * classes, (number + 1) * classes)
        single = build_model(recipe.model.name, classes, recipe.model.options)
        single.set_weights([*backbone, kernel[:, own], bias[own]])
        found[str(head)] = single
    return found


def logits_of(network: keras.Model) -> layers.Dense:
    """The network's last dense layer.

    Raises:
        FerEdgeError: it does not end with one of this name and a softmax.
    """
    for layer in network.layers:
        if layer.name == LOGITS and isinstance(layer, layers.Dense):
            return layer
    raise FerEdgeError(
        f"the network '{network.name}' has no dense layer called '{LOGITS}'",
        "build it as the networks of fer_edge.train.models are: Dense 'logits', then a Softmax",
    )


@keras.saving.register_keras_serializable(package="fer_edge")
class HeadAccuracy(keras.metrics.CategoricalAccuracy):
    """Accuracy of one of several heads, against its own targets.

    Args:
        head: number of the head.
        name: of the metric.
    """

    def __init__(self, head: int, name: str = "accuracy", dtype: str | None = None) -> None:
        super().__init__(name=name, dtype=dtype)
        self.head = head

    def update_state(self, y_true: object, y_pred: object, sample_weight: object = None) -> None:
        super().update_state(y_true[:, self.head], y_pred[:, self.head])  # type: ignore[index]

    def get_config(self) -> dict[str, object]:
        return {"head": self.head, "name": self.name, "dtype": self.dtype}
