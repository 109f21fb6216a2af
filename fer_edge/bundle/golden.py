"""The golden set: inputs with expected outputs, and the proof that a machine computes the same."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable
from functools import partial

import numpy as np

from fer_edge.bundle import archive
from fer_edge.bundle.manifest import INPUT
from fer_edge.bundle.opening import GOLDEN, Bundle
from fer_edge.errors import FerEdgeError
from fer_edge.runtime import Model, import_runtime, load_model
from fer_edge.runtime.tflite_check import is_integer
from fer_edge.runtime.trial import NoProcess, as_rehearsed, rehearse

GOLDEN_ARRAYS = ("faces", "probabilities", "probabilities_onnx")
MOST_FACES = 256
"""Of a golden set; it is replayed at every start."""
_NPY = re.compile(
    rb"\x93NUMPY\x01\0..\{'descr': '(\|u1|<f4)', 'fortran_order': False, "
    rb"'shape': \((\d{1,6}(?:, \d{1,6}){1,3})\), \} *\n",
    re.DOTALL,
)
REHEARSAL = 20
"""Seconds that a model may take to load and to answer for one face."""


def pack_golden(
    faces: np.ndarray, probabilities: np.ndarray, onnx: np.ndarray | None = None
) -> bytes:
    """A golden set as the bytes of an ``.npz``; the same arrays give the same bytes.

    Args:
        faces: (N, 48, 48, 1) uint8.
        probabilities: what the int8 TFLite says of them, (N, classes) float32.
        onnx: what the int8 ONNX says of them; its rounding differs. None where it is not shipped.
    """
    members = {}
    for name, array in zip(GOLDEN_ARRAYS, (faces, probabilities, onnx), strict=True):
        if array is None:
            continue
        buffer = io.BytesIO()
        np.lib.format.write_array(buffer, np.ascontiguousarray(array), allow_pickle=False)
        members[f"{name}.npy"] = buffer.getvalue()
    return archive.pack(members)


def golden_set(packed: bytes) -> dict[str, np.ndarray]:
    """The arrays that ``pack_golden`` packed, by name, as views that cannot be written.

    Raises:
        ValueError: it is not what ``pack_golden`` gives.
    """
    members = archive.unpack(packed)
    arrays = {name.removesuffix(".npy"): read_array(data) for name, data in members.items()}
    if not set(arrays) <= set(GOLDEN_ARRAYS) or not {"faces", "probabilities"} <= set(arrays):
        raise ValueError("its arrays are not those of a golden set")
    faces = arrays["faces"]
    if faces.dtype != np.uint8 or faces.shape[1:] != tuple(INPUT["shape"][1:]):
        raise ValueError("it holds no faces")
    if not 1 <= len(faces) <= MOST_FACES:
        raise ValueError(f"it holds {len(faces)} faces")
    for name in set(arrays) - {"faces"}:
        if arrays[name].dtype != np.float32 or arrays[name].shape[:1] != faces.shape[:1]:
            raise ValueError(f"its {name} are not one row a face")
    return arrays


def prove(
    bundle: Bundle, member: str, *, threads: int = 1, reference_kernels: bool = False
) -> tuple[Model, float]:
    """Load a bundle's model and replay the golden set on this machine.

    The model is loaded and asked once in a child process before: a file that is well-formed and
    checks out may still end the process of an interpreter that believes it.

    Args:
        bundle: opened.
        member: the model, such as ``model.int8.tflite``.
        threads: of the interpreter.
        reference_kernels: TFLite only. Slow; see ``gives_the_same_bits``.

    Returns:
        The model, and the largest difference in probability from the golden outputs.

    Raises:
        FerEdgeError: no such model, one that this machine cannot run, or one that computes
            something else here than where it was made.
    """
    content, arrays = bundle.read(member), _read_golden(bundle)
    first = arrays["faces"][:1]
    load = partial(load_model, content, threads=threads, reference_kernels=reference_kernels)
    done = rehearse_member(bundle, member, lambda: load().probabilities(first))
    with as_rehearsed(done):
        model = load()
        exactly = reference_kernels and gives_the_same_bits(bundle, content, model.runtime)
        return model, verify_golden(bundle, model, exactly=exactly)


def gives_the_same_bits(bundle: Bundle, content: bytes, runtime: str) -> bool:
    """Whether a runtime's reference kernels have to answer as they did where a bundle was made.

    On every processor, but in a network of integers and in the same version of LiteRT alone:
    tflite-runtime 2.14 rounds the other way once in hundreds of values.
    """
    recorded_by = bundle.manifest.tools.get("ai-edge-litert")
    return runtime == f"LiteRT {recorded_by}" and is_integer(content)


def rehearse_member(bundle: Bundle, member: str, act: Callable[[], object]) -> bool:
    """Have a child process do first what this process is about to do ``as_rehearsed``.

    Raises:
        FerEdgeError: the child was ended by a signal or took too long.
        NoProcess: it could not be started.
    """
    # what the child imports is lost with it
    import_runtime(member)
    try:
        return rehearse(act, seconds=REHEARSAL)
    except NoProcess:
        raise
    except FerEdgeError as error:
        raise FerEdgeError(
            f"{member} of bundle {bundle.path} cannot be run: {error.message}",
            "export it again; if it was signed by somebody you trust, tell them",
        ) from error


def computes_otherwise(
    bundle: Bundle, runtime: str, difference: str, *, exactly: bool = False
) -> FerEdgeError:
    """The error of a machine whose answers are not those of a bundle's maker."""
    if exactly:
        return FerEdgeError(
            f"{runtime}'s reference kernels compute something else than the golden set of "
            f"{bundle.path}: {difference}, and they give the same bits on every processor",
            "the model was changed after its answers were recorded: export it again; if it was "
            "signed by somebody you trust, tell them",
        )
    return FerEdgeError(
        f"{runtime} on this machine computes something else than the golden set of "
        f"{bundle.path}: {difference}, {bundle.manifest.golden_tolerance:.3f} is allowed",
        "install the runtime that the bundle names (fer-edge doctor shows this machine's), "
        "or export the model again",
    )


def verify_golden(bundle: Bundle, model: Model, *, exactly: bool = False) -> float:
    """Replay the golden set on a model that is loaded already.

    Args:
        bundle: opened.
        model: one of its models.
        exactly: allow no difference, where the bundle's tolerance is allowed otherwise.

    Returns:
        The largest difference in probability from the expected outputs.

    Raises:
        FerEdgeError: this machine computes something else than the bundle's maker did.
    """
    arrays = _read_golden(bundle)
    faces = arrays["faces"]
    expected = arrays.get("probabilities_onnx" if model.format == "onnx" else "probabilities")
    if expected is None:
        raise _unreadable(bundle, f"it has no answers of the {model.format} model")
    if model.classes != len(bundle.labels) or expected.shape != (len(faces), model.classes):
        raise FerEdgeError(
            f"bundle {bundle.path} has {len(bundle.labels)} labels, but its model gives "
            f"{model.classes} classes",
            "export it again",
        )
    try:
        said = model.probabilities(faces)
    except (RuntimeError, ValueError, MemoryError) as error:
        raise FerEdgeError(
            f"{model.runtime} cannot compute the model of bundle {bundle.path}: "
            f"{ascii(str(error))[1:-1][:120]}",
            "export it again",
        ) from error
    difference = float(np.abs(said - expected).max())
    # a NaN must fail as well
    if not difference <= (0 if exactly else bundle.manifest.golden_tolerance):
        raise computes_otherwise(
            bundle, model.runtime, f"a probability differs by {difference:.3f}", exactly=exactly
        )
    return difference


def read_array(data: bytes) -> np.ndarray:
    """The bytes of an ``.npy`` as a view; ValueError where they are not one.

    Not through numpy's reader, which evaluates the header and makes room for what it claims.
    """
    found = _NPY.match(data)
    if found is None:
        raise ValueError("an array is of an unknown kind")
    dtype, shape = np.dtype(found[1].decode()), tuple(map(int, found[2].split(b",")[:4]))
    body = data[found.end() :]
    if math.prod(shape) * dtype.itemsize != len(body):
        raise ValueError("an array has another size than its shape says")
    return np.frombuffer(body, dtype).reshape(shape)


def _read_golden(bundle: Bundle) -> dict[str, np.ndarray]:
    try:
        return golden_set(bundle.read(GOLDEN))
    except ValueError as error:
        raise _unreadable(bundle, str(error)) from error


def _unreadable(bundle: Bundle, how: str) -> FerEdgeError:
    return FerEdgeError(
        f"bundle {bundle.path} is damaged: its golden set cannot be read: {ascii(how)[1:-1][:100]}",
        "copy it again or export it again",
    )
