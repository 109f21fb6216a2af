"""Parallel branches of a block merged into one convolution, exactly.

A branch is a convolution without bias and its batch norm, or a batch norm alone on the block's
input. At inference each is linear and adds to the same sum, so the kernels and the biases add up.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers

BRANCH_3, BRANCH_1, BRANCH_SKIP, SUM = "_main", "_1x1", "_skip", "_sum"
"""How the layers of block ``NAME`` are called: ``NAME_main``, ``NAME_main_bn`` and so on; what a
1×1 branch with a stride reads is picked by ``NAME_1x1_picked``."""


def merged(network: keras.Model) -> keras.Model:
    """The network with a convolution in place of each block of branches.

    Args:
        network: one chain but for blocks of branches, as ``edge`` builds it: a scale of the pixels,
            then a block. Unchanged.

    Returns:
        A network that computes the same function at inference, under the same name, the scale of
        the pixels merged into the first block; ``network`` itself where nothing branches.
    """
    by_name = {layer.name: layer for layer in network.layers}
    ends = [name.removesuffix(SUM) for name in by_name if name.endswith(SUM)]
    blocks = [block for block in ends if f"{block}{BRANCH_3}" in by_name]
    if not blocks:
        return network
    inside = {
        f"{block}{branch}{norm}"
        for block in blocks
        for branch in (BRANCH_3, BRANCH_1, BRANCH_SKIP)
        for norm in ("", "_bn", "_picked")
    }
    x = inputs = keras.Input(network.input_shape[1:], name=network.inputs[0].name)
    weights: list[np.ndarray] = []
    scale = 1.0
    for layer in network.layers:
        if isinstance(layer, layers.InputLayer) or layer.name in inside:
            continue
        if isinstance(layer, layers.Rescaling) and not layer.offset:
            scale *= layer.scale
            continue
        if layer.name.removesuffix(SUM) in blocks:
            single, added = _one_convolution(by_name, layer.name.removesuffix(SUM))
            added[0] *= scale
            scale = 1.0
        else:
            single, added = type(layer).from_config(layer.get_config()), layer.get_weights()
        x = single(x)
        weights += added
    result = keras.Model(inputs, x, name=network.name)
    result.set_weights(weights)
    return result


def _one_convolution(
    by_name: dict[str, layers.Layer], block: str
) -> tuple[layers.Layer, list[np.ndarray]]:
    main = by_name[f"{block}{BRANCH_3}"]
    depthwise = isinstance(main, layers.DepthwiseConv2D)
    kernel, bias = _folded(main.get_weights()[0], by_name[f"{block}{BRANCH_3}_bn"], depthwise)
    row, column = (_offset(main, axis) for axis in (0, 1))
    if small := by_name.get(f"{block}{BRANCH_1}"):
        point, more = _folded(small.get_weights()[0], by_name[f"{small.name}_bn"], depthwise)
        kernel[row, column] += point[0, 0]
        bias += more
    if skip := by_name.get(f"{block}{BRANCH_SKIP}_bn"):
        size = main.input.shape[-1]
        identity = np.ones((1, 1, size, 1)) if depthwise else np.eye(size)[None, None]
        point, more = _folded(identity, skip, depthwise)
        kernel[row, column] += point[0, 0]
        bias += more
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
    """Kernel and bias, float64, of a convolution with its batch norm."""
    gamma, beta, mean, variance = (w.astype(np.float64) for w in norm.get_weights())
    scale = gamma / np.sqrt(variance + norm.epsilon)
    # a depthwise kernel is (rows, columns, channels, 1)
    by_output = scale[:, None] if depthwise else scale
    return kernel.astype(np.float64) * by_output, beta - mean * scale
