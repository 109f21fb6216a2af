"""The golden set shows that a runtime computes what it computed where the bundle was made."""

from __future__ import annotations

import io
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from exported import Exported
from repacked import with_manifest

from fer_edge.bundle import (
    GOLDEN,
    INT8_ONNX,
    INT8_TFLITE,
    Bundle,
    golden_set,
    open_bundle,
    pack_golden,
    prove,
    verify_golden,
    write_bundle,
)
from fer_edge.bundle.archive import pack
from fer_edge.bundle.verifying import verify
from fer_edge.errors import FerEdgeError
from fer_edge.runtime import load_model


@pytest.mark.parametrize("name", [INT8_TFLITE, INT8_ONNX])
def test_the_golden_set_is_reproduced_on_this_machine(exported: Exported, name: str) -> None:
    bundle = open_bundle(exported.bundle)
    difference = verify_golden(bundle, load_model(bundle.read(name)))
    assert 0 <= difference <= bundle.manifest.golden_tolerance < 0.1


def test_the_golden_set_tells_answers_apart(exported: Exported) -> None:
    bundle = open_bundle(exported.bundle)
    arrays = golden_set(bundle.read(GOLDEN))
    assert arrays["faces"].shape == (32, 48, 48, 1)
    assert arrays["faces"].dtype == np.uint8
    for name in ("probabilities", "probabilities_onnx"):
        assert arrays[name].shape == (32, 7)
        spread = np.ptp(arrays[name], axis=0).max()
        assert spread > 4 * bundle.manifest.golden_tolerance


class _Answering:
    """A model that gives prepared probabilities."""

    format, runtime = "tflite", "Prepared 1.0"

    def __init__(self, probabilities: np.ndarray) -> None:
        self.given, self.classes = probabilities, probabilities.shape[1]

    def probabilities(self, faces: np.ndarray) -> np.ndarray:
        return self.given[: len(faces)]


def _golden(bundle: Bundle) -> np.ndarray:
    return golden_set(bundle.read(GOLDEN))["probabilities"]


def test_differences_within_the_tolerance_pass_and_larger_ones_are_named(
    exported: Exported,
) -> None:
    bundle = open_bundle(exported.bundle)
    tolerance, expected = bundle.manifest.golden_tolerance, _golden(bundle)
    near, far = expected.copy(), expected.copy()
    near[3, 2] += 0.9 * tolerance
    far[3, 2] += 1.1 * tolerance
    assert verify_golden(bundle, _Answering(near)) == pytest.approx(0.9 * tolerance, rel=1e-3)
    with pytest.raises(FerEdgeError, match=r"Prepared 1\.0 .* computes something else") as caught:
        verify_golden(bundle, _Answering(far))
    assert f"{1.1 * tolerance:.3f}" in caught.value.message
    assert "install the runtime" in caught.value.hint


def test_a_golden_replay_that_gives_no_number_is_refused(exported: Exported) -> None:
    bundle = open_bundle(exported.bundle)
    said = _golden(bundle).copy()
    said[0, 0] = np.nan
    with pytest.raises(FerEdgeError, match="differs by nan"):
        verify_golden(bundle, _Answering(said))


def test_a_model_with_changed_weights_is_found_by_the_golden_set(exported: Exported) -> None:
    """Not by its checksum: as if the runtime had read other numbers than the file holds."""
    from fer_edge.export.converters.tflite import tensors

    bundle = open_bundle(exported.bundle)
    content = bundle.read(INT8_TFLITE)
    largest = max(tensors(content), key=lambda tensor: int(np.prod(tensor["shape"])))
    assert largest["type"] == "INT8"
    found = 0
    rng = np.random.default_rng(3)
    for _ in range(6):
        changed = bytearray(content)
        # the sign bits of a run of weights, which lie in the middle of the file
        start = int(rng.integers(len(content) // 3, len(content) // 2))
        for position in range(start, start + 300):
            changed[position] ^= 0x80
        try:
            verify_golden(bundle, load_model(bytes(changed)))
        except FerEdgeError:
            found += 1
    assert found >= 5


def test_verifying_allows_no_bit_to_differ_by_the_reference_kernels(
    exported: Exported, tmp_path: Path
) -> None:
    opened = open_bundle(exported.bundle)
    assert verify(exported.bundle).exact == (INT8_TFLITE,)
    content = {name: opened.read(name) for name in opened.content}
    arrays = golden_set(content[GOLDEN])
    changed = arrays["probabilities"].copy()
    changed[3, 2] += 1 / 256
    content[GOLDEN] = pack_golden(arrays["faces"], changed, arrays["probabilities_onnx"])
    place = tmp_path / "other.fer"
    write_bundle(place, opened.manifest, content)
    prove(open_bundle(place), INT8_TFLITE)
    with pytest.raises(FerEdgeError, match=r"reference kernels .* differs by 0\.004"):
        verify(place)
    # of another version's rounding nothing is known
    tools = {**opened.manifest.tools, "ai-edge-litert": "1.4.0"}
    write_bundle(place, replace(opened.manifest, tools=tools), content)
    assert verify(place).exact == ()


def test_labels_that_do_not_fit_the_model_are_refused(packed: bytes, place: Path) -> None:
    place.write_bytes(with_manifest(packed, lambda stored: stored["labels"].append("bored")))
    bundle = open_bundle(place)
    with pytest.raises(FerEdgeError, match="has 8 labels, but its model gives 7 classes"):
        verify_golden(bundle, load_model(bundle.read(INT8_TFLITE)))


def _npz(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def _golden_with_header(old: bytes, new: bytes) -> bytes:
    """A golden set whose zip is in order, but one array's header says something else."""
    with zipfile.ZipFile(io.BytesIO(pack_golden(FACES, SAID))) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    assert old in members["faces.npy"]
    return pack({**members, "faces.npy": members["faces.npy"].replace(old, new)})


FACES, SAID = np.zeros((4, 48, 48, 1), np.uint8), np.zeros((4, 7), np.float32)


@pytest.mark.parametrize(
    "golden",
    [
        b"",
        b"not a zip",
        _npz(faces=FACES),
        _npz(probabilities=SAID),
        _npz(faces=FACES, probabilities=SAID[:3]),
        _npz(faces=FACES[:0], probabilities=SAID[:0]),
        _npz(faces=FACES.astype(np.float32), probabilities=SAID),
        _npz(faces=FACES[:, :24], probabilities=SAID),
        _npz(faces=FACES, probabilities=np.full((4, 7), "x")),
        _npz(faces=FACES, probabilities=np.array([[None] * 7] * 4)),
        pack_golden(FACES, SAID)[:-40],
        pack_golden(np.zeros((257, 48, 48, 1), np.uint8), np.zeros((257, 7), np.float32)),
        _golden_with_header(b"(4, 48, 48, 1)", b"(9999999999,) "),
        _golden_with_header(b"(4, 48, 48, 1)", b"(999999**9999)"),
        _golden_with_header(b"'fortran_order'", b"'fortran_orde(("),
        _golden_with_header(b"'fortran_order'", b"'\xff\xff\0\0\0_order'"),
        _golden_with_header(b"NUMPY\x01\x00", b"NUMPY\x09\x00"),
    ],
)
def test_a_golden_set_that_cannot_be_replayed_is_refused(
    exported: Exported, place: Path, golden: bytes
) -> None:
    given = open_bundle(exported.bundle)
    write_bundle(place, given.manifest, {**given.content, GOLDEN: golden})
    bundle = open_bundle(place)
    with pytest.raises(FerEdgeError):
        verify_golden(bundle, load_model(bundle.read(INT8_TFLITE)))


def test_a_compressed_golden_set_cannot_fill_the_memory(exported: Exported, place: Path) -> None:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, faces=np.zeros((20_000, 48, 48, 1), np.uint8), probabilities=SAID)
    assert len(buffer.getvalue()) < 200_000
    given = open_bundle(exported.bundle)
    write_bundle(place, given.manifest, {**given.content, GOLDEN: buffer.getvalue()})
    with pytest.raises(FerEdgeError, match="golden set cannot be read"):
        verify_golden(open_bundle(place), _Answering(SAID))


def test_equal_golden_sets_give_equal_bytes() -> None:
    assert pack_golden(FACES, SAID) == pack_golden(FACES.copy(), SAID.copy())
    assert pack_golden(FACES, SAID) != pack_golden(FACES, SAID, onnx=SAID)
