"""The manifest: one definition, its schema, and the versions that are read."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from fuzzing import ODD, with_manifest
from maker import Maker

from fer_edge.bundle import INPUT, MANIFEST, Manifest, json_schema, open_bundle
from fer_edge.bundle.archive import pack, unpack
from fer_edge.bundle.manifest import LATER, parse_manifest
from fer_edge.bundle.opening import ALL_MEMBERS
from fer_edge.errors import FerEdgeError

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def members(bundle: Path) -> dict[str, bytes]:
    return unpack(bundle.read_bytes())


@pytest.fixture
def stored(members: dict[str, bytes]) -> dict[str, Any]:
    """The manifest of a small bundle, with figures as an export writes them."""
    estimate = {"value": 0.5, "low": 0.4, "high": 0.6}
    report = {"images": 9, "labels": ["a"], "accuracy": estimate, "macro_f1": estimate}
    check = {"what": "agreement", "measured": estimate, "limit": 97, "verdict": "pass"}
    return json.loads(members[MANIFEST]) | {
        "metrics": {
            "splits": ["PrivateTest"],
            "int8": {**report, "recall": {"a": None}, "confusion": [[9]]},
            "int8_unleaked": None,
            "drop": {"model.int8.tflite": {"accuracy": estimate, "agreement": 1}},
        },
        "gate": {"budget": {}, "model.int8.tflite": {"passed": True, "checks": [check]}},
        "recipe": {"name": "x", "sha256": "0" * 64},
        "dataset": {"name": "x", "drop_leaks": False, "train": ["Training"]},
        "tools": {"fer-edge": "0.1.0"},
        "uncertain": {"threshold": 0.6, "aim": 0.9, "held_out": None},
    }


def _written(stored: Any) -> bytes:
    text = json.dumps(stored, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    return text.encode(errors="surrogatepass")


def test_the_schema_in_docs_is_that_of_the_code() -> None:
    """``make schema`` writes it."""
    assert json.loads((DOCS / "bundle.schema.json").read_text()) == json_schema()


def test_the_schema_describes_every_field_and_asks_for_those_that_1_0_had() -> None:
    schema, names = json_schema(), {each.name for each in fields(Manifest)}
    assert set(schema["properties"]) == names
    assert set(schema["required"]) == names - set(LATER)
    assert all(each["description"] for each in schema["properties"].values())


def test_a_manifest_as_exported_fits_the_schema_by_the_library_that_knows_it(
    stored: dict[str, Any],
) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.Draft202012Validator.check_schema(json_schema())
    jsonschema.validate(stored, json_schema())
    parse_manifest(_written(stored))


def test_our_check_and_the_library_agree_on_hundreds_of_odd_manifests(
    stored: dict[str, Any],
) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft202012Validator(json_schema())
    rng = random.Random(4)
    refused = 0
    for _ in range(300):
        changed = json.loads(json.dumps(stored))
        _spoil(changed, rng)
        expected = validator.is_valid(changed)
        why = _why_refused(changed)
        # what JSON Schema cannot say: a crop of scale 0
        assert (why is None) == expected or "crop" in str(why), why
        refused += why is not None
    assert 50 < refused < 300


def _why_refused(stored: Any) -> Exception | None:
    try:
        parse_manifest(_written(stored))
    except (ValueError, FerEdgeError) as error:
        return error
    return None


# to Python, and so to the library, "$" stands before a last newline too; not so in JSON Schema
_VALUES = [value for value in ODD if value != "\n"]


def _spoil(value: Any, rng: random.Random) -> None:
    """Change, remove or add one thing somewhere inside."""
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    name = rng.choice(keys)
    inner = value[name]
    if isinstance(inner, dict | list) and inner and rng.random() < 0.75:
        _spoil(inner, rng)
    elif rng.random() < 0.2:
        del value[name]
    elif rng.random() < 0.2 and isinstance(value, dict):
        value["more"] = rng.choice(_VALUES)
    else:
        value[name] = rng.choice(_VALUES)


# --- versions -------------------------------------------------------------------------------------


def _opened(members: dict[str, bytes], place: Path, stored: dict[str, Any]) -> Any:
    place.write_bytes(with_manifest(members, stored))
    return open_bundle(place)


@pytest.mark.parametrize("version", [1, "1.0"])
def test_an_older_manifest_is_read_without_what_came_later(
    members: dict[str, bytes], stored: dict[str, Any], tmp_path: Path, version: Any
) -> None:
    older = {name: value for name, value in stored.items() if name not in LATER}
    bundle = _opened(members, tmp_path / "old.fer", older | {"schema": version})
    assert bundle.manifest.schema == "1.0"
    assert bundle.manifest.description == ""
    assert bundle.notes == ()


def test_a_newer_minor_version_is_read_with_a_note_of_what_is_ignored(
    members: dict[str, bytes], stored: dict[str, Any], tmp_path: Path
) -> None:
    newer = stored | {"schema": "1.9", "poetry": {"lines": [1]}, "\x1b[2J": 0}
    bundle = _opened(members, tmp_path / "new.fer", newer)
    assert bundle.manifest.labels == tuple(stored["labels"])
    (note,) = bundle.notes
    assert note.endswith("is of the newer schema 1.9; ignored: \\x1b[2J, poetry")


def test_a_newer_minor_version_may_hold_more_members(
    members: dict[str, bytes], stored: dict[str, Any], tmp_path: Path
) -> None:
    import hashlib

    more = {**members, "model.int4.tflite": b"from the future"}
    files = stored["files"] | {"model.int4.tflite": hashlib.sha256(b"from the future").hexdigest()}
    bundle = _opened(more, tmp_path / "new.fer", stored | {"schema": "1.9", "files": files})
    assert bundle.read("model.int4.tflite") == b"from the future"
    with pytest.raises(FerEdgeError, match="does not belong to a bundle"):
        _opened(more, tmp_path / "now.fer", stored | {"files": files})


@pytest.mark.parametrize(
    ("version", "remedy"),
    [(2, "update"), ("2.0", "update"), ("10.3", "update"), (0, "export"), ("0.9", "export")],
)
def test_another_major_version_is_refused_with_the_remedy(
    members: dict[str, bytes], stored: dict[str, Any], tmp_path: Path, version: Any, remedy: str
) -> None:
    # whatever else it holds: a new major version may have changed everything
    with pytest.raises(FerEdgeError, match=r"has manifest schema .* reads 1") as caught:
        _opened(members, tmp_path / "x.fer", {"schema": version, "all": "new"})
    assert caught.value.hint.startswith(remedy)


@pytest.mark.parametrize(
    "version", [None, True, 1.0, "", "1", "1.", "one", "1.1.1", "1.99999", "١.٠"]
)
def test_what_is_no_version_is_refused(stored: dict[str, Any], version: Any) -> None:
    with pytest.raises(ValueError, match="has no schema version"):
        parse_manifest(_written(stored | {"schema": version}))


def test_a_field_of_a_newer_version_does_not_pass_in_this_one(stored: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="has an unknown entry 'poetry'"):
        parse_manifest(_written(stored | {"poetry": 1}))


# --- what is no manifest --------------------------------------------------------------------------


def _nested(levels: int) -> Any:
    inner: Any = 0
    for _ in range(levels):
        inner = {"a": inner}
    return inner


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda m: m.update(export=_nested(100)), "is not as it was written"),
        (lambda m: m.update(export={"a": "x" * 2_100_000}), "has 2"),
        (lambda m: m.update(name="a\x1b[31mred"), "name is not as it must be"),
        (lambda m: m["tools"].update({"x": "one\ntwo"}), "is not as it must be"),
        (lambda m: m["tools"].update({"\x1b[2Jx": "1"}), r"has an entry of the name '\\x1b\[2Jx'"),
        (lambda m: m["gate"].update({"\x9b2J": {"passed": True}}), "has an entry of the name"),
        (lambda m: m["metrics"]["drop"].update({"a\nb": None}), "has an entry of the name"),
        (lambda m: m["metrics"]["int8"]["accuracy"].update(value=10**400), "is not from -1e"),
        (lambda m: m["metrics"].update(detection=[1]), "detection is no object"),
        (lambda m: m["metrics"].update(detection={"x": 1}), "detection.x is no object"),
        (lambda m: m["metrics"].update(detection={"x": {"int8": {}}}), "int8 has no 'faces'"),
        (lambda m: m.update(labels=["a", "a"]), "has an item twice"),
        (lambda m: m.update(labels=[]), "has 0 items"),
        (lambda m: m.update(golden_tolerance=0.26), "is not from 0 to 0.25"),
        (lambda m: m["crop"].update(scale=0), "scale"),
        (lambda m: m["files"].update({"golden.npz": "0" * 63}), "is not as it must be"),
        (lambda m: m["metrics"]["int8"]["accuracy"].pop("low"), "has no 'low'"),
        (
            lambda m: m["gate"]["model.int8.tflite"]["checks"][0].update(verdict="fine"),
            "is none of",
        ),
    ],
)
def test_a_manifest_that_no_export_writes_is_refused(
    stored: dict[str, Any], change: Callable[[dict[str, Any]], Any], why: str
) -> None:
    change(stored)
    with pytest.raises(ValueError, match=why) as caught:
        parse_manifest(_written(stored))
    assert str(caught.value).isprintable()


def test_a_hundred_labels_of_ones_own_fit_with_all_their_figures(maker: Maker) -> None:
    labels = tuple(f"{number:03} " + "x" * 60 for number in range(100))
    estimate = dict.fromkeys(("value", "low", "high"), 0.12345678901234567)
    by_class = dict.fromkeys(labels, estimate)
    report = dict.fromkeys(("accuracy", "macro_f1", "calibration_error"), estimate)
    report |= {"images": 30_000, "labels": labels, "precision": by_class, "recall": by_class}
    report["confusion"] = [[300] * 100] * 100
    drop = {"accuracy": estimate, "agreement": 0.99, "recall": by_class}
    check = {"measured": estimate, "limit": 3.0, "verdict": "warn", "scope": "all images"}
    checks = [{"what": f"recall drop of {label}", **check} for label in 2 * labels]
    judged = [name for name in ALL_MEMBERS if "float32" not in name and name.startswith("model.")]
    assert len(judged) == 4
    metrics = dict.fromkeys(("float", "float_unleaked", "int8", "int8_unleaked"), report)
    metrics |= dict.fromkeys(("drop", "drop_unleaked"), dict.fromkeys(judged, drop))
    gate = {name: {"passed": True, "checks": checks} for name in judged}
    path = maker.bundle("labels.fer", labels=labels, metrics=metrics, gate=gate)
    assert len(open_bundle(path).written) > 1_000_000
    assert open_bundle(path).labels == labels


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace(": 0.0", ": 0.00", 1),
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace('"name": "tiny"', '"name": "tiny", "name": "tiny"'),
        lambda text: text.replace("  ", " "),
        lambda text: text + "\n",
        lambda text: "\ufeff" + text,
    ],
)
def test_the_same_manifest_in_other_bytes_is_refused(
    members: dict[str, bytes], change: Callable[[str], str], tmp_path: Path
) -> None:
    text = members[MANIFEST].decode()
    assert change(text) != text
    (tmp_path / "x.fer").write_bytes(pack({**members, MANIFEST: change(text).encode()}))
    with pytest.raises(FerEdgeError, match="is damaged: its manifest is not"):
        open_bundle(tmp_path / "x.fer")


def test_input_is_what_every_model_takes(stored: dict[str, Any]) -> None:
    assert parse_manifest(_written(stored))[0].input == INPUT
    with pytest.raises(ValueError, match="has no 'input'"):
        parse_manifest(_written({k: v for k, v in stored.items() if k != "input"}))
