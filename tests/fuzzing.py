"""Mutants of a sound bundle, tried one after the other in a process that must outlive them all.

``python tests/fuzzing.py KIND FIRST COUNT BUNDLE…`` tries mutants number FIRST and on, and prints
what became of them as JSON. KIND is ``bundles`` or ``models``. Every mutant can be made again by
its number, the last of which stands on standard error when the process dies.
"""

from __future__ import annotations

import io
import json
import random
import resource
import sys
import tempfile
import warnings
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from fer_edge.bundle import GOLDEN, INT8_TFLITE, MANIFEST, SIGNATURE, golden_set, open_bundle
from fer_edge.bundle.archive import pack, unpack
from fer_edge.bundle.minisign import PublicKey, SecretKey
from fer_edge.bundle.verifying import verify
from fer_edge.device.classifier import open_classifier
from fer_edge.errors import FerEdgeError
from fer_edge.runtime.tflite_check import is_integer

SEEDS = (bytes(range(32)), bytes(range(1, 33)))
INTERESTING = (
    *(0, 1, 2, 3, 4, 5, 16, 17, 32, 100, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x10000),
    *(0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF, 0x40000000, 0x3F800000, 0x7F800000),
)
ODD: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 0.2, 10**30, 1e308, "", "x", "\x1b[2J", "\n", "1.9", "2.0"),
    *([], [1], ["a", "a"], [[]], {}, {"a": 1}, "../x", "0" * 64),
)


def key(number: int) -> SecretKey:
    """Key 0 is trusted, key 1 is somebody else's."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    public = Ed25519PrivateKey.from_private_bytes(SEEDS[number]).public_key().public_bytes_raw()
    return SecretKey(PublicKey(SEEDS[number][:8], public), SEEDS[number])


def mutate(rng: random.Random, content: bytes) -> bytes:
    """Damage of one of the kinds that transmission, cards and malice bring about."""
    changed, size = bytearray(content), len(content)
    kind, at = rng.random(), rng.randrange(size)
    if kind < 0.35:
        for _ in range(rng.choice((1, 1, 1, 2, 4))):
            changed[rng.randrange(size)] ^= 1 << rng.randrange(8)
    elif kind < 0.6:
        start = at & ~3
        changed[start : start + 4] = rng.choice(INTERESTING).to_bytes(4, "little")
    elif kind < 0.75:
        changed[at] = rng.randrange(256)
    elif kind < 0.8:
        del changed[at:]
    elif kind < 0.85:
        del changed[at : at + rng.choice((1, 2, 4, 8, 64))]
    elif kind < 0.9:
        changed[at:at] = bytes(rng.choice((1, 2, 4, 8, 64)))
    elif kind < 0.95:
        length, source = rng.choice((4, 8, 16, 64)), rng.randrange(size)
        changed[at : at + length] = content[source : source + length]
    else:
        length = min(rng.choice((4, 16, 256)), size - at)
        changed[at : at + length] = bytes(length)
    return bytes(changed)


def packed_again(members: dict[str, bytes], signer: SecretKey | None = None) -> bytes:
    """A bundle of these members with right checksums, signed if somebody signs."""
    stored = json.loads(members[MANIFEST])
    sums = {
        name: _sha256(data) for name, data in members.items() if name not in (MANIFEST, SIGNATURE)
    }
    return with_manifest(members, {**stored, "files": sums}, signer)


def with_manifest(members: dict[str, bytes], stored: Any, signer: SecretKey | None = None) -> bytes:
    """A bundle with this manifest as it is."""
    text = json.dumps(stored, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    written = text.encode(errors="surrogatepass")
    members = {**members, MANIFEST: written}
    if signer is not None:
        members[SIGNATURE] = signer.sign(written, "timestamp:1\tversion:1")
    return pack(members)


class Fuzzer:
    """Tries mutants of some bundles; ``found`` counts what became of them.

    Args:
        bundles: sound, unsigned.
        folder: for the mutants.
    """

    def __init__(self, bundles: list[Path], folder: Path) -> None:
        self.originals = [unpack(path.read_bytes()) for path in bundles]
        self.place = folder / "mutant.fer"
        self.found: Counter[str] = Counter()
        self.trusted, self.other = key(0), key(1)

    def bundle(self, number: int) -> None:
        """A mutant of a bundle's bytes, of its zip, its manifest, golden set or signature."""
        rng = random.Random(f"bundle {number}")
        members = dict(rng.choice(self.originals))
        signed = packed_again(members, self.trusted)
        kinds = (self._bytes, self._bytes, self._zip, self._manifest, self._golden, self._signature)
        rng.choice(kinds)(rng, members, signed)

    def model(self, number: int) -> None:
        """A mutant of the int8 TFLite in a bundle that is otherwise sound."""
        rng = random.Random(f"model {number}")
        members = dict(rng.choice(self.originals))
        members[INT8_TFLITE] = mutate(rng, members[INT8_TFLITE])
        if rng.random() < 0.1:
            by_other = packed_again(members, self.other)
            self._must_be_refused("by another key", by_other, [self.trusted.public])
            return
        signer, keys = rng.choice(((None, []), (self.trusted, [self.trusted.public])))
        self._must_prove_itself(packed_again(members, signer), keys)

    def _bytes(self, rng: random.Random, members: dict[str, bytes], signed: bytes) -> None:
        original = rng.choice((signed, pack(members)))
        mutant = mutate(rng, original)
        if mutant != original:
            self._must_be_refused("bytes", mutant, [])

    def _zip(self, rng: random.Random, members: dict[str, bytes], signed: bytes) -> None:
        """Archives that other tools take for a bundle."""
        buffer = io.BytesIO()
        names = list(members)
        rng.shuffle(names)
        how = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA))
        with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(buffer, "w", how) as archive:
            for name in names:
                with archive.open(name, "w", force_zip64=rng.random() < 0.3) as file:
                    file.write(members[name])
            for extra in rng.sample(("../x", "/etc/x", "a\\b", INT8_TFLITE, "x/", "\x1b"), 2):
                archive.writestr(extra, b"x" * rng.choice((0, 10)))
            archive.comment = rng.choice((b"", b"hello", b"PK\x05\x06" + bytes(18)))
        self._must_be_refused("zip", buffer.getvalue(), [])

    def _manifest(self, rng: random.Random, members: dict[str, bytes], signed: bytes) -> None:
        stored = json.loads(members[MANIFEST])
        place, keys = stored, list(stored)
        while True:
            name = rng.choice(keys)
            deeper = place[name]
            if not isinstance(deeper, dict | list) or not deeper or rng.random() < 0.3:
                break
            place, keys = deeper, list(deeper) if isinstance(deeper, dict) else range(len(deeper))
        if rng.random() < 0.2 and isinstance(place, dict):
            del place[name]
        else:
            place[name] = rng.choice(ODD)
        self._must_prove_itself(with_manifest(members, stored), [])
        kept = {**members, SIGNATURE: unpack(signed)[SIGNATURE]}
        if stored != json.loads(unpack(signed)[MANIFEST]):
            mutant = with_manifest(kept, stored)
            self._must_be_refused("old signature", mutant, [self.trusted.public])

    def _golden(self, rng: random.Random, members: dict[str, bytes], signed: bytes) -> None:
        golden = members[GOLDEN]
        if rng.random() < 0.5:
            members[GOLDEN] = mutate(rng, golden)
        else:
            arrays = unpack(golden)
            name = rng.choice(list(arrays))
            # most of an array is pixels; its header is what leads somewhere
            head = mutate(rng, arrays[name][:128])
            members[GOLDEN] = pack({**arrays, name: head + arrays[name][128:]})
        self._must_prove_itself(packed_again(members), [])

    def _signature(self, rng: random.Random, members: dict[str, bytes], signed: bytes) -> None:
        original = unpack(signed)[SIGNATURE]
        mutant = mutate(rng, original)
        # the first line is a comment that minisign does not sign
        if mutant.split(b"\n", 1)[-1] != original.split(b"\n", 1)[-1]:
            changed = pack({**unpack(signed), SIGNATURE: mutant})
            self._must_be_refused("signature", changed, [self.trusted.public])

    def _must_be_refused(self, kind: str, mutant: bytes, keys: list[PublicKey]) -> None:
        self.place.write_bytes(mutant)
        try:
            open_bundle(self.place, keys=keys)
        except FerEdgeError as error:
            self._refused(f"{kind}: refused", error)
        else:
            raise AssertionError(f"{kind}: accepted")

    def _must_prove_itself(self, mutant: bytes, keys: list[PublicKey]) -> None:
        """Refused in one line, or it computes what its golden set says, in int8 to the bit."""
        self.place.write_bytes(mutant)
        try:
            # what a device does at every start, within the tolerance of the fast kernels
            open_classifier(self.place, keys=keys)
        except FerEdgeError as error:
            ended = "ended the process" in error.message or "did not end" in error.message
            self._refused("refused, it died in the rehearsal" if ended else "refused", error)
            return
        try:
            verify(self.place, keys=keys)
        except FerEdgeError as error:
            self._refused("refused by the reference kernels", error)
            return
        bundle = open_bundle(self.place, keys=keys)
        arrays = golden_set(bundle.read(GOLDEN))
        content = bundle.read(INT8_TFLITE)
        difference = np.abs(_answers(content, arrays["faces"]) - arrays["probabilities"]).max()
        if is_integer(content):
            assert difference == 0
            self.found["accepted, to the bit"] += 1
        else:
            # floating-point numbers are nobody's to promise
            assert difference <= bundle.manifest.golden_tolerance
            self.found["accepted, in float within the tolerance"] += 1

    def _refused(self, how: str, error: FerEdgeError) -> None:
        assert error.message.isprintable(), f"more than a line of text: {error.message!r}"
        self.found[how] += 1


def _answers(model: bytes, faces: np.ndarray) -> np.ndarray:
    """What LiteRT's reference kernels say, without any code of ours."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        model_content=model, experimental_op_resolver_type=OpResolverType.BUILTIN_REF
    )
    interpreter.allocate_tensors()
    (given,), (result,) = interpreter.get_input_details(), interpreter.get_output_details()
    scale, zero = result["quantization"]
    step, black = given["quantization"]
    if step and np.issubdtype(given["dtype"], np.integer):
        limits = np.iinfo(given["dtype"])
        faces = np.clip(np.round(faces / np.float32(step) + black), limits.min, limits.max)
    said = []
    for face in faces:
        interpreter.set_tensor(given["index"], face[None].astype(given["dtype"]))
        interpreter.invoke()
        row = interpreter.get_tensor(result["index"])[0].astype(np.float32)
        said.append((row - zero) * scale if scale else row)
    return np.array(said)


def _sha256(data: bytes) -> str:
    import hashlib

    return hashlib.sha256(data).hexdigest()


def _processor_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def main(kind: str, first: int, count: int, *bundles: str) -> None:
    """Try ``count`` mutants and print what was found."""
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    fuzzer = Fuzzer([Path(bundle) for bundle in bundles], folder)
    attempt = {"bundles": fuzzer.bundle, "models": fuzzer.model}[kind]
    slowest = 0.0
    for number in range(first, first + count):
        print(f"{kind} {number}", file=sys.stderr, flush=True)
        began = _processor_seconds()
        attempt(number)
        slowest = max(slowest, _processor_seconds() - began)
    fuzzer.place.unlink(missing_ok=True)
    folder.rmdir()
    print(json.dumps({"found": fuzzer.found, "slowest_s": round(slowest, 2)}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:])
