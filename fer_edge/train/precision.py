"""Mixed precision where the hardware has it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import keras

from fer_edge.train.devices import is_accelerator, local_devices

Precision = Literal["auto", "off", "bfloat16"]


def choose_policy(wanted: Precision, devices: Sequence[str] | None = None) -> str:
    """The Keras dtype policy for a recipe's ``mixed_precision``, on ``devices`` or on the first.

    ``auto`` is mixed_bfloat16 on a GPU and on CPUs with bfloat16 instructions (AMX-BF16 or
    AVX512-BF16), where a network of plain convolutions trains more than twice as fast;
    else float32.
    """
    if wanted == "off":
        return "float32"
    if wanted == "bfloat16":
        return "mixed_bfloat16"
    fast = is_accelerator((devices or local_devices())[0]) or _cpu_has_bfloat16()
    return "mixed_bfloat16" if fast else "float32"


@contextmanager
def policy(name: str) -> Iterator[None]:
    """Build layers under a dtype policy and restore the one before."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _cpu_has_bfloat16() -> bool:
    try:
        flags = Path("/proc/cpuinfo").read_text().split()
    except OSError:
        return False
    return bool({"amx_bf16", "avx512_bf16"} & set(flags))
