"""A key pair for tests."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fer_edge.bundle.minisign import SecretKey
from fer_edge.bundle.signing import sign_bundle


@dataclass(frozen=True)
class Signer:
    """A key pair, its public file, and a hand that signs."""

    key: SecretKey
    public: Path

    def sign(self, bundle: Path, target: Path, version: int = 1) -> Path:
        sign_bundle(bundle, self.key, target=target, version=version)
        return target
