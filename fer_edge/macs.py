"""What one inference of a network takes, counted."""

from __future__ import annotations

import math

import keras


def multiply_accumulates(network: keras.Model) -> int:
    """Of one inference: kernel size × outputs of each convolution and dense layer.

    A network within the network counts with all of its layers.
    """
    total = 0
    for layer in network.layers:
        if isinstance(layer, keras.Model):
            total += multiply_accumulates(layer)
        elif isinstance(layer, keras.layers.DepthwiseConv2D):
            total += math.prod(layer.output.shape[1:]) * math.prod(layer.kernel.shape[:2])
        elif isinstance(layer, keras.layers.Conv2D):
            total += math.prod(layer.output.shape[1:3]) * math.prod(layer.kernel.shape)
        elif isinstance(layer, keras.layers.Dense):
            total += math.prod(layer.kernel.shape)
    return total
