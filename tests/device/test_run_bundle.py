"""What ``fer-edge run`` takes as its bundle, what it refuses, and what it says of it."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from fuzzing import with_manifest

from fer_edge.bundle import MANIFEST
from fer_edge.bundle.archive import unpack
from fer_edge.device.classifier import newest_bundle, open_classifier
from fer_edge.device.run import RunOptions, run
from fer_edge.errors import FerEdgeError
from fer_edge.labels import LABELS
from fer_edge.shipped import find_shipped


def test_a_bare_model_runs_with_a_warning_that_nothing_was_verified(maker, clip, tmp_path, capsys):
    path = tmp_path / "model.tflite"
    path.write_bytes(maker.content)
    run(RunOptions(bundle=path, video=clip.path, max_frames=2))
    shown = capsys.readouterr()
    assert "nothing vouches for" in shown.err
    assert "nothing verified" in shown.out


def test_a_bundle_that_computes_something_else_here_does_not_run(maker, clip):
    path = maker.bundle("other.fer", golden_shift=3)
    with pytest.raises(FerEdgeError, match="computes something else"):
        run(RunOptions(bundle=path, video=clip.path))


def test_a_bundle_for_pictures_of_another_size_is_refused(bundle, clip, tmp_path):
    members, path = unpack(bundle.read_bytes()), tmp_path / "large.fer"
    stored = json.loads(members[MANIFEST])
    stored["input"]["shape"] = [1, 64, 64, 1]
    path.write_bytes(with_manifest(members, stored))
    with pytest.raises(FerEdgeError, match="64, 64"):
        run(RunOptions(bundle=path, video=clip.path))


def test_a_model_with_another_number_of_labels_is_refused(maker, clip):
    path = maker.bundle("six.fer", labels=LABELS[:6])
    with pytest.raises(FerEdgeError, match="6 labels"):
        run(RunOptions(bundle=path, video=clip.path))


def test_a_bare_model_for_pictures_of_another_size_is_refused(clip, maker, tmp_path):
    path = tmp_path / "small.tflite"
    path.write_bytes(maker.model_for(32))
    with pytest.raises(FerEdgeError, match="32×32"):
        run(RunOptions(bundle=path, video=clip.path))


def test_a_truncated_bundle_is_refused(bundle, clip, tmp_path):
    path = tmp_path / "cut.fer"
    path.write_bytes(bundle.read_bytes()[:-100])
    with pytest.raises(FerEdgeError, match="damaged"):
        run(RunOptions(bundle=path, video=clip.path))


def test_a_bundle_with_one_flipped_bit_is_refused_wherever_it_is(bundle, clip, tmp_path):
    whole = bundle.read_bytes()
    path = tmp_path / "flipped.fer"
    for place in np.random.default_rng(0).integers(0, len(whole), 25):
        spoiled = bytearray(whole)
        spoiled[place] ^= 1
        path.write_bytes(spoiled)
        with pytest.raises(FerEdgeError):
            open_classifier(path)


def test_a_run_folder_given_as_bundle_is_pointed_to_export(tmp_path, clip):
    with pytest.raises(FerEdgeError) as caught:
        run(RunOptions(bundle=tmp_path, video=clip.path))
    assert "fer-edge export" in caught.value.hint


def test_a_bundle_that_nobody_named_is_told_and_so_is_why_a_damaged_one_was_tried(
    bundle, clip, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stray.fer").write_bytes(bundle.read_bytes())
    run(RunOptions(video=clip.path, max_frames=1))
    told = capsys.readouterr().err.splitlines()[0]
    assert told.startswith("using ./stray.fer, the newest here;")
    assert "edge-small" in told
    (tmp_path / "bundles").mkdir()
    (tmp_path / "bundles" / "cut.fer").write_bytes(bundle.read_bytes()[:-100])
    with pytest.raises(FerEdgeError) as caught:
        run(RunOptions(video=clip.path))
    assert "is damaged" in caught.value.message
    assert "./bundles/cut.fer is the newest in ./bundles" in caught.value.message
    assert "edge-small" in caught.value.hint


def test_a_run_says_when_no_signature_was_checked(bundle, clip, capsys):
    run(RunOptions(bundle=bundle, video=clip.path, max_frames=1))
    assert "no signature was checked" in capsys.readouterr().err
    run(RunOptions(bundle=find_shipped(Path("edge-nano")), video=clip.path, max_frames=1))
    assert "signature" not in capsys.readouterr().err


def test_the_newest_bundle_is_taken_when_none_is_named(tmp_path):
    with pytest.raises(FerEdgeError, match="no bundle was named"):
        newest_bundle([tmp_path / "bundles", tmp_path])
    (tmp_path / "bundles").mkdir()
    for age, name in ((30, "old"), (10, "new"), (20, "middle")):
        path = tmp_path / "bundles" / f"{name}.fer"
        path.touch()
        os.utime(path, (time.time() - age, time.time() - age))
    (tmp_path / "newer-elsewhere.fer").touch()
    assert newest_bundle([tmp_path / "bundles", tmp_path]).name == "new.fer"


@pytest.mark.parametrize(
    ("name", "option"), [("a.JPG", "--images"), ("a.mp4", "--video"), (".", "--images")]
)
def test_frames_in_the_place_of_a_bundle_are_told_their_option(name, option, tmp_path):
    (tmp_path / "a.JPG").touch()
    (tmp_path / "a.mp4").touch()
    with pytest.raises(FerEdgeError, match="is no bundle") as caught:
        run(RunOptions(bundle=tmp_path / name))
    assert f"fer-edge run {option} {tmp_path / name}" in caught.value.hint


@pytest.mark.parametrize("file", [".", "model.keras", "checkpoints/epoch-0001.keras"])
def test_a_trained_network_says_which_folder_is_exported(file: str, tmp_path: Path) -> None:
    run = tmp_path / "my run"
    (run / "checkpoints").mkdir(parents=True)
    for name in ("data.json", "model.keras", "checkpoints/epoch-0001.keras"):
        (run / name).write_text("")
    with pytest.raises(FerEdgeError, match="is a training's result") as refused:
        open_classifier(run / file)
    assert refused.value.hint.endswith(f": fer-edge export '{run}' --int8")
    (run / "data.json").unlink()
    with pytest.raises(FerEdgeError, match="is a training's result") as refused:
        open_classifier(run / "model.keras")
    assert refused.value.hint.endswith(": fer-edge export RUN --int8")


def test_a_picture_in_the_place_of_a_bundle_is_not_called_damaged(clip, tmp_path):
    for name in ("a.jpg", "a.png", "a.bmp", "a.tiff", "a.webp"):
        cv2.imwrite(str(tmp_path / name), np.zeros((9, 9), np.uint8))
        with pytest.raises(FerEdgeError, match=f"{name} is a picture, not a bundle") as caught:
            run(RunOptions(bundle=tmp_path / name, video=clip.path))
        assert "--images" in caught.value.hint
