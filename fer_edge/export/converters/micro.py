"""Whether a microcontroller can run the int8 file: asked of TFLite Micro's own interpreter."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import numpy as np

from fer_edge.bundle import golden_set
from fer_edge.chatter import captured_stderr
from fer_edge.errors import FerEdgeError
from fer_edge.runtime.flatbuffer import read_model

ARENA = 64 << 20
"""Bytes that the interpreter is given here, to see how many it takes."""
_ALLOCATED = re.compile(r"Arena allocation (total|head|tail) (\d+) bytes")
_MISSING = re.compile(r"Didn't find op for builtin opcode '(\w+)'")


@dataclass(frozen=True)
class Micro:
    """What TFLite Micro takes for a file.

    Attributes:
        arena_bytes: memory for tensors and the interpreter's own structures. With 64-bit pointers;
            a 32-bit processor takes less for the structures, optimized kernels may take more.
        tensor_bytes: the part that is used anew in every inference, the activations.
        runtime: name and version of what was asked.
    """

    arena_bytes: int
    tensor_bytes: int
    runtime: str

    def __str__(self) -> str:
        return f"an arena of {self.arena_bytes / 1000:,.1f} kB in TFLite Micro"


def measure_arena(model: bytes) -> Micro:
    """Open an int8 TFLite in TFLite Micro and measure its arena.

    Raises:
        FerEdgeError: a shape is not fixed, or TFLite Micro has no kernel for an operator.
    """
    for tensor in read_model(model)["subgraphs"][0]["tensors"]:
        if (tensor["shape_signature"] < 0).any():
            raise FerEdgeError(
                f"tensor {tensor['name']} has no fixed shape, which TFLite Micro needs",
                "export a network with fixed sizes",
            )
    interpreter = _open(model)
    with captured_stderr() as said:
        interpreter.print_allocations()
        sizes = {what: int(size) for what, size in _ALLOCATED.findall(said())}
    return Micro(sizes["total"], sizes["head"], f"tflite-micro {metadata.version('tflite-micro')}")


def check_answers(model: bytes, golden: bytes) -> int:
    """Replay a golden set in TFLite Micro; returns how many faces it holds.

    Args:
        model: the int8 TFLite.
        golden: of ``bundle.pack_golden``, what LiteRT's reference kernels say.

    Raises:
        FerEdgeError: an answer differs, if only in the last step.
    """
    arrays = golden_set(golden)
    interpreter = _open(model)
    quantized = interpreter.get_output_details(0)["quantization_parameters"]
    scale, zero = quantized["scales"][0], quantized["zero_points"][0]
    said = []
    for face in arrays["faces"]:
        interpreter.set_input(face[None], 0)
        interpreter.invoke()
        said.append((interpreter.get_output(0)[0].astype(np.float32) - zero) * scale)
    steps = np.abs(np.array(said) - arrays["probabilities"]).max(axis=1) / scale
    # a NaN must differ as well
    if differing := int((~(steps < 0.5)).sum()):
        raise FerEdgeError(
            f"TFLite Micro answers otherwise than LiteRT on {differing} of {len(said)} golden "
            f"faces, by up to {steps.max():.0f} steps of {scale:.2g}",
            "a kernel of one of them is wrong; report it with the recipe",
        )
    return len(said)


def _open(model: bytes) -> Any:
    from tflite_micro import runtime

    with captured_stderr() as said:
        try:
            return runtime.Interpreter.from_bytes(model, arena_size=ARENA)
        except RuntimeError as error:
            reason = said()
            missing = sorted(set(_MISSING.findall(reason)))
            what = f"it has no {', '.join(missing)}" if missing else _in_one_line(reason, error)
            raise FerEdgeError(
                f"TFLite Micro cannot run the int8 model: {what}",
                "replace the layer by one that TFLite Micro has a kernel for",
            ) from error


def _in_one_line(reason: str, error: Exception) -> str:
    return "; ".join(line.strip(" .") for line in reason.strip().splitlines()) or str(error)
