"""Writing a ``.fer`` file, and opening one without trusting it."""

from __future__ import annotations

import hashlib
import os
import re
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from fer_edge.bundle import archive
from fer_edge.bundle.manifest import MANIFEST_LIMIT, SCHEMA, VERSION, Manifest, parse_manifest
from fer_edge.bundle.minisign import SIGNATURE_LIMIT, PublicKey, Signature, parse_signature
from fer_edge.bundle.trust import (
    check_signature,
    package_signer,
    trusted_keys,
    with_package_key,
)
from fer_edge.errors import FerEdgeError, nearest
from fer_edge.files import atomic_path
from fer_edge.shipped import shipped_models

INT8_TFLITE = "model.int8.tflite"
INT8_160_TFLITE = "model-160x120.int8.tflite"
"""A detector's, for smaller frames than its ``model.int8.tflite`` takes."""
FLOAT_TFLITE = "model.float32.tflite"
FLOAT16_TFLITE = "model.float16.tflite"
DYNAMIC_TFLITE = "model.dynamic.tflite"
INT8_ONNX = "model.int8.onnx"
FLOAT_ONNX = "model.float32.onnx"
GOLDEN = "golden.npz"
MODEL_CARD = "MODEL_CARD.md"
MANIFEST = "manifest.json"
SIGNATURE = "manifest.minisig"

MEMBERS = (
    *(INT8_TFLITE, FLOAT_TFLITE, FLOAT16_TFLITE, DYNAMIC_TFLITE, INT8_ONNX, FLOAT_ONNX),
    *(GOLDEN, MODEL_CARD),
)
"""What a bundle may hold beside its manifest; a slim one has neither float nor ONNX models."""
ALL_MEMBERS = (*MEMBERS, INT8_160_TFLITE)
"""A detector's among them."""
REQUIRED = (INT8_TFLITE, GOLDEN, MODEL_CARD)

LIMIT = 256 << 20
"""Bytes of the largest bundle that is opened."""
_LIMITS = {GOLDEN: 4 << 20, MODEL_CARD: 1 << 20}
"""Bytes of the largest member; of a model ``_MODEL_LIMIT``."""
_MODEL_LIMIT = 128 << 20
_PICTURES = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM", b"II*\0", b"MM\0*")
"""What the files of JPEG, PNG, GIF, BMP and TIFF begin with."""


@dataclass(frozen=True)
class Bundle:
    """An opened bundle; its checksums have been verified.

    Attributes:
        path: where it was read from.
        manifest: what it says of itself.
        content: the members' bytes, by name, without the manifest's and the signature's. They are
            read from the file when they are asked for, and checked again.
        written: the manifest's own bytes, which a signature covers.
        signed: the ``.minisig`` file's own bytes; None where there is none.
        signature: the same, parsed. Checked only where ``signer`` is not None.
        signer: the key that signed, checked; None where no key was asked for.
        notes: what a person should know, such as entries of a newer version that are ignored.
    """

    path: Path
    manifest: Manifest
    content: Content = field(repr=False)
    written: bytes = field(repr=False)
    signed: bytes | None = field(default=None, repr=False)
    signature: Signature | None = None
    signer: PublicKey | None = None
    notes: tuple[str, ...] = ()

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names in the order of the model's output."""
        return self.manifest.labels

    @property
    def version(self) -> int | None:
        """The counter in the signature's comment, larger in a newer bundle; None without one."""
        value = self.signature.entry("version") if self.signature else None
        return int(value) if value and re.fullmatch(r"[0-9]{1,19}", value) else None

    def read(self, name: str) -> bytes:
        """The bytes of a member.

        Raises:
            FerEdgeError: the bundle has no such member, as a slim one has no float model; or the
                file was changed after it was opened.
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
        manifest: its ``files`` and ``schema`` are filled in here.
        content: members by name, of ``ALL_MEMBERS``, with at least ``REQUIRED``.

    Raises:
        FerEdgeError: the target cannot be written, or nobody could open it: the manifest holds what
            none may hold, or it is too large.
    """
    assert set(REQUIRED) <= set(content) <= set(ALL_MEMBERS), sorted(content)
    sums = {name: hashlib.sha256(data).hexdigest() for name, data in sorted(content.items())}
    complete = replace(manifest, files=sums, schema=SCHEMA)
    written = complete.to_json().encode(errors="surrogatepass")
    try:
        parse_manifest(written)
    except ValueError as error:
        raise FerEdgeError(
            f"cannot make the bundle {target}: nobody could open it, since {error}",
            "names and labels are few, short and of one line",
        ) from error
    packed = archive.pack({**content, MANIFEST: written})
    large = [f"its {name}" for name in sorted(content) if len(content[name]) > _limit(name)]
    if large or len(packed) > LIMIT:
        raise FerEdgeError(
            f"cannot make the bundle {target}: nobody could open it, since "
            f"{large[0] if large else 'it'} is too large",
            "ship the int8 TFLite alone with --slim, or train a narrower network",
        )
    with atomic_path(target) as temporary:
        temporary.write_bytes(packed)


def write_signed(target: Path, bundle: Bundle, signature: bytes) -> None:
    """Write a bundle again with this ``.minisig`` file in it, whole or not at all.

    Raises:
        FerEdgeError: the target cannot be written.
    """
    members = {**bundle.content, MANIFEST: bundle.written, SIGNATURE: signature}
    with atomic_path(target) as temporary:
        temporary.write_bytes(archive.pack(members))


def open_bundle(path: Path | str, *, keys: Sequence[PublicKey] | None = None) -> Bundle:
    """Open a bundle and check it: structure, size, signature, version, checksum of every member.

    Args:
        path: the ``.fer`` file.
        keys: of which one must have signed it; none at all takes any bundle. None takes those that
            this machine is configured to trust, and the package's own for what came with it; where
            there are none, a bundle that says it is signed by the package's key is checked.

    Raises:
        FerEdgeError: no bundle, a damaged one, one that no trusted key signed, one from a newer
            version, or one whose input is not a 48×48 grayscale face.
    """
    path = Path(path)
    required = with_package_key(path, trusted_keys()) if keys is None else keys
    opened = _open(path)
    try:
        written = _read(opened, MANIFEST, MANIFEST_LIMIT)
        signed = _read(opened, SIGNATURE, SIGNATURE_LIMIT) if SIGNATURE in opened.members else None
        signature = None if signed is None else parse_signature(signed)
        signer = check_signature(path, written, signature, required)
        if keys is None and not required:
            signer = package_signer(path, written, signature)
        manifest, ignored = _parse(path, written)
        newer = _is_newer(manifest)
        _check_members(opened, manifest, newer)
    except (ValueError, OSError) as error:
        raise _damaged(path, str(error)) from error
    notes: tuple[str, ...] = ()
    if newer:
        what = f"; ignored: {', '.join(ignored)}" if ignored else ""
        notes = (f"bundle {path} is of the newer schema {manifest.schema}{what}",)
    content = Content(path, opened, manifest.files)
    return Bundle(path, manifest, content, written, signed, signature, signer, notes)


class Content(Mapping[str, bytes]):
    """Members that are read when they are asked for."""

    def __init__(self, path: Path, opened: archive.Archive, sums: Mapping[str, str]) -> None:
        self._path, self._archive, self._sums = path, opened, sums

    def __getitem__(self, name: str) -> bytes:
        expected = self._sums[name]
        try:
            data = self._archive.read(name)
        except (ValueError, OSError) as error:
            raise _damaged(self._path, str(error)) from error
        if hashlib.sha256(data).hexdigest() != expected:
            raise _damaged(self._path, f"{name} changed while it was read")
        return data

    def size(self, name: str) -> int:
        """Bytes of a member."""
        return self._archive.members[name].size

    def __contains__(self, name: object) -> bool:
        return name in self._sums

    def __iter__(self) -> Iterator[str]:
        return iter(self._sums)

    def __len__(self) -> int:
        return len(self._sums)


def _open(path: Path) -> archive.Archive:
    if not path.is_file():
        if path.is_dir():
            raise FerEdgeError(
                f"{path} is a folder, not a bundle", "make one with: fer-edge export RUN --int8"
            )
        meant = nearest(path.name.removesuffix(".fer"), shipped_models())
        raise FerEdgeError(
            f"no bundle {path}",
            f"{meant} " * bool(meant) + "'fer-edge models' lists those that ship; make one with: "
            "fer-edge export RUN --int8",
        )
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise FerEdgeError(
            f"cannot read the bundle {path}: {(error.strerror or '').lower()}",
            "give a file that you may read",
        ) from error
    read = archive.reader(descriptor)
    # whoever holds the reader keeps the file open, even when its name goes to another one
    weakref.finalize(read, os.close, descriptor)
    size = os.fstat(descriptor).st_size
    if size > LIMIT:
        raise FerEdgeError(
            f"{path} has {size >> 20} MiB; a bundle has at most {LIMIT >> 20}",
            "this is not a bundle",
        )
    try:
        return archive.Archive(read, size)
    except (ValueError, OSError) as error:
        head = os.pread(descriptor, 12, 0)
        if head.startswith(_PICTURES) or head[8:] == b"WEBP":
            raise FerEdgeError(
                f"{path} is a picture, not a bundle", f"name it with --images {path}"
            ) from error
        raise _damaged(path, str(error)) from error


def _read(opened: archive.Archive, name: str, limit: int) -> bytes:
    if name not in opened.members:
        raise ValueError(f"it has no {name}")
    if opened.members[name].size > limit:
        raise ValueError(f"its {name} is too large")
    return opened.read(name)


def _parse(path: Path, written: bytes) -> tuple[Manifest, tuple[str, ...]]:
    try:
        return parse_manifest(written)
    except FerEdgeError as error:
        raise FerEdgeError(f"bundle {path} {error.message}", error.hint) from error


def _is_newer(manifest: Manifest) -> bool:
    return tuple(int(part) for part in manifest.schema.split(".")) > VERSION


def _limit(name: str) -> int:
    """Bytes that a member may have."""
    return _LIMITS.get(name, _MODEL_LIMIT)


def _check_members(opened: archive.Archive, manifest: Manifest, newer: bool) -> None:
    """Whether the members are those of the manifest, no larger than they may be, and unchanged."""
    there = set(opened.members) - {MANIFEST, SIGNATURE}
    if there != set(manifest.files) or not set(REQUIRED) <= there:
        raise ValueError("its members are not those that the manifest lists")
    if not newer and not there <= set(ALL_MEMBERS):
        raise ValueError("it has a member that does not belong to a bundle")
    for name in there:
        if opened.members[name].size > _limit(name):
            raise ValueError(f"its {name} is too large")
    for name in sorted(there):
        digest = hashlib.sha256()
        for chunk in opened.chunks(name):
            digest.update(chunk)
        if digest.hexdigest() != manifest.files[name]:
            raise ValueError(f"the checksum of {name} is wrong")


def _damaged(path: Path, how: str) -> FerEdgeError:
    return FerEdgeError(f"bundle {path} is damaged: {how}", "copy it again or export it again")
