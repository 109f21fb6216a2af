"""What every model is to the rest of the package, and the checks that all of them share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from fer_edge.errors import FerEdgeError
from fer_edge.face import FACE_SHAPE, FACE_SIZE

Probabilities = npt.NDArray[np.float32]
"""(N, classes) float32, rows sum to 1 up to the output's quantization step."""


class Model(Protocol):
    """A classifier of faces."""

    format: str
    """``tflite``, ``onnx`` or ``keras``."""
    runtime: str
    """Name and version of what computes, such as "LiteRT 2.3.0"."""
    classes: int
    """Width of the output."""

    def probabilities(self, faces: npt.NDArray[np.uint8]) -> Probabilities:
        """Classify faces, (N, 48, 48) or (N, 48, 48, 1) uint8; returns (N, classes) float32."""
        ...


@contextmanager
def native_code(distribution: str) -> Iterator[None]:
    """Around the import of a runtime: one that is made for another machine becomes FerEdgeError."""
    try:
        yield
    except ImportError as error:
        raise FerEdgeError(
            f"{distribution} is installed but does not load: {str(error).splitlines()[0]}",
            "it may be made for another processor or Python: "
            f"pip install --force-reinstall {distribution}",
        ) from error


def as_batch(faces: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
    """(N, 48, 48, 1); a reshape alone would take four pictures of half the side for one."""
    if faces.dtype != np.uint8 or faces.shape[1:] not in (FACE_SHAPE, FACE_SHAPE[:2]):
        raise FerEdgeError(
            f"a model takes faces as (N, 48, 48) uint8, got {faces.shape} {faces.dtype}",
            "cut them out with fer_edge.face.crop_faces",
        )
    return faces.reshape(-1, *FACE_SHAPE)


def check_shapes(name: str, given: Any, result: Any) -> int | None:
    """The fixed batch size, or None; FerEdgeError unless pixels go in and classes come out."""
    sides = [int(side) if isinstance(side, int | np.integer) else None for side in given]
    if len(sides) != 4 or sides[1:] != [FACE_SIZE, FACE_SIZE, 1]:
        raise FerEdgeError(
            f"{name} takes pictures of {_shown(sides[1:])}, not {FACE_SIZE}×{FACE_SIZE}×1",
            "export a model made for 48×48 grayscale faces",
        )
    if len(result) != 2 or not isinstance(result[1], int | np.integer) or result[1] < 1:
        raise FerEdgeError(
            f"{name} gives an output of shape {_shown(result)}, not a probability for each class",
            "export a classifier of expressions",
        )
    return sides[0] if sides[0] and sides[0] > 0 else None


def _shown(sides: Any) -> str:
    """Such as 48×48×1; a free side has a name, is negative or None, as each runtime likes."""
    fixed = (isinstance(side, int | np.integer) and side >= 0 for side in sides)
    return "×".join(
        str(side) if is_fixed else "?" for side, is_fixed in zip(sides, fixed, strict=True)
    )


def only(name: str, what: str, tensors: Sequence[Any]) -> Any:
    if len(tensors) != 1:
        raise FerEdgeError(
            f"{name} has {len(tensors)} {what}, not 1", "export a classifier of single faces"
        )
    return tensors[0]


def wrong_batch(name: str, size: Any) -> FerEdgeError:
    return FerEdgeError(
        f"{name} takes {size} faces at once", "export it with batch size 1, as fer-edge export does"
    )


def not_runnable(name: str, runtime: str, error: Exception) -> FerEdgeError:
    return FerEdgeError(
        f"{name} cannot be run by {runtime}: {first_line(error)}",
        "the file is damaged or made for another runtime; export it again",
    )


def first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
