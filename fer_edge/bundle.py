"""The ``.fer`` file: what a device needs to run a model, and the proof that it is the right one.

A bundle is a zip with stored members in sorted order and fixed times, so the same content gives the
same bytes, and a reader can check the archive itself by packing its content again.
"""

from __future__ import annotations

import hashlib
import io
import json
import struct
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from fer_edge.errors import FerEdgeError
from fer_edge.face import FACE_SIZE, CropRule
from fer_edge.files import atomic_path
from fer_edge.runtime import Model

SCHEMA = 1
"""Version of the manifest that this package writes; it reads no other."""

INT8_TFLITE = "model.int8.tflite"
FLOAT_TFLITE = "model.float32.tflite"
INT8_ONNX = "model.int8.onnx"
FLOAT_ONNX = "model.float32.onnx"
GOLDEN = "golden.npz"
MODEL_CARD = "MODEL_CARD.md"
MANIFEST = "manifest.json"

MEMBERS = (INT8_TFLITE, FLOAT_TFLITE, INT8_ONNX, FLOAT_ONNX, GOLDEN, MODEL_CARD)
"""What a bundle may hold beside its manifest; a slim one has neither float nor ONNX models."""
REQUIRED = (INT8_TFLITE, GOLDEN, MODEL_CARD)
LIMIT = 256 << 20
"""Bytes of the largest bundle that is opened."""
GOLDEN_ARRAYS = ("faces", "probabilities", "probabilities_onnx")
MANIFEST_LIMIT = 1 << 20
"""Bytes of the largest manifest that is parsed."""
UNREADABLE = (
    zipfile.BadZipFile,
    struct.error,
    EOFError,
    KeyError,
    MemoryError,
    OSError,
    OverflowError,
    RecursionError,
    RuntimeError,
    ValueError,
)
"""What zipfile, json and numpy raise for bytes that are not what they claim to be."""

INPUT = {"shape": [1, FACE_SIZE, FACE_SIZE, 1], "dtype": "uint8", "colour": "grayscale"}
"""What a model takes: one face, 0 is black and 255 white."""


@dataclass(frozen=True)
class Manifest:
    """What a bundle says of itself.

    Attributes:
        name: of the recipe that made it.
        labels: class names in the order of the model's output.
        crop: from a face box to the model's square.
        golden_tolerance: largest difference in probability from the golden outputs that a runtime
            may show, in 0..1.
        recipe, dataset: name and fingerprint (SHA-256); the dataset's also which split served what.
        metrics: float and int8 figures on the held-out split.
        gate: verdict, budget and measured values.
        tools: name and version of everything that made the bundle.
        export: how it was made: precision of the network, calibration images, folding.
        files: SHA-256 of every other member.
        schema: version of this structure.
        input: what the model takes.
    """

    name: str
    labels: tuple[str, ...]
    crop: CropRule
    golden_tolerance: float
    recipe: dict[str, Any]
    dataset: dict[str, Any]
    metrics: dict[str, Any]
    gate: dict[str, Any]
    tools: dict[str, str]
    export: dict[str, Any] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    schema: int = SCHEMA
    input: dict[str, Any] = field(default_factory=lambda: dict(INPUT))

    def to_json(self) -> str:
        """Sorted keys, so that the same manifest gives the same bytes."""
        return (
            json.dumps(asdict(self), indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
            + "\n"
        )


@dataclass(frozen=True)
class Bundle:
    """An opened bundle; its checksums have been verified.

    Attributes:
        path: where it was read from.
        manifest: what it says of itself.
        content: the members' bytes, by name, without the manifest's.
    """

    path: Path
    manifest: Manifest
    content: Mapping[str, bytes] = field(repr=False)

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names in the order of the model's output."""
        return self.manifest.labels

    def read(self, name: str) -> bytes:
        """The bytes of a member.

        Raises:
            FerEdgeError: the bundle has no such member, as a slim one has no float model.
        """
        if name not in self.content:
            raise FerEdgeError(
                f"bundle {self.path} holds no {name}", f"it holds {', '.join(sorted(self.content))}"
            )
        return self.content[name]


def write_bundle(target: Path, manifest: Manifest, content: Mapping[str, bytes]) -> None:
    """Write a bundle, whole or not at all; the manifest gets the checksums of ``content``.

    Args:
        target: the ``.fer`` file.
        manifest: its ``files`` are filled in here.
        content: members by name, of ``MEMBERS``, with at least ``REQUIRED``.

    Raises:
        FerEdgeError: the target cannot be written.
    """
    assert set(REQUIRED) <= set(content) <= set(MEMBERS), sorted(content)
    values = {f.name: getattr(manifest, f.name) for f in fields(manifest)}
    sums = {name: hashlib.sha256(data).hexdigest() for name, data in sorted(content.items())}
    complete = Manifest(**{**values, "files": sums})
    packed = _pack({**content, MANIFEST: complete.to_json().encode()})
    with atomic_path(target) as temporary:
        temporary.write_bytes(packed)


def open_bundle(path: Path | str) -> Bundle:
    """Read a bundle and check it: structure, size, version, checksum of every member, every byte.

    Raises:
        FerEdgeError: no bundle, a damaged one, one from a newer version, or one whose input is not
            a 48×48 grayscale face.
    """
    path = Path(path)
    packed = _read_limited(path)
    try:
        content = _unpack(packed)
        written = content.pop(MANIFEST)[:MANIFEST_LIMIT].decode()
        stored = json.loads(written, parse_constant=_refuse_constant)
    except UNREADABLE as error:
        raise _damaged(path, "it is not a complete bundle") from error
    manifest = _parse(stored, path)
    if set(content) != set(manifest.files) or not set(REQUIRED) <= set(content):
        raise _damaged(path, "its members are not those that the manifest lists")
    for name, data in content.items():
        if hashlib.sha256(data).hexdigest() != manifest.files[name]:
            raise _damaged(path, f"the checksum of {name} is wrong")
    # what neither a checksum nor the zip's own check covers: headers, padding, the manifest's form
    try:
        same = _pack({**content, MANIFEST: manifest.to_json().encode()}) == packed
    except UNREADABLE:
        same = False
    if not same:
        raise _damaged(path, "the archive was changed after it was written")
    return Bundle(path, manifest, content)


def golden_set(packed: bytes) -> dict[str, np.ndarray]:
    """The arrays that ``pack_golden`` packed, by name; raises one of ``UNREADABLE``."""
    # not np.load, which expands whatever is compressed
    members = _unpack(packed, tuple(f"{name}.npy" for name in GOLDEN_ARRAYS))
    return {
        name.removesuffix(".npy"): np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
        for name, data in members.items()
    }


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
    return _pack(members)


def verify_golden(bundle: Bundle, model: Model) -> float:
    """Replay the golden set on a runtime.

    Returns:
        The largest difference in probability from the expected outputs.

    Raises:
        FerEdgeError: this machine computes something else than the bundle's maker did.
    """
    try:
        arrays = golden_set(bundle.read(GOLDEN))
        faces = arrays["faces"]
        expected = arrays["probabilities_onnx" if model.format == "onnx" else "probabilities"]
    except UNREADABLE as error:
        raise _damaged(bundle.path, "its golden set cannot be read") from error
    kinds = (faces.dtype, expected.dtype) == (np.uint8, np.float32)
    if not kinds or faces.shape[1:] != tuple(INPUT["shape"][1:]) or not len(faces):
        raise _damaged(bundle.path, "its golden set holds no faces")
    if model.classes != len(bundle.labels) or expected.shape != (len(faces), model.classes):
        raise FerEdgeError(
            f"bundle {bundle.path} has {len(bundle.labels)} labels, but its model gives "
            f"{model.classes} classes",
            "export it again",
        )
    difference = float(np.abs(model.probabilities(faces) - expected).max())
    # a NaN must fail as well
    if not difference <= bundle.manifest.golden_tolerance:
        raise FerEdgeError(
            f"{model.runtime} on this machine computes something else than the golden set of "
            f"{bundle.path}: a probability differs by {difference:.3f}, "
            f"{bundle.manifest.golden_tolerance:.3f} is allowed",
            "install the runtime that the bundle names (fer-edge doctor shows this machine's), "
            "or export the model again",
        )
    return difference


def _read_limited(path: Path) -> bytes:
    if not path.is_file():
        raise FerEdgeError(
            f"{path} is a folder, not a bundle" if path.is_dir() else f"no bundle {path}",
            "make one with: fer-edge export RUN --int8",
        )
    if path.stat().st_size > LIMIT:
        raise FerEdgeError(
            f"{path} has {path.stat().st_size >> 20} MiB; a bundle has at most {LIMIT >> 20}",
            "this is not a bundle",
        )
    try:
        return path.read_bytes()
    except OSError as error:
        raise FerEdgeError(
            f"cannot read the bundle {path}: {(error.strerror or '').lower()}",
            "give a file that you may read",
        ) from error


def _unpack(packed: bytes, known: Sequence[str] = (*MEMBERS, MANIFEST)) -> dict[str, bytes]:
    """Members by name; only known names, stored, each once: nothing can expand or escape."""
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        entries = archive.infolist()
        names = [entry.filename for entry in entries]
        if len(set(names)) != len(names) or not set(names) <= set(known):
            raise zipfile.BadZipFile("unknown or repeated members")
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise zipfile.BadZipFile("compressed members")
        if sum(entry.file_size for entry in entries) > len(packed):
            raise zipfile.BadZipFile("overlapping members")
        return {entry.filename: archive.read(entry) for entry in entries}


def _pack(content: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(content):
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.create_system = 3
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content[name])
    return buffer.getvalue()


def _parse(stored: Any, path: Path) -> Manifest:
    if not isinstance(stored, dict) or type(stored.get("schema")) is not int:
        raise _damaged(path, "its manifest has no schema version")
    if stored["schema"] != SCHEMA:
        newer = stored["schema"] > SCHEMA
        raise FerEdgeError(
            f"bundle {path} has manifest schema {stored['schema']}, this fer-edge reads {SCHEMA}",
            "update fer-edge" if newer else "export the model again",
        )
    kinds: dict[str, type] = {f.name: dict for f in fields(Manifest)}
    kinds |= {"name": str, "labels": list, "golden_tolerance": float, "schema": int}
    for name, kind in kinds.items():
        if not isinstance(stored.get(name), kind):
            raise _damaged(path, f"its manifest has no usable '{name}'")
    if unknown := sorted(set(stored) - set(kinds)):
        raise _damaged(path, f"its manifest has an unknown entry '{unknown[0]}'")
    if stored["input"] != INPUT:
        given = stored["input"].get("shape", "something else")
        raise FerEdgeError(
            f"bundle {path} takes pictures of {given}, this fer-edge gives {INPUT['shape']}",
            "export a model made for 48×48 grayscale faces",
        )
    labels = stored["labels"]
    if not all(isinstance(label, str) for label in labels) or len(set(labels)) < len(labels):
        raise _damaged(path, "its manifest's labels are not distinct names")
    if not 0 <= stored["golden_tolerance"] <= 1:
        raise _damaged(path, "its manifest's golden_tolerance is not from 0 to 1")
    try:
        crop = CropRule.from_dict(stored["crop"])
    except FerEdgeError as error:
        raise _damaged(path, error.message) from error
    return Manifest(**{**stored, "labels": tuple(labels), "crop": crop})


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _damaged(path: Path, how: str) -> FerEdgeError:
    return FerEdgeError(f"bundle {path} is damaged: {how}", "copy it again or export it again")
