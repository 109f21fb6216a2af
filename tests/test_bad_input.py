"""Bad input of every kind, through the real command line: one clear line, a remedy, exit code 2."""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fuzzing import with_manifest

from fer_edge.bundle import MANIFEST
from fer_edge.bundle.archive import unpack
from fer_edge.cli import main
from fer_edge.data.dataset import Dataset
from fer_edge.data.packed import write_packed
from fer_edge.labels import LABELS

ROW = " ".join(["7"] * 2304)
HEADER = "emotion,pixels,Usage\n"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(200)


class Place:
    """A folder with bad things in it; each method makes one and returns its path."""

    def __init__(self, folder: Path, bundle: Path) -> None:
        self.folder, self.good_bundle = folder, bundle

    def file(self, name: str, content: bytes | str) -> str:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)

    def csv(self, *rows: str) -> str:
        return self.file("faces.csv", HEADER + "".join(row + "\n" for row in rows))

    def packed(self) -> str:
        """A sound dataset of a few faces."""
        path = self.folder / "few.npz"
        splits = np.repeat(["Training", "PublicTest", "PrivateTest"], 7)
        faces = np.zeros((21, 48, 48), np.uint8)
        write_packed(Dataset("few", LABELS, faces, np.arange(21, dtype=np.uint8) % 7, splits), path)
        return str(path)

    def bundle(self, change: Callable[[bytearray], bytes | bytearray]) -> str:
        return self.file("bad.fer", bytes(change(bytearray(self.good_bundle.read_bytes()))))

    def recipe(self, text: str) -> str:
        return self.file("recipe.toml", text)

    def run_folder(self, **files: bytes | str) -> str:
        described = {
            "path": "synthetic",
            "name": "x",
            "fingerprint": "0" * 64,
            "labels": ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"],
            "train": ["Training"],
            "validation": [],
            "test": ["PrivateTest"],
            "drop_leaks": False,
        }
        self.file("run/data.json", json.dumps(described))
        self.file("run/recipe.toml", 'name = "x"\n[model]\nname = "compact"\n')
        for name, content in files.items():
            self.file(f"run/{name.replace('_', '.')}", content)
        return str(self.folder / "run")


def _flipped(packed: bytearray) -> bytearray:
    packed[len(packed) // 3] ^= 1
    return packed


def _with_manifest(packed: bytearray, change: Callable[[dict[str, Any]], None]) -> bytes:
    members = unpack(bytes(packed))
    manifest = json.loads(members[MANIFEST])
    change(manifest)
    return with_manifest(members, manifest)


def _wrong_size(packed: bytearray) -> bytes:
    return _with_manifest(packed, lambda manifest: manifest["input"].update(shape=[1, 64, 64, 1]))


def _from_the_future(packed: bytearray) -> bytes:
    return _with_manifest(packed, lambda manifest: manifest.update(schema="99.0"))


SMALL = 'name = "x"\n[model]\nname = "compact"\n'

CASES: dict[str, tuple[Callable[[Place], list[str]], str]] = {
    "no such dataset": (
        lambda p: ["data", "inspect", str(p.folder / "none.csv")],
        "none.csv",
    ),
    "a row with too few pixels": (
        lambda p: ["data", "inspect", p.csv(f"3,{ROW},Training", "3,1 2 3,Training")],
        "row 3",
    ),
    "a pixel over 255": (
        lambda p: ["data", "inspect", p.csv(f"3,256{ROW[1:]},Training")],
        "256",
    ),
    "a negative pixel": (
        lambda p: ["data", "inspect", p.csv(f"3,-1{ROW[1:]},Training")],
        "row 2",
    ),
    "pixels that are no numbers": (
        lambda p: ["data", "inspect", p.csv(f"3,x{ROW[1:]},Training")],
        "row 2",
    ),
    "an unknown label": (
        lambda p: ["data", "inspect", p.csv(f"9,{ROW},Training")],
        "9",
    ),
    "a CSV with a header alone": (lambda p: ["data", "inspect", p.csv()], "faces.csv"),
    "a CSV of something else": (
        lambda p: ["data", "inspect", p.file("prices.csv", "day,price\n1,2\n")],
        "prices.csv",
    ),
    "an empty file": (lambda p: ["data", "inspect", p.file("empty.csv", b"")], "empty"),
    "a picture as data": (lambda p: ["data", "inspect", p.file("face.csv", PNG)], "face.csv"),
    "a truncated gzip": (
        lambda p: [
            "data",
            "inspect",
            p.file("faces.csv.gz", gzip.compress((HEADER + f"3,{ROW},Training\n").encode())[:-9]),
        ],
        "faces.csv.gz",
    ),
    "an archive that is none": (
        lambda p: ["data", "inspect", p.file("faces.zip", b"PK\x03\x04 nothing")],
        "faces.zip",
    ),
    "a gzip bomb": (
        lambda p: ["data", "inspect", p.file("faces.csv.gz", gzip.compress(bytes(50 << 20)))],
        "faces.csv.gz",
    ),
    "a folder without pictures": (
        lambda p: [
            "data",
            "inspect",
            str(Path(p.file("folder/train/happy/readme.txt", "hi")).parents[2]),
        ],
        "folder",
    ),
    "a folder of a label nobody knows": (
        lambda p: [
            "data",
            "inspect",
            str(Path(p.file("folder/train/hungry/1.png", PNG)).parents[2]),
        ],
        "hungry",
    ),
    "training without a dataset": (lambda p: ["train", "compact"], "no dataset given"),
    "an unknown recipe": (
        lambda p: ["train", "compakt", "--data", "synthetic"],
        "no recipe 'compakt'",
    ),
    "a recipe with an unknown key": (
        lambda p: ["train", p.recipe(SMALL + "[fit]\nepoch = 3\n"), "--data", "synthetic"],
        "unknown key 'fit.epoch'",
    ),
    "a recipe that is not TOML": (
        lambda p: ["train", p.recipe("name: x"), "--data", "synthetic"],
        "not valid TOML",
    ),
    "a split that the dataset lacks": (
        lambda p: ["train", p.recipe(SMALL + '[data]\ntest = ["Test"]\n'), "--data", p.packed()],
        "no split 'Test'",
    ),
    "a device that is not there": (
        lambda p: ["train", p.recipe(SMALL), "--data", "synthetic", "--devices", "gpu:9"],
        "no device 'gpu:9'",
    ),
    "resuming what was never begun": (lambda p: ["train", "--resume"], "no run"),
    "a run folder under a file": (
        lambda p: ["train", "compact", "--data", p.packed(), "-o", p.file("file", "") + "/run"],
        "cannot write",
    ),
    "evaluating nothing": (
        lambda p: ["evaluate", str(p.folder / "none.keras"), "--data", "synthetic"],
        "no model at",
    ),
    "a damaged Keras file": (
        lambda p: ["evaluate", p.file("model.keras", b"PK junk"), "--data", "synthetic"],
        "is not a Keras model",
    ),
    "a damaged TFLite file": (
        lambda p: [
            "evaluate",
            p.file("model.tflite", b"\x1c\0\0\0TFL3" + bytes(300)),
            "--data",
            "synthetic",
        ],
        "model.tflite cannot be run",
    ),
    "a damaged ONNX file": (
        lambda p: ["evaluate", p.file("model.onnx", b"\x08\x07junk"), "--data", "synthetic"],
        "model.onnx cannot be run",
    ),
    "exporting an unfinished run": (
        lambda p: ["export", p.run_folder(), "--int8"],
        "its training has not ended",
    ),
    "exporting a damaged network": (
        lambda p: [
            "export",
            p.run_folder(model_keras=b"junk", metrics_json='{"epochs": 1}'),
            "--int8",
        ],
        "is not a Keras model",
    ),
    "exporting what is no run": (
        lambda p: ["export", str(p.folder), "--int8"],
        "is not a run folder",
    ),
    "a budget with an unknown key": (
        lambda p: [
            "export",
            p.run_folder(),
            "--int8",
            "--budget",
            p.file("b.toml", "accuracy = 1"),
        ],
        "unknown key 'accuracy'",
    ),
    "no bundle": (lambda p: ["run", str(p.folder / "none.fer"), "--video", "x.mp4"], ""),
    "a truncated bundle": (
        lambda p: ["run", p.bundle(lambda b: b[: len(b) // 2]), "--images", str(p.folder)],
        "is damaged",
    ),
    "a bundle with one flipped bit": (
        lambda p: ["run", p.bundle(_flipped), "--images", str(p.folder)],
        "is damaged",
    ),
    "a bundle for pictures of another size": (
        lambda p: ["run", p.bundle(_wrong_size), "--images", str(p.folder)],
        "64",
    ),
    "a bundle from a newer version": (
        lambda p: ["run", p.bundle(_from_the_future), "--images", str(p.folder)],
        "schema 99",
    ),
    "no such video": (
        lambda p: ["run", str(p.good_bundle), "--video", str(p.folder / "none.mp4")],
        "none.mp4",
    ),
    "a video that is none": (
        lambda p: ["run", str(p.good_bundle), "--video", p.file("clip.mp4", b"not a video")],
        "clip.mp4",
    ),
    "a picture without its option": (
        lambda p: ["run", str(p.good_bundle), p.file("face.png", PNG)],
        "face.png stands there without its option",
    ),
    "a picture in the place of a bundle": (
        lambda p: ["run", p.file("face.png", PNG), "--camera"],
        "face.png is a picture, not a bundle",
    ),
    "a picture that is none": (
        lambda p: ["run", str(p.good_bundle), "--images", p.file("face.png", PNG)],
        "face.png is not a picture that can be read",
    ),
    "a damaged archive of pictures": (
        lambda p: ["run", str(p.good_bundle), "--images", p.file("few.zip", b"PK\x03\x04 none")],
        "few.zip is damaged",
    ),
    "a folder without a picture": (
        lambda p: ["run", str(p.good_bundle), "--images", str(p.folder)],
        "",
    ),
    "a benchmark on no threads": (
        lambda p: ["bench", str(p.good_bundle), "--threads", "0"],
        "got '0'",
    ),
    "a benchmark of a damaged bundle": (
        lambda p: ["bench", p.bundle(_flipped), "--quick"],
        "is damaged",
    ),
    "comparing what is no benchmark": (
        lambda p: ["bench", "--compare", p.file("a.json", "{}"), p.file("b.json", "{}")],
        "a.json is not a benchmark",
    ),
    "a configured detector with a NUL in its name": (
        lambda p: [
            *("run", str(p.good_bundle), "--images", p.file("face.png", PNG), "--config"),
            p.file("device.toml", r'detector = "a\u0000b.onnx"'),
        ],
        r"'a\x00b.onnx' has a NUL character in it",
    ),
    "an address as a video": (
        lambda p: ["run", str(p.good_bundle), "--video", "rtsp://me:secret@host/x"],
        "rtsp://host/x is an address, not a file",
    ),
    "an address as pictures": (
        lambda p: ["run", str(p.good_bundle), "--images", "http://me:secret@host/x"],
        "http://host/x is an address, not a file",
    ),
    "an address in the place of a bundle": (
        lambda p: ["run", "rtsp://me:secret@host/x"],
        "rtsp://host/x is an address, not a file",
    ),
    "an address with one slash": (
        lambda p: ["run", "--camera", "rtsp:/me:secret@host/x"],
        "rtsp://host/x is an address, not a file",
    ),
    "an address without its option": (
        lambda p: ["run", str(p.good_bundle), p.file("a.png", PNG), "rtsp://me:secret@host/x"],
        "rtsp://host/x stands there without its option",
    ),
    "a benchmark on an address": (
        lambda p: ["bench", str(p.good_bundle), "--video", "rtsp://me:secret@host/x"],
        "rtsp://host/x is an address, not a file",
    ),
    "a detector at an address": (
        lambda p: [
            *("run", str(p.good_bundle), "--images", p.file("face.png", PNG)),
            *("--detector", "rtsp://me:secret@host/x"),
        ],
        "rtsp://host/x",
    ),
    "a model at an address": (
        lambda p: ["evaluate", "rtsp://me:secret@host/x", "--data", "synthetic"],
        "rtsp:/host/x",
    ),
    "a dataset at an address": (
        lambda p: ["data", "pack", "https://me:secret@host/x", "-o", "faces.npz"],
        "https:/host/x",
    ),
    "an address in the place of a number": (
        lambda p: ["run", str(p.good_bundle), "--threads", "rtsp://me:secret@host/x?pwd=secret"],
        "got 'rtsp://host/x?…'",
    ),
    "an address with a password behind it": (
        lambda p: ["run", str(p.good_bundle), "--video", "http://host/x?user=me&pwd=secret"],
        "http://host/x?… is an address, not a file",
    ),
    "no camera": (lambda p: ["run", str(p.good_bundle), "--camera", "63"], "63"),
}


@pytest.fixture
def place(tmp_path: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.chdir(tmp_path)
    return Place(tmp_path, bundle)


@pytest.mark.parametrize("case", CASES)
def test_bad_input_gives_one_clear_line_a_remedy_and_exit_code_2(
    case: str, place: Place, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    make, expected = CASES[case]
    arguments = make(place)
    before = _listing(place.folder)
    monkeypatch.setattr(sys, "argv", ["fer-edge", *arguments])
    capfd.readouterr()
    with pytest.raises(SystemExit) as ended:
        main()
    shown = capfd.readouterr()
    lines = [line for line in shown.err.splitlines() if not line.startswith("reading")]
    assert ended.value.code == 2, shown.err
    assert lines[0].startswith("fer-edge: "), shown.err
    assert expected in lines[0], shown.err
    assert len(lines) == 2, f"one line what is wrong, one what to do, not {shown.err}"
    assert lines[1].startswith("  → ")
    assert len(lines[1]) > 10
    assert "secret" not in shown.err
    assert _listing(place.folder) == before, "something was half-written"


def _listing(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
