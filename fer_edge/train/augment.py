"""Augmentation as Keras layers: part of the training graph, the identity at inference."""

from __future__ import annotations

import keras
from keras import layers

from fer_edge.train.recipe import AugmentTable


def augmentation(table: AugmentTable, seed: int) -> list[keras.layers.Layer]:
    """The layers that a recipe's [augment] table asks for, each with a seed of its own.

    They take and give (N, 48, 48, 1) pixels in 0..255.
    """
    chosen: list[keras.layers.Layer] = []
    edge = {"fill_mode": "nearest", "interpolation": "bilinear"}
    if table.flip:
        chosen.append(layers.RandomFlip("horizontal", seed=seed + 1))
    if table.rotation_degrees:
        chosen.append(layers.RandomRotation(table.rotation_degrees / 360, seed=seed + 2, **edge))
    if table.shift:
        chosen.append(layers.RandomTranslation(table.shift, table.shift, seed=seed + 3, **edge))
    if table.zoom:
        chosen.append(layers.RandomZoom(table.zoom, seed=seed + 4, **edge))
    if table.brightness:
        chosen.append(layers.RandomBrightness(table.brightness, seed=seed + 5))
    if table.contrast:
        chosen.append(layers.RandomContrast(table.contrast, value_range=(0, 255), seed=seed + 6))
    if table.erase:
        chosen.append(
            layers.RandomErasing(scale=(0.02, table.erase), value_range=(0, 255), seed=seed + 7)
        )
    return chosen
