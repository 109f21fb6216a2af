"""Infer with each model on the emulated processor; mark the second inference for the counter.

    infer.py MODEL.tflite...

Runs under the emulator's Python, started by ``count.py``. The first inference also sets up; the
second and the third differ by less than 0.03%.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress

import numpy as np
from ai_edge_litert.interpreter import Interpreter

START, STOP = 0x7FF0000, 0x7FF0001
"""As in counter.c."""


def mark(value: int) -> None:
    """A system call that does nothing, which the counter sees."""
    with suppress(OSError):
        os.getpgid(value)


def main(paths: list[str]) -> None:
    """Two inferences a model, on one thread and the same noise."""
    for path in paths:
        interpreter = Interpreter(model_path=path, num_threads=1)
        interpreter.allocate_tensors()
        (given,) = interpreter.get_input_details()
        noise = np.random.default_rng(0).integers(0, 256, given["shape"])
        interpreter.set_tensor(given["index"], noise.astype(given["dtype"]))
        interpreter.invoke()
        mark(START)
        interpreter.invoke()
        mark(STOP)


if __name__ == "__main__":
    main(sys.argv[1:])
