"""Kernels read the data of a file where they lie, and may ask for an address of whole vectors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fer_edge.bundle import open_bundle
from fer_edge.runtime.flatbuffer import read_model
from fer_edge.shipped import FOLDER

ALIGNMENT = 16
"""Bytes, that TFLite's schema asks of a buffer's data."""


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.fer")), ids=lambda path: path.stem)
def test_the_data_of_a_shipped_file_lie_at_whole_multiples_of_sixteen_bytes(path: Path) -> None:
    bundle = open_bundle(path, keys=())
    files = [name for name in bundle.content if name.endswith(".tflite")]
    assert files
    for name in files:
        content = bytes(bundle.read(name))
        start = _address(np.frombuffer(content, np.uint8))
        buffers = [buffer["data"] for buffer in read_model(content)["buffers"]]
        places = [_address(data) - start for data in buffers if len(data)]
        assert len(places) > 10
        wrong = [place for place in places if place % ALIGNMENT]
        assert not wrong, f"{len(wrong)} of {len(places)} buffers of {name}"


def _address(data: np.ndarray) -> int:
    return int(data.__array_interface__["data"][0])
