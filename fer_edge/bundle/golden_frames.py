"""The golden set of a detector's bundle: drawn frames, and every number that its files give."""

from __future__ import annotations

import io
from functools import partial

import numpy as np

from fer_edge.bundle import archive
from fer_edge.bundle.golden import (
    computes_otherwise,
    gives_the_same_bits,
    read_array,
    rehearse_member,
)
from fer_edge.bundle.opening import GOLDEN, INT8_160_TFLITE, INT8_TFLITE, Bundle
from fer_edge.detection import PARTS, SIZES, grid
from fer_edge.detection.network import TFLiteDetector
from fer_edge.errors import FerEdgeError
from fer_edge.runtime.trial import as_rehearsed

MEMBERS = dict(zip((INT8_TFLITE, INT8_160_TFLITE), SIZES, strict=True))
"""A detector's files, with the columns and rows of the frames that they take."""
FRAMES = 4
"""Of the smaller size; two by two they are one of the larger."""
_ARRAYS = {INT8_TFLITE: "cells_320", INT8_160_TFLITE: "cells_160"}
STEPS = 256
"""Of a number in an int8 file's output: differences are told as shares of these."""


def pack_golden_frames(frames: np.ndarray, said: dict[str, np.ndarray]) -> bytes:
    """A golden set as the bytes of an ``.npz``; the same arrays give the same bytes.

    Args:
        frames: (4, 120, 160) uint8, drawn.
        said: by member, what it says of ``frames_for`` it, (N, cells, 15) uint8.
    """
    arrays = {"frames": frames} | {_ARRAYS[member]: array for member, array in said.items()}
    members = {}
    for name, array in arrays.items():
        buffer = io.BytesIO()
        np.lib.format.write_array(buffer, np.ascontiguousarray(array), allow_pickle=False)
        members[f"{name}.npy"] = buffer.getvalue()
    return archive.pack(members)


def frames_for(member: str, frames: np.ndarray) -> np.ndarray:
    """The golden frames as a member takes them, (4, 120, 160) or all in one, (1, 240, 320)."""
    if member == INT8_160_TFLITE:
        return frames
    one, two, three, four = frames
    return np.block([[one, two], [three, four]])[None]


def golden_frames(packed: bytes) -> dict[str, np.ndarray]:
    """``frames`` and, by member, the expected numbers, as views that cannot be written.

    Raises:
        ValueError: it is not what ``pack_golden_frames`` gives.
    """
    found = {name.removesuffix(".npy"): data for name, data in archive.unpack(packed).items()}
    if set(found) != {"frames", *_ARRAYS.values()}:
        raise ValueError("its arrays are not those of a detector's golden set")
    arrays = {name: read_array(data) for name, data in found.items()}
    columns, rows = MEMBERS[INT8_160_TFLITE]
    shapes = {"frames": (FRAMES, rows, columns)}
    for member, size in MEMBERS.items():
        count = FRAMES if member == INT8_160_TFLITE else 1
        shapes[_ARRAYS[member]] = (count, len(grid(size)), sum(PARTS.values()))
    for name, array in arrays.items():
        if array.dtype != np.uint8 or array.shape != shapes[name]:
            raise ValueError(f"its {name} are {array.shape} {array.dtype}")
    return {"frames": arrays["frames"]} | {m: arrays[name] for m, name in _ARRAYS.items()}


def prove_detector(
    bundle: Bundle, member: str, *, threads: int = 1, reference_kernels: bool = False
) -> tuple[TFLiteDetector, float]:
    """Load a bundle's detector and replay the golden set on this machine, as ``prove`` does.

    Args:
        bundle: opened; its task is to detect.
        member: one of ``MEMBERS``.
        threads: of the interpreter.
        reference_kernels: see ``prove``.

    Returns:
        The detector, and the largest difference of a number as a share of its range.

    Raises:
        FerEdgeError: no such file, one that this machine cannot run, or one that computes
            something else here than where it was made.
    """
    if bundle.manifest.task != "detect":
        raise FerEdgeError(
            f"bundle {bundle.path} names expressions, it finds no faces",
            "give a detector's bundle",
        )
    content = bundle.read(member)
    try:
        arrays = golden_frames(bundle.read(GOLDEN))
    except ValueError as error:
        raise FerEdgeError(
            f"the golden set of bundle {bundle.path} cannot be read: {error}", "export it again"
        ) from error
    frames = frames_for(member, arrays["frames"])
    open_it = partial(
        TFLiteDetector,
        content,
        f"{member} of {bundle.path}",
        threads=threads,
        reference_kernels=reference_kernels,
    )
    done = rehearse_member(bundle, member, lambda: open_it().raw(frames[0]))
    with as_rehearsed(done):
        network = open_it()
        difference = difference_from(network, frames, arrays[member])
    exactly = reference_kernels and gives_the_same_bits(bundle, content, network.runtime)
    # a NaN must fail as well
    if not difference <= (0 if exactly else bundle.manifest.golden_tolerance):
        raise computes_otherwise(
            bundle,
            network.runtime,
            f"a number differs by {difference:.3f} of its range",
            exactly=exactly,
        )
    return network, difference


def difference_from(network: TFLiteDetector, frames: np.ndarray, expected: np.ndarray) -> float:
    """Largest difference of any number, as a share of its range."""
    said = np.stack([network.raw(frame) for frame in frames])
    if said.shape != expected.shape or said.dtype != expected.dtype:
        return float("nan")
    return float(np.abs(said.astype(int) - expected.astype(int)).max() / STEPS)
