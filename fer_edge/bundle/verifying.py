"""Everything that can be found out about a bundle on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from fer_edge.bundle.golden import prove
from fer_edge.bundle.golden_frames import prove_detector
from fer_edge.bundle.minisign import PublicKey
from fer_edge.bundle.opening import INT8_160_TFLITE, INT8_ONNX, INT8_TFLITE, open_bundle
from fer_edge.bundle.report import Verification
from fer_edge.bundle.trust import CHECKER, names_package_key
from fer_edge.detection.network import TFLiteDetector
from fer_edge.errors import require_extra
from fer_edge.runtime import Model

_RUNTIMES = {
    INT8_TFLITE: ("ai_edge_litert", "tflite_runtime"),
    INT8_160_TFLITE: ("ai_edge_litert", "tflite_runtime"),
    INT8_ONNX: ("onnxruntime",),
}


def verify(path: Path, *, keys: Sequence[PublicKey] | None = None) -> Verification:
    """Check a bundle's structure, checksums and signature, and replay its golden set.

    TFLite files answer it twice: by the fast kernels, which a device uses, within the bundle's
    tolerance, and by the reference kernels, to the bit where those have to give the same bits.

    Args:
        path: the bundle.
        keys: of which one must have signed it; None takes those that this machine trusts.

    Raises:
        FerEdgeError: the first thing that is not in order, or what checks the signature of the
            package's own key is not installed.
    """
    bundle = open_bundle(path, keys=keys)
    if keys is None and bundle.signature and names_package_key(bundle.signature):
        require_extra(CHECKER, "device")  # open_bundle checks it only where it can
    replayed: dict[str, float] = {}
    exact: list[str] = []
    runtimes, skipped = {}, []
    detects = bundle.manifest.task == "detect"
    for name, modules in _RUNTIMES.items():
        if name not in bundle.content:
            continue
        if not any(find_spec(module) for module in modules):
            skipped.append(name)
            continue
        proven: tuple[Model | TFLiteDetector, float]
        check = prove_detector if detects else prove
        proven = check(bundle, name)
        replayed[name], runtimes[name] = proven[1], proven[0].runtime
        if name.endswith(".tflite"):
            _, difference = check(bundle, name, reference_kernels=True)
            if difference == 0:
                exact.append(name)
    return Verification(bundle, replayed, runtimes, tuple(skipped), tuple(exact))
