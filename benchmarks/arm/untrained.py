"""Every network of the package as TFLite files, untrained.

What an inference costs follows from shapes, types and operators, not from the weights, as long as
no weight is one that a converter can leave out: batch norms get statistics as if trained.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fer_edge.chatter import import_keras
from fer_edge.labels import LABELS

if TYPE_CHECKING:
    import keras

DETECTOR = "detector"
"""Name of the face detector's files, which are int8 alone."""
ALL_FORMATS = ("compact", "edge-nano", "edge-small", "edge-base")
"""Networks of which the float16 and the dynamic-range file are written as well."""
CALIBRATION = 8
"""Images of noise; the ranges do not matter."""


def networks() -> dict[str, tuple[str, dict[str, Any]]]:
    """Builder and options of every network, by the name of its recipe, which its files get."""
    from fer_edge.train.models import BUILDERS
    from fer_edge.train.models.edge import SIZES
    from fer_edge.train.models.kusno import FILTERS

    found: dict[str, tuple[str, dict[str, Any]]] = {
        name.replace("_", "-"): (name, {}) for name in BUILDERS if name not in ("edge", "kusno")
    }
    found["mondal-improved"] = found["mondal-shallow"]  # its dropout is training's alone
    found["triwijoyo-no-bn"] = ("triwijoyo", {"batch_norm": "none"})
    found |= {f"kusno-{model}": ("kusno", {"model": model}) for model in FILTERS}
    found |= {f"edge-{size}": ("edge", {"size": size}) for size in SIZES["plain"]}
    return found


def file_names() -> set[str]:
    """What ``write_untrained`` calls its files."""
    kinds = {f"{name}.{kind}" for name in networks() for kind in ("float32", "int8")}
    kinds |= {f"{name}.{kind}" for name in ALL_FORMATS for kind in ("float16", "dynamic")}
    return kinds | {f"{DETECTOR}.int8", f"{DETECTOR}.int8-160x120"}


def write_untrained(folder: Path, names: Collection[str] | None = None) -> dict[str, Path]:
    """Build, fold and convert networks just as ``fer-edge export`` does.

    Args:
        folder: existing.
        names: of ``networks``, or ``DETECTOR``; None takes all.

    Returns:
        The float32 and the int8 file of each, by a name such as ``compact.int8``, more of
        ``ALL_FORMATS``, and the detector's int8 files.
    """
    keras = import_keras(backend="tensorflow")
    from fer_edge.export.converters import tflite
    from fer_edge.export.remedies.equalizing import equalize
    from fer_edge.export.remedies.folding import fold_batch_norms
    from fer_edge.train.models import build_model
    from fer_edge.train.models.merging import merged

    noise = np.random.default_rng(0).integers(0, 256, (CALIBRATION, 48, 48, 1)).astype(np.uint8)
    files: dict[str, Path] = {}
    for name, (builder, options) in networks().items():
        if names is not None and name not in names:
            continue
        keras.utils.set_random_seed(0)
        network = build_model(builder, len(LABELS), options)
        _move_batch_norms(network, np.random.default_rng(1))
        folded = equalize(fold_batch_norms(merged(network))[0], noise)
        content = {"float32": tflite.to_float32(folded), "int8": tflite.to_int8(folded, noise)}
        if name in ALL_FORMATS:
            content["float16"] = tflite.to_float16(folded)
            content["dynamic"] = tflite.to_dynamic_range(folded)
        for kind, data in content.items():
            files[f"{name}.{kind}"] = folder / f"{name}.{kind}.tflite"
            files[f"{name}.{kind}"].write_bytes(data)
        keras.backend.clear_session()
    if names is None or DETECTOR in names:
        files |= _write_detector(folder)
    return files


def _write_detector(folder: Path) -> dict[str, Path]:
    """The shipped recipe's detector for both of its frame sizes."""
    import keras

    from fer_edge.detection import SIZES
    from fer_edge.export.converters import tflite
    from fer_edge.export.detection.source import for_size
    from fer_edge.train.models.detector import build_detector
    from fer_edge.train.recipe import load_recipe

    keras.utils.set_random_seed(0)
    network = build_detector(load_recipe(DETECTOR).model.options, SIZES[0])
    _move_batch_norms(network, np.random.default_rng(1))
    files: dict[str, Path] = {}
    for kind, (columns, rows) in zip(("int8", "int8-160x120"), SIZES, strict=True):
        noise = np.random.default_rng(0).integers(0, 256, (CALIBRATION, rows, columns, 1))
        target = files[f"{DETECTOR}.{kind}"] = folder / f"{DETECTOR}.{kind}.tflite"
        target.write_bytes(
            tflite.to_int8(for_size(network, (columns, rows)), noise.astype(np.uint8))
        )
    keras.backend.clear_session()
    return files


def _move_batch_norms(network: keras.Model, rng: np.random.Generator) -> None:
    """Away from their initial values: a shift of zero would vanish, a trained one stays an ADD."""
    for layer in network.layers:
        if type(layer).__name__ == "BatchNormalization":
            for weight in layer.weights:
                positive = weight.name in ("gamma", "moving_variance")
                low, high = (0.5, 1.5) if positive else (-0.5, 0.5)
                weight.assign(rng.uniform(low, high, weight.shape))
