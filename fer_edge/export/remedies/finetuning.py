"""A float network trained a little further with its weights and activations rounded as in int8.

The rounding stands in the forward pass, and the gradient passes straight through it (arXiv
1308.3432), so that the weights move to where rounding hurts less (arXiv 1712.05877). Training
images are answered as the float network answers them: what is learnt is to be the same model in
int8, not to be a better one. Only ``keras.ops``: it runs on any backend.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from fer_edge.export.converters.isolating import step_of
from fer_edge.export.remedies.folding import absorb_batch_norms, chain, is_relu
from fer_edge.export.remedies.ranges import DEFAULT, Observer, Range, visible_logits

STEPS = 300
BATCH = 32
LEARNING_RATE = 1e-4
"""Of Adam, falling to zero as a cosine. Weights have to move by a part of an int8 step only."""

_WEIGHTED = (layers.Conv2D, layers.DepthwiseConv2D, layers.Dense)
_EXACT = (
    layers.Dropout,
    layers.Flatten,
    layers.InputLayer,
    layers.MaxPooling2D,
    layers.Reshape,
    layers.Softmax,
)
"""Their output has been rounded already, or is the answer."""


def fine_tune(
    network: keras.Model,
    images: np.ndarray,
    calibration: np.ndarray,
    *,
    ranges: str = DEFAULT,
    steps: int = STEPS,
    seed: int = 0,
) -> keras.Model:
    """Train a folded network to answer in int8 as it does in float.

    Args:
        network: one chain, as ``fold_batch_norms`` and ``equalize`` give it; unchanged.
        images: (M, 48, 48, 1) uint8 training images.
        calibration: (C, 48, 48, 1) uint8, for the ranges of activations.
        ranges: one of ``ranges.METHODS``.
        steps: of ``BATCH`` images.
        seed: of the order of the images.

    Returns:
        A float network with batch size 1, ready for the converter.
    """
    student = absorb_batch_norms(network)
    # the same network, open to batches
    batched = keras.models.clone_model(student, input_tensors=keras.Input(student.input_shape[1:]))
    batched.set_weights(student.get_weights())
    rng = np.random.default_rng(seed)
    # only as many different images as will be used: each is asked for the float answer once
    drawn = rng.choice(len(images), min(len(images), steps * BATCH), replace=False)
    faces = images[drawn].astype(np.float32)
    answers = batched.predict(faces, batch_size=64, verbose=0)
    rounded = Rounded(batched, activation_ranges(student, calibration, ranges))
    _train(rounded, faces, answers, steps, rng)
    student.set_weights(batched.get_weights())
    return student


class Rounded(keras.Model):
    """A chain of layers that computes as its int8 export would, with gradients.

    Args:
        network: one chain, without batch norms; its weights are shared and trained.
        limits: the range of each layer's output, by name, for the layers that are quantized.
    """

    def __init__(self, network: keras.Model, limits: dict[str, Range]) -> None:
        super().__init__()
        # without dropout: the answers to learn were given without it
        self.steps = [s for s in chain(network) or () if not isinstance(s, layers.Dropout)]
        self._limits = limits

    def call(self, inputs: Any) -> Any:
        """From (N, 48, 48, 1) float32 pixels to (N, classes) probabilities."""
        x = inputs
        for layer in self.steps:
            x = _with_rounded_kernel(layer, x) if type(layer) in _WEIGHTED else layer(x)
            if layer.name in self._limits:
                x = round_activation(x, *self._limits[layer.name])
        return x


def round_weights(kernel: Any, axes: Sequence[int]) -> Any:
    """Symmetric int8 with a scale for each place along the axes that are not reduced."""
    largest = ops.max(ops.abs(kernel), axis=tuple(axes), keepdims=True)
    scale = ops.stop_gradient(ops.maximum(largest, 1e-12) / 127)
    return _straight_through(lambda x: ops.round(x / scale) * scale, kernel)


def round_activation(x: Any, low: float, high: float) -> Any:
    """int8 over a range that holds 0; what lies beyond it is clipped and has no gradient."""
    scale, zero = step_of(low, high)
    clipped = ops.clip(x, (-128 - zero) * scale, (127 - zero) * scale)
    return _straight_through(lambda y: ops.round(y / scale) * scale, clipped)


def activation_ranges(
    network: keras.Model, images: np.ndarray, method: str = DEFAULT
) -> dict[str, Range]:
    """The ranges of the layers whose output an int8 export rounds, by name."""
    steps = chain(network)
    assert steps is not None
    followed = list(zip(steps, [*steps[1:], None], strict=True))
    named = [layer for layer, after in followed if _rounds(layer, after)]
    logits = [layer for layer, after in followed if isinstance(after, layers.Softmax)]
    probe = keras.Model(network.inputs, [layer.output for layer in named])
    observer = Observer(len(images), (method,))
    for image in images.astype(np.float32):
        for layer, values in zip(named, _as_list(probe(image[None], training=False)), strict=True):
            seen = ops.convert_to_numpy(values)
            observer.add(layer.name, visible_logits(seen) if layer in logits else seen)
    return observer.ranges(method)


def _rounds(layer: layers.Layer, after: layers.Layer | None) -> bool:
    # a ReLU is fused into what it follows
    answer = after is None or isinstance(after, layers.Softmax)
    fused = after is not None and is_relu(after)
    softmax = getattr(layer, "activation", None) is keras.activations.softmax
    return not (isinstance(layer, _EXACT) or fused or softmax) or (
        answer and type(layer) in _WEIGHTED and not softmax
    )


def _with_rounded_kernel(layer: layers.Layer, x: Any) -> Any:
    kernel, *bias = layer.trainable_variables
    kept = len(kernel.shape) - (2 if type(layer) is layers.DepthwiseConv2D else 1)
    rounded = round_weights(kernel, range(kept))
    outputs, _ = layer.stateless_call([rounded, *bias], [], x)
    return outputs


def _straight_through(function: Callable[[Any], Any], x: Any) -> Any:
    return x + ops.stop_gradient(function(x) - x)


def _train(
    rounded: Rounded, images: np.ndarray, answers: np.ndarray, steps: int, rng: np.random.Generator
) -> None:
    schedule = keras.optimizers.schedules.CosineDecay(LEARNING_RATE, steps)
    rounded.compile(optimizer=keras.optimizers.Adam(schedule), loss="kl_divergence")
    order = rng.permutation(len(images))
    for step in range(steps):
        batch = np.take(order, np.arange(step * BATCH, (step + 1) * BATCH), mode="wrap")
        rounded.train_on_batch(images[batch], answers[batch])


def _as_list(values: Any) -> list[Any]:
    return list(values) if isinstance(values, list | tuple) else [values]
