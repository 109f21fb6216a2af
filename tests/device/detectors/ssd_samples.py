"""Two tiny detectors of bright squares, with the outputs that real ones have."""

from __future__ import annotations

import tempfile
from typing import Any

import numpy as np

from fer_edge.chatter import silenced_stderr

SIDE = 128
"""Pixels along a side of the networks' input."""


def post_processing_detector() -> bytes:
    """A grid of 16×16 boxes of 16 pixels, scored by brightness, through TFLite's own operator."""
    import tensorflow as tf

    cells = SIDE // 16
    middle = (np.arange(cells) + 0.5) / cells
    y, x = np.meshgrid(middle, middle, indexing="ij")
    size = np.full(cells * cells, 1 / cells)
    anchors = np.stack([y.ravel(), x.ravel(), size, size], axis=1).astype(np.float32)
    settings: dict[str, Any] = {
        "max_detections": 10,
        "max_classes_per_detection": 1,
        "use_regular_nms": False,
        "nms_score_threshold": 0.3,
        "nms_iou_threshold": 0.3,
        "num_classes": 1,
    } | {f"{name}_scale": 10.0 for name in "yxhw"}
    kinds = {bool: "b", int: "i", float: "f"}
    written = " ".join(
        f'attr {{ key: "{name}" value {{ {kinds[type(value)]}: {str(value).lower()} }} }}'
        for name, value in settings.items()
    )

    @tf.function(experimental_implements=f'name: "TFLite_Detection_PostProcess" {written}')
    def post_process(boxes, scores, anchors):
        return tf.zeros((1, 10, 4)), tf.zeros((1, 10)), tf.zeros((1, 10)), tf.zeros(1)

    @tf.function(input_signature=[tf.TensorSpec((1, SIDE, SIDE, 3))])
    def network(picture):
        bright = tf.nn.avg_pool2d(tf.reduce_mean(picture, -1, keepdims=True), 16, 16, "VALID")
        score = tf.reshape((bright + 1) / 2, (1, cells * cells, 1))
        boxes, classes, scores, count = post_process(
            tf.zeros((1, cells * cells, 4)), tf.concat([1 - score, score], 2), tf.constant(anchors)
        )
        return {"a": boxes, "b": classes, "c": scores, "d": count}

    module = tf.Module()
    module.network = network
    with tempfile.TemporaryDirectory() as folder, silenced_stderr():
        tf.saved_model.save(module, folder, network.get_concrete_function())
        return tf.lite.TFLiteConverter.from_saved_model(folder).convert()


def blazeface_like_detector() -> bytes:
    """BlazeFace's 896 anchors; each of the coarse grid's first says how bright its cell is."""
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec((1, SIDE, SIDE, 3))])
    def network(picture):
        bright = tf.nn.avg_pool2d(tf.reduce_mean(picture, -1, keepdims=True), 16, 16, "VALID")
        coarse = tf.reshape(bright, (1, 64, 1)) * 8 - 4
        nothing = tf.fill((1, 64, 5), -80.0)
        last = tf.reshape(tf.concat([coarse, nothing], 2), (1, 384, 1))
        scores = tf.concat([tf.fill((1, 512, 1), -80.0), last], 1)
        shape = tf.constant([2.0, -1.0, 32.0, 20.0] + [0.0] * 12)
        boxes = tf.zeros((1, 896, 16)) + shape + 0 * tf.reduce_mean(picture)
        return {"a": boxes, "b": scores}

    with silenced_stderr():
        converter = tf.lite.TFLiteConverter.from_concrete_functions(
            [network.get_concrete_function()], network
        )
        return converter.convert()
