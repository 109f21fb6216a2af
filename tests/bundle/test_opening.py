"""A bundle proves itself: whatever was changed in it, it is refused in one line."""

from __future__ import annotations

import io
import json
import os
import random
import struct
import warnings
import zipfile
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from exported import Exported
from repacked import members_of, refused, with_manifest, zipped

from fer_edge import bundle as bundles
from fer_edge.bundle import (
    FLOAT_ONNX,
    GOLDEN,
    INT8_ONNX,
    INT8_TFLITE,
    MANIFEST,
    MEMBERS,
    MODEL_CARD,
    Manifest,
    open_bundle,
    write_bundle,
)
from fer_edge.bundle.archive import pack
from fer_edge.errors import FerEdgeError


def test_a_bundle_holds_every_format_and_says_what_it_is(exported: Exported) -> None:
    bundle = open_bundle(exported.bundle)
    assert set(bundle.content) == set(MEMBERS)
    assert bundle.labels == exported.dataset.labels
    manifest = bundle.manifest
    assert manifest.name == "blobs"
    assert manifest.schema == bundles.SCHEMA
    assert manifest.input == {"shape": [1, 48, 48, 1], "dtype": "uint8", "colour": "grayscale"}
    assert manifest.dataset["fingerprint"] == exported.dataset.fingerprint()
    assert manifest.gate[INT8_TFLITE]["passed"]
    assert {"fer-edge", "tensorflow", "onnxruntime"} <= set(manifest.tools)
    assert b"must not be used for" in bundle.read(MODEL_CARD)


def test_a_bundle_can_be_read_with_any_unzip(exported: Exported) -> None:
    with zipfile.ZipFile(exported.bundle) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == sorted([*MEMBERS, MANIFEST])
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_writing_what_was_read_gives_the_same_bytes(
    exported: Exported, packed: bytes, place: Path
) -> None:
    bundle = open_bundle(exported.bundle)
    write_bundle(place, bundle.manifest, bundle.content)
    assert place.read_bytes() == packed


def test_a_slim_bundle_says_what_it_lacks(bundle: Path) -> None:
    slim = open_bundle(bundle)
    assert set(slim.content) == {INT8_TFLITE, GOLDEN, MODEL_CARD}
    with pytest.raises(FerEdgeError, match=r"holds no model\.int8\.onnx") as caught:
        slim.read(INT8_ONNX)
    assert INT8_TFLITE in caught.value.hint


def test_every_flipped_byte_is_refused(bundle: Path, place: Path) -> None:
    rng, packed = random.Random(5), bundle.read_bytes()
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        entries, directory = archive.infolist(), archive.start_dir
    structure = set(range(directory, len(packed)))
    for entry in entries:
        start = entry.header_offset
        structure |= set(range(start, start + 30 + len(entry.filename)))
    manifest = archive.getinfo(MANIFEST).header_offset + 30 + len(MANIFEST)
    positions = [
        *sorted(structure),
        *rng.sample(range(manifest, manifest + len(members_of(packed)[MANIFEST])), 120),
        *rng.sample(range(len(packed)), 120),
    ]
    for position in positions:
        changed = bytearray(packed)
        changed[position] ^= 1 << rng.randrange(8)
        assert "is damaged" in refused(place, bytes(changed)), position


def test_a_header_byte_of_any_value_is_refused(bundle: Path, place: Path) -> None:
    packed = bundle.read_bytes()
    # the flags of the first entry, where zipfile has errors of its own for encryption and the like
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        flags = archive.start_dir + 8
    for value in range(256):
        if value != packed[flags]:
            changed = bytearray(packed)
            changed[flags] = value
            refused(place, bytes(changed))


def test_every_truncation_is_refused(packed: bytes, place: Path) -> None:
    rng = random.Random(6)
    tail = [len(packed) - n for n in (1, 2, 21, 22, 23, 100)]
    for length in [0, 1, 3, 4, 29, 30, 100, *rng.sample(range(len(packed)), 60), *tail]:
        refused(place, packed[:length])


def test_bytes_before_and_behind_are_refused(packed: bytes, place: Path) -> None:
    for changed in (packed + b"\0", b"#!/bin/sh\n" + packed, packed + packed):
        assert "is damaged" in refused(place, changed)


def test_members_that_do_not_belong_are_refused(packed: bytes, place: Path) -> None:
    members = members_of(packed)
    for name in ("extra.txt", "../model.int8.tflite", "/etc/passwd", "MODEL_CARD.md/"):
        refused(place, zipped({**members, name: b"x"}))
    renamed = {"../" + INT8_TFLITE: members.pop(INT8_TFLITE), **members}
    refused(place, zipped(renamed))


def test_a_compressed_member_is_refused_before_it_expands(packed: bytes, place: Path) -> None:
    members = {**members_of(packed), MODEL_CARD: bytes(1 << 20)}
    bomb = zipped(members, zipfile.ZIP_DEFLATED)
    refused(place, bomb)


def test_a_member_that_claims_to_be_larger_than_the_file_is_refused(
    packed: bytes, place: Path
) -> None:
    changed = bytearray(packed)
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        entry = archive.start_dir
    changed[entry + 20 : entry + 28] = struct.pack("<II", 0x7FFFFFFF, 0x7FFFFFFF)
    refused(place, bytes(changed))


def test_members_whose_sizes_add_up_to_more_than_a_zip_can_hold_are_refused(
    packed: bytes, place: Path
) -> None:
    changed = bytearray(packed)
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        entry = archive.start_dir
    huge = struct.pack("<II", 0xFFFFFFFF, 0xFFFFFFFF)
    changed[entry + 20 : entry + 28] = changed[18:26] = huge  # of the first member, in both places
    refused(place, bytes(changed))


def test_a_repeated_member_is_refused(packed: bytes, place: Path) -> None:
    buffer = io.BytesIO(packed)
    with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr(INT8_TFLITE, b"another model")
    refused(place, buffer.getvalue())


def test_missing_members_and_a_missing_manifest_are_refused(packed: bytes, place: Path) -> None:
    members = members_of(packed)
    for name in members:
        refused(place, pack({k: v for k, v in members.items() if k != name}))
    for name in (INT8_TFLITE, GOLDEN, MODEL_CARD):

        def unlist(stored: dict[str, Any], name: str = name) -> None:
            del stored["files"][name]

        without = pack({k: v for k, v in members.items() if k != name})
        refused(place, with_manifest(without, unlist))


def test_another_model_under_the_same_manifest_is_refused(packed: bytes, place: Path) -> None:
    members = members_of(packed)
    other = bytearray(members[INT8_TFLITE])
    other[len(other) // 2] ^= 1
    message = refused(place, pack({**members, INT8_TFLITE: bytes(other)}))
    assert "the checksum of model.int8.tflite is wrong" in message


def test_a_bundle_for_other_pictures_is_refused(packed: bytes, place: Path) -> None:
    def enlarge(stored: dict[str, Any]) -> None:
        stored["input"]["shape"] = [1, 64, 64, 1]

    assert "takes pictures of [1, 64, 64, 1]" in refused(place, with_manifest(packed, enlarge))


ODD = (
    None, True, False, 0, 1, -1, 10**30, 1e308, float("inf"), float("nan"), "", "x", "\ud800",
    [], [1], ["a", "a"], [[]], {}, {"a": 1},
)  # fmt: skip


def _places(stored: Any, depth: int = 2) -> list[list[Any]]:
    """Paths to everything inside, down to so many levels."""
    keys = list(stored) if isinstance(stored, dict) else range(len(stored))
    found = []
    for key in keys:
        found.append([key])
        if depth > 1 and isinstance(stored[key], dict | list):
            found += [[key, *rest] for rest in _places(stored[key], depth - 1)]
    return found


def test_no_manifest_whatever_it_says_gives_anything_but_one_line(
    packed: bytes, place: Path
) -> None:
    from fer_edge.subject import find_subject

    rng = random.Random(7)
    stored = json.loads(members_of(packed)[MANIFEST])
    everywhere = _places(stored)
    tries = [(path, value) for path in everywhere for value in rng.sample(ODD, 1)]
    tries += [(path, value) for path in everywhere if len(path) == 1 for value in ODD]
    refused = kept = 0
    for path, value in tries:

        def put(stored: dict[str, Any], path: list[Any] = path, value: Any = value) -> None:
            for key in path[:-1]:
                stored = stored[key]
            stored[path[-1]] = value

        place.write_bytes(with_manifest(packed, put))
        try:
            opened = open_bundle(place)
            find_subject(place)
        except FerEdgeError as error:
            refused += len(error.message.splitlines()) == 1
        else:
            kept += 1
            assert all(isinstance(label, str) for label in opened.labels)
            assert 0 <= opened.manifest.golden_tolerance <= 1
    assert refused + kept == len(tries)
    assert refused > len(tries) / 3


@pytest.mark.parametrize(
    "manifest",
    [b"", b"{}", b"[]", b"null", b"1" * 9999, b"[" * 99_999, b'{"a":' * 99_999, b"\xff\xfe{}"],
    ids=["empty", "object", "list", "null", "number", "lists", "objects", "UTF-16"],
)
def test_a_manifest_that_is_none_is_refused(packed: bytes, place: Path, manifest: bytes) -> None:
    refused(place, pack({**members_of(packed), MANIFEST: manifest}))


@pytest.mark.parametrize("text", ["1e999", '"\\ud800"', "[" * 900 + "]" * 900, "1.0e0"])
def test_json_that_cannot_be_written_as_it_was_read_is_refused(
    packed: bytes, place: Path, text: str
) -> None:
    members = members_of(packed)
    changed = members[MANIFEST].decode().replace('"metrics": {', f'"metrics": {{"a": {text},', 1)
    refused(place, pack({**members, MANIFEST: changed.encode()}))


def test_a_member_larger_than_any_of_its_kind_is_refused(packed: bytes, place: Path) -> None:
    members = members_of(packed)
    for name, size in ((GOLDEN, 5 << 20), (MODEL_CARD, 2 << 20), (MANIFEST, 3 << 20)):
        message = refused(place, pack({**members, name: bytes(size)}))
        assert f"its {name} is too large" in message


@pytest.mark.parametrize(
    ("limit", "what"),
    [("_MODEL_LIMIT", "its model.float32.onnx is too large"), ("LIMIT", "since it is too large")],
)
def test_a_bundle_that_nobody_could_open_is_not_written(
    exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, what: str
) -> None:
    given = open_bundle(exported.bundle)
    monkeypatch.setattr(f"fer_edge.bundle.opening.{limit}", len(given.content[FLOAT_ONNX]) - 1)
    with pytest.raises(FerEdgeError, match=what) as caught:
        write_bundle(tmp_path / "out" / "large.fer", given.manifest, given.content)
    assert "--slim" in caught.value.hint
    assert not (tmp_path / "out").exists()


def test_every_byte_of_a_bundle_is_what_any_zip_tool_would_have_written(packed: bytes) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in members_of(packed).items():
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.create_system = 3
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, data)
    assert buffer.getvalue() == packed


def test_opening_a_large_bundle_takes_the_memory_of_its_manifest(
    exported: Exported, place: Path
) -> None:
    import tracemalloc

    given = open_bundle(exported.bundle)
    large = {**given.content, bundles.FLOAT_TFLITE: bytes(40 << 20)}
    write_bundle(place, given.manifest, large)
    del large
    tracemalloc.start()
    try:
        bundle = open_bundle(place)
        opened = tracemalloc.get_traced_memory()[1]
        bundle.read(INT8_TFLITE)
        assert tracemalloc.get_traced_memory()[1] < 6 << 20
    finally:
        tracemalloc.stop()
    assert opened < 6 << 20


def test_an_opened_bundle_stays_what_it_was_when_its_name_goes_to_another(
    bundle: Path, exported: Exported, place: Path
) -> None:
    place.write_bytes(bundle.read_bytes())
    opened = open_bundle(place)
    other = place.with_name("other.fer")
    other.write_bytes(exported.bundle.read_bytes())
    other.replace(place)
    assert opened.read(INT8_TFLITE) == open_bundle(bundle).read(INT8_TFLITE)


def test_a_bundle_that_changes_under_the_reader_is_refused(bundle: Path, place: Path) -> None:
    place.write_bytes(bundle.read_bytes())
    opened = open_bundle(place)
    changed = bytearray(bundle.read_bytes())
    start = changed.find(opened.read(INT8_TFLITE))
    changed[start + 100] ^= 1
    place.write_bytes(changed)
    with pytest.raises(FerEdgeError, match="is damaged"):
        opened.read(INT8_TFLITE)
    place.write_bytes(changed[:100])
    with pytest.raises(FerEdgeError, match="ends too early"):
        opened.read(GOLDEN)


def test_opened_bundles_leave_no_descriptor_behind(bundle: Path) -> None:
    for _ in range(20):
        open_bundle(bundle).read(GOLDEN)
    # by name: the native libraries of other tests come and go with descriptors of their own
    held = [link for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    assert str(bundle.resolve()) not in [os.path.realpath(link) for link in held]


@pytest.mark.parametrize("change", [{"name": "two\nlines"}, {"labels": ("a\x1b", "b")}])
def test_what_nobody_could_open_is_not_written(
    exported: Exported, place: Path, change: dict[str, Any]
) -> None:
    given = open_bundle(exported.bundle)
    with pytest.raises(FerEdgeError, match="nobody could open it"):
        write_bundle(place, replace(given.manifest, **change), given.content)
    assert not place.exists()


def test_what_is_no_bundle_at_all_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FerEdgeError, match="no bundle"):
        open_bundle(tmp_path / "none.fer")
    with pytest.raises(FerEdgeError, match="is a folder, not a bundle"):
        open_bundle(tmp_path)
    sparse = tmp_path / "sparse.fer"
    with sparse.open("wb") as file:
        file.truncate(300 << 20)
    with pytest.raises(FerEdgeError, match="has 300 MiB; a bundle has at most 256"):
        open_bundle(sparse)
    for content in (b"", b"text", b"PK\x05\x06" + bytes(18), zipped({})):
        assert "is damaged" in refused(tmp_path / "bad.fer", content)


def test_a_bundle_that_may_not_be_read_is_one_line(
    exported: Exported, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*arguments: Any) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("fer_edge.bundle.opening.os.open", denied)
    with pytest.raises(FerEdgeError, match="permission denied"):
        open_bundle(exported.bundle)


def test_a_full_disk_leaves_no_bundle_behind(exported: Exported, full_disk: Path) -> None:
    given = open_bundle(exported.bundle)
    large = {**given.content, MODEL_CARD: bytes(400_000)}
    with pytest.raises(FerEdgeError, match="no space left"):
        write_bundle(full_disk / "large.fer", replace(given.manifest, name="large"), large)
    assert list(full_disk.iterdir()) == []


def test_the_documentation_describes_every_member_and_every_field() -> None:
    text = (Path(__file__).parents[2] / "docs" / "bundle.md").read_text()
    for name in (*MEMBERS, MANIFEST, *(field.name for field in fields(Manifest))):
        assert f"`{name}`" in text, name
