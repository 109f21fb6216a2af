"""Bundles taken apart, changed, and put together again."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fer_edge.bundle import MANIFEST, open_bundle
from fer_edge.bundle.archive import pack
from fer_edge.errors import FerEdgeError


def refused(place: Path, content: bytes) -> str:
    """Why a bundle with this content is refused."""
    place.write_bytes(content)
    with pytest.raises(FerEdgeError) as caught:
        open_bundle(place)
    assert str(place) in caught.value.message
    assert "\n" not in caught.value.message
    assert caught.value.hint
    return caught.value.message


def members_of(packed: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def with_manifest(packed: bytes, change: Callable[[dict[str, Any]], None]) -> bytes:
    """The bundle with another manifest, written as fer-edge writes it."""
    members = members_of(packed)
    stored = json.loads(members[MANIFEST])
    change(stored)
    text = json.dumps(stored, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    return pack({**members, MANIFEST: text.encode(errors="surrogatepass")})


def zipped(members: dict[str, bytes], kind: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", kind) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()
