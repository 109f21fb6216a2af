"""The expression model of a bundle, verified on this very machine before it is used."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fer_edge.bundle import INT8_ONNX, INT8_TFLITE, Bundle, open_bundle, prove
from fer_edge.bundle.minisign import PublicKey
from fer_edge.bundle.trust import trusted_keys
from fer_edge.errors import FerEdgeError
from fer_edge.face import FACE_SIZE, HAAR, CropRule, Pixels
from fer_edge.files import sha256
from fer_edge.labels import LABELS
from fer_edge.runtime import Model, load_model

WARM_UP = 5
"""Inferences before the first frame; they allocate, and are not measured."""

BARE_MODELS = (".tflite", ".onnx")
"""Models that run without a bundle, at the user's own risk."""


@dataclass(frozen=True)
class Classifier:
    """A model with what is needed to use it; ``probabilities`` is the pipeline's infer stage."""

    model: Model
    name: str
    """File it came from."""
    labels: tuple[str, ...]
    crop_rule: CropRule
    verified: bool
    """Whether checksums matched and the golden set was reproduced on this machine."""
    sha256: str
    """Of the model's bytes, in hexadecimal."""
    bundle_sha256: str | None = None
    """Of the bundle's file; None of a bare model."""
    signer: str | None = None
    """Id of the key that was found to have signed the bundle; None where no key was asked for."""
    notes: tuple[str, ...] = ()
    """What a person should know of the bundle, such as that a newer fer-edge made it."""
    member: str | None = None
    """The model's name in the bundle, such as ``model.int8.tflite``; None of a bare model."""
    min_confidence: float | None = None
    """Under which its answer is called uncertain; None where that was not chosen for it."""

    def probabilities(self, faces: Pixels) -> npt.NDArray[np.float32]:
        """Name the expressions of (N, 48, 48) uint8 faces; returns (N, C) float32, N may be 0.

        LiteRT takes the faces of a stack one by one: an interpreter resized to 50 faces would take
        2.5 instead of 2.7 ms for them, and a resize for every new number of faces.
        """
        if len(faces) == 0:
            return np.empty((0, len(self.labels)), np.float32)
        return self.model.probabilities(faces)


def open_classifier(
    path: Path, *, threads: int = 1, keys: Sequence[PublicKey] | None = None
) -> Classifier:
    """Load a bundle, prove it on this machine's own runtime, and warm it up.

    Args:
        path: a bundle (.fer), or a bare .tflite or .onnx file, which nothing vouches for: its
            labels are taken to be the seven of ``LABELS``, its crop rule Haar's.
        threads: threads that one inference may use.
        keys: of which one must have signed it; None takes those that this machine trusts.

    Raises:
        FerEdgeError: the file is missing or damaged, is not signed by a trusted key where there is
            one, does not fit this machine or this program, or computes something else here than
            where it was made.
    """
    run = _run_folder(path)
    if path == run or path.suffix in (".keras", ".h5"):
        raise FerEdgeError(
            f"{path} is a training's result, not a bundle",
            f"export its run folder: fer-edge export {shlex.quote(str(run or 'RUN'))} --int8",
        )
    bare = path.suffix in BARE_MODELS
    classifier = _bare(path, threads, keys) if bare else _proven(path, threads, keys)
    _warm_up(classifier)
    return classifier


def newest_bundle(folders: Sequence[Path] = (Path("bundles"), Path())) -> Path:
    """Return the newest .fer file of the first folder that holds one, detectors aside.

    Raises:
        FerEdgeError: none of the folders does.
    """
    for folder in folders:
        bundles = sorted(
            filter(Path.is_file, folder.glob("*.fer")), key=lambda path: path.stat().st_mtime
        )
        for path in reversed(bundles):
            if not _finds_faces(path):
                return path
    raise FerEdgeError(
        "no bundle was named, and there is none in ./bundles or here",
        "name one, or make one: fer-edge export RUN --int8",
    )


def _run_folder(path: Path) -> Path | None:
    """The run folder that a path is, or that a network or checkpoint of it lies in, if there is."""
    near = (path, path.parent, path.parent.parent)
    return next((folder for folder in near if (folder / "data.json").is_file()), None)


def _finds_faces(path: Path) -> bool:
    """Whether it is a detector's bundle; a damaged one is for whoever opens it to refuse."""
    try:
        return open_bundle(path, keys=()).manifest.task == "detect"
    except FerEdgeError:
        return False


def refuse_detector(bundle: Bundle) -> None:
    """Raise FerEdgeError where a bundle finds faces and does not name expressions."""
    if bundle.manifest.task != "classify":
        raise FerEdgeError(
            f"bundle {bundle.path} is a face detector, it names no expressions",
            f"give it with --detector {bundle.path}",
        )


def _proven(path: Path, threads: int, keys: Sequence[PublicKey] | None) -> Classifier:
    bundle = open_bundle(path, keys=keys)
    refuse_detector(bundle)
    member = member_for_this_machine(bundle)
    model, _ = prove(bundle, member, threads=threads)
    manifest = bundle.manifest
    digest = manifest.files[member]
    return Classifier(
        model,
        str(path),
        bundle.labels,
        manifest.crop,
        verified=True,
        sha256=digest,
        bundle_sha256=sha256(path),
        signer=bundle.signer.id if bundle.signer else None,
        notes=bundle.notes,
        member=member,
        min_confidence=manifest.min_confidence,
    )


def _bare(path: Path, threads: int, keys: Sequence[PublicKey] | None) -> Classifier:
    if trusted_keys() if keys is None else keys:
        raise FerEdgeError(
            f"{path} is a bare model, which nobody signed; this machine takes signed bundles only",
            "run its bundle",
        )
    model = load_model(path, threads=threads)
    if model.classes != len(LABELS):
        raise FerEdgeError(
            f"{path} gives {model.classes} classes, not the {len(LABELS)} that a bare model is "
            f"taken to have ({', '.join(LABELS)})",
            "use its bundle, which names its labels",
        )
    return Classifier(model, str(path), LABELS, HAAR, False, sha256(path))


def member_for_this_machine(bundle: Bundle) -> str:
    """The int8 TFLite, unless only ONNX Runtime is here and the bundle has a model for it."""
    has_tflite = any(find_spec(name) for name in ("ai_edge_litert", "tflite_runtime"))
    if not has_tflite and find_spec("onnxruntime") and INT8_ONNX in bundle.content:
        return INT8_ONNX
    return INT8_TFLITE


def _warm_up(classifier: Classifier) -> None:
    blank = np.zeros((1, FACE_SIZE, FACE_SIZE), np.uint8)
    for _ in range(WARM_UP):
        classifier.probabilities(blank)
