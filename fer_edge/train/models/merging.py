"""A block of a convolution and a batch norm, or of branches, merged into one convolution, exactly.

A branch is a convolution with its batch norm, a convolution alone, or the block's input. At
inference each is linear and adds to the same sum, so the kernels add up, and the batch norm behind
the sum scales them all.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers

MAIN, BRANCH_1, SUM = "_main", "_1x1", "_sum"
"""How the layers of block ``NAME`` are called: ``NAME_main``, ``NAME_main_bn`` and, where it has
branches, ``NAME_sum_bn`` and so on; what a 1×1 branch with a stride reads is picked by
``NAME_1x1_picked``."""


def merged(network: keras.Model) -> keras.Model:
    """The network with one convolution in place of each block, batch norms and branches included.

    Args:
        network: one chain but for the branches of its blocks, as ``edge`` builds it: a scale of
            the pixels, then a block. Unchanged.

    Returns:
        A network that computes the same function at inference, under the same name, the scale of
        the pixels merged into the first block; ``network`` itself where there are no blocks.
    """
    by_name = {layer.name: layer for layer in network.layers}
    blocks = [name.removesuffix(MAIN) for name in by_name if name.endswith(MAIN)]
    if not blocks:
        return network
    parts = {
        f"{block}{part}{norm}": block
        for block in blocks
        for part in (MAIN, BRANCH_1, SUM)
        for norm in ("", "_bn", "_picked")
    }
    x = inputs = keras.Input(network.input_shape[1:], name=network.inputs[0].name)
    weights: list[np.ndarray] = []
    scale = 1.0
    for layer in network.layers:
        if isinstance(layer, layers.InputLayer):
            continue
        if isinstance(layer, layers.Rescaling) and not layer.offset:
            scale *= layer.scale
            continue
        if block := parts.get(layer.name):
            if layer is not _last(by_name, block):
                continue
            single, added = _one_convolution(by_name, block)
            added[0] *= scale
            scale = 1.0
        else:
            single, added = type(layer).from_config(layer.get_config()), layer.get_weights()
        x = single(x)
        weights += added
    result = keras.Model(inputs, x, name=network.name)
    result.set_weights(weights)
    return result


def _last(by_name: dict[str, layers.Layer], block: str) -> layers.Layer:
    """The batch norm that a block ends with."""
    return by_name.get(f"{block}{SUM}_bn") or by_name[f"{block}{MAIN}_bn"]


def _one_convolution(
    by_name: dict[str, layers.Layer], block: str
) -> tuple[layers.Layer, list[np.ndarray]]:
    main = by_name[f"{block}{MAIN}"]
    depthwise = isinstance(main, layers.DepthwiseConv2D)
    kernel, bias = _folded(main.get_weights()[0], by_name[f"{block}{MAIN}_bn"], depthwise)
    row, column = (_offset(main, axis) for axis in (0, 1))
    if small := by_name.get(f"{block}{BRANCH_1}"):
        kernel[row, column] += small.get_weights()[0][0, 0]
    if joined := by_name.get(f"{block}{SUM}"):
        if any(part is main.input for part in joined.input):
            size = main.input.shape[-1]
            kernel[row, column] += np.ones((size, 1)) if depthwise else np.eye(size)
        norm = by_name[f"{joined.name}_bn"]
        kernel, shift = _folded(kernel, norm, depthwise)
        bias = bias * _scale(norm) + shift
    config: dict[str, Any] = {**main.get_config(), "name": block, "use_bias": True}
    return type(main).from_config(config), [kernel.astype(np.float32), bias.astype(np.float32)]


def _offset(conv: layers.Layer, axis: int) -> int:
    """Where in the kernel the pixel lies that a 1×1 convolution of the same stride reads.

    The border of 'same' is as even as it can be, with the larger half behind: a stride of 2 over an
    even side puts nothing in front.
    """
    side, outputs = conv.input.shape[1 + axis], conv.output.shape[1 + axis]
    size, stride = conv.kernel_size[axis], conv.strides[axis]
    return int(max((outputs - 1) * stride + size - side, 0) // 2)


def _folded(
    kernel: np.ndarray, norm: layers.BatchNormalization, depthwise: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Kernel and bias, float64, of a kernel without bias and the batch norm behind it."""
    beta, mean = (np.asarray(each, np.float64) for each in (norm.beta, norm.moving_mean))
    scale = _scale(norm)
    # a depthwise kernel is (rows, columns, channels, 1)
    by_output = scale[:, None] if depthwise else scale
    return kernel.astype(np.float64) * by_output, beta - mean * scale


def _scale(norm: layers.BatchNormalization) -> np.ndarray:
    gamma, variance = (np.asarray(each, np.float64) for each in (norm.gamma, norm.moving_variance))
    return gamma / np.sqrt(variance + norm.epsilon)
