"""``fer_edge.open``: the pipeline of ``fer-edge run`` for programs."""

from __future__ import annotations

import inspect
import json
import logging
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
from fake_camera import FakeCamera
from fuzzing import with_manifest

import fer_edge
from fer_edge.bundle import INT8_TFLITE, MANIFEST
from fer_edge.bundle.archive import unpack
from fer_edge.cli.device import run as run_command
from fer_edge.device import sources
from fer_edge.device.results import Results
from fer_edge.device.run import RunOptions, run
from fer_edge.device.sources import Frame, Source, SourceCounts, open_source
from fer_edge.device.sources.supervised import Recovery
from fer_edge.errors import FerEdgeError
from fer_edge.labels import LABELS

DOCS = Path(__file__).parents[2] / "docs" / "running.md"


def test_a_programs_results_are_those_of_run(bundle, clip, capsys):
    run(RunOptions(bundle=bundle, video=clip.path, json=True))
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    told = [line for line in told if "label" in line and "event" not in line]
    with fer_edge.open(bundle, video=str(clip.path)) as results:
        found = [(result.frame.index, face) for result in results for face in result.faces]
        assert results.labels == LABELS
    assert [(index, face.track, list(face.box), face.label) for index, face in found] == [
        (line["frame"], line["track"], line["box"], line["label"]) for line in told
    ]
    assert len(found) > 24


def test_the_example_of_the_documentation_works(clip, tmp_path, monkeypatch, capsys):
    (tmp_path / "holiday").mkdir()
    with open_source(video=clip.path, colour=True) as source:
        cv2.imwrite(str(tmp_path / "holiday" / "1.png"), next(source.frames()).colour)
    monkeypatch.chdir(tmp_path)
    (example,) = re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)
    exec(example, {})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert re.match(r"1\.png \w+ \d+% \(\d+, \d+, \d+, \d+\)", lines[0])
    assert "'happy':" in lines[1]


def test_results_that_were_not_opened_are_no_empty_ones(bundle, clip):
    results = fer_edge.open(bundle, video=clip.path)
    with pytest.raises(FerEdgeError, match="not open"):
        next(results)
    with pytest.raises(FerEdgeError, match="not open"):
        list(results)
    with results:
        next(results)
    with pytest.raises(FerEdgeError, match="not open"):
        list(results)


def test_results_that_are_closed_in_the_loop_end_it_and_can_be_opened_again(bundle, clip):
    results = fer_edge.open(bundle, video=clip.path)
    for _ in range(2):
        results.open()
        for number, _ in enumerate(results):
            if number == 2:
                results.close()
        assert number == 2


class _Fragile(Source):
    """Endless frames; ``close`` while one is read is what a decoder crashes of."""

    name = "fragile"
    counts = SourceCounts()

    def __init__(self, during: Callable[[], object]) -> None:
        self.during = during
        self.reading = self.closed = False

    def open(self) -> None:
        pass

    def close(self) -> None:
        assert not self.reading
        self.closed = True

    def frames(self) -> Generator[Frame]:
        while True:
            self.reading = True
            self.during()
            self.reading = False
            yield Frame(0, np.zeros((60, 80), np.uint8), time.perf_counter(), 0.0)


def _closed_elsewhere(results: Results) -> list[BaseException]:
    """What a thread that iterates comes to when this one closes the results."""
    met: list[BaseException] = []

    def iterate() -> None:
        try:
            list(results)
        except BaseException as error:
            met.append(error)

    reader = threading.Thread(target=iterate, daemon=True)
    with results:
        reader.start()
        time.sleep(0.2)
    reader.join(5)
    assert not reader.is_alive()
    return met


def test_closing_from_another_thread_ends_the_iteration_and_never_in_mid_read(bundle, monkeypatch):
    source = _Fragile(during=lambda: time.sleep(0.02))
    monkeypatch.setattr("fer_edge.device.results.open_source", lambda **_: source)
    assert _closed_elsewhere(fer_edge.open(bundle, video="endless.mp4")) == []
    assert source.closed


def test_closing_does_not_wait_for_a_camera_that_gives_nothing(bundle, monkeypatch):
    camera = FakeCamera(["frame", "frame", *["stall"] * 9])
    live = partial(sources.LiveSource, recovery=Recovery(pauses=(60.0,)))
    monkeypatch.setattr(sources, "find_camera", lambda name, colour: camera)
    monkeypatch.setattr(sources, "LiveSource", live)
    assert _closed_elsewhere(fer_edge.open(bundle, camera=0)) == []


def test_a_signals_handler_that_closes_in_mid_read_ends_the_iteration(bundle, monkeypatch):
    reads = iter(range(9))
    results = fer_edge.open(bundle, video="endless.mp4")
    # a handler runs in the thread that it interrupts
    source = _Fragile(during=lambda: next(reads) == 3 and results.close())
    monkeypatch.setattr("fer_edge.device.results.open_source", lambda **_: source)
    with results:
        assert len(list(results)) == 3
    assert source.closed


def test_what_a_program_logs_while_pictures_are_read_is_not_lost(bundle, tmp_path):
    for number in range(60):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((60, 80), number, np.uint8))
    program = f"""
import logging, threading
import fer_edge
ended = threading.Event()
def log():
    number = 0
    while not ended.wait(0.001):
        logging.warning("line %d", number)
        number += 1
    print(number)
with fer_edge.open({str(bundle)!r}, images={str(tmp_path)!r}) as results:
    thread = threading.Thread(target=log)
    thread.start()
    list(results)
    ended.set()
    thread.join()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stderr.count("WARNING:root:line") == int(done.stdout) > 10


def test_a_frames_colours_and_pixels_are_there(bundle, tmp_path):
    cv2.imwrite(str(tmp_path / "blue.png"), np.full((60, 80, 3), (250, 3, 2), np.uint8))
    with fer_edge.open(bundle, images=tmp_path / "blue.png") as results:
        (result,) = results
    assert result.frame.colour[0, 0].tolist() == [250, 3, 2]
    assert result.frame.gray.shape == (60, 80)


def test_what_is_wrong_is_raised_and_what_is_odd_is_logged(bundle, clip, tmp_path, caplog):
    with pytest.raises(FerEdgeError, match="--threads is at least 1"):
        fer_edge.open(bundle, video=clip.path, threads=0)
    with pytest.raises(FerEdgeError, match="name one source"), fer_edge.open(bundle):
        pass
    with pytest.raises(FerEdgeError, match="no such video"):
        fer_edge.open(bundle, video=tmp_path / "gone.mp4").open()
    installed = tmp_path / "installed"
    installed.mkdir()
    (installed / "000001.fer").write_bytes(bundle.read_bytes())
    (installed / "000002.fer").write_bytes(b"broken")
    (installed / "current.fer").symlink_to("000002.fer")
    with caplog.at_level(logging.WARNING), fer_edge.open(installed, video=clip.path) as results:
        next(results)
    assert "using the bundle before it" in caplog.text


def test_what_run_warns_of_a_model_is_logged(bundle, clip, tmp_path, caplog):
    def said(model: Path | str) -> str:
        caplog.clear()
        with caplog.at_level(logging.WARNING), fer_edge.open(model, video=clip.path) as results:
            next(results)
        return caplog.text

    members = unpack(bundle.read_bytes())
    bare = tmp_path / "bare.tflite"
    bare.write_bytes(members[INT8_TFLITE])
    assert "bare.tflite is a bare model: nothing vouches" in said(bare)
    newer = tmp_path / "newer.fer"
    manifest = json.loads(members[MANIFEST]) | {"schema": "1.99"}
    newer.write_bytes(with_manifest(members, manifest))
    assert "newer schema 1.99" in said(newer)
    assert said(bundle).count("no signature was checked") == 1
    assert said("edge-nano") == ""


def test_pictures_that_cannot_be_read_are_logged_and_counted(bundle, tmp_path, caplog):
    cv2.imwrite(str(tmp_path / "1.png"), np.full((60, 80), 9, np.uint8))
    (tmp_path / "2.png").write_bytes(b"no picture")
    results = fer_edge.open(bundle, images=tmp_path)
    with pytest.raises(FerEdgeError, match="not open"):
        _ = results.counts
    with caplog.at_level(logging.WARNING), results:
        assert len(list(results)) == 1
        assert results.counts.unreadable == 1
        assert "2.png" not in caplog.text
    assert caplog.text.count("2.png: not a picture that can be read") == 1
    assert results.counts.unreadable == 1


@pytest.mark.parametrize("option", ["bundle", "video", "images", "detector"])
def test_a_name_that_no_file_can_have_is_refused_by_name(option):
    for name in ("a\0b", "a\0b.fer", "a\0b.onnx"):
        with pytest.raises(FerEdgeError, match=r"'a\\x00b.* has a NUL character"):
            fer_edge.open(**{"images": "face.jpg"} | {option: name})


def test_its_options_are_those_of_the_command():
    command = {
        name: parameter.default
        for name, parameter in inspect.signature(run_command).parameters.items()
    }
    for name, parameter in inspect.signature(fer_edge.open).parameters.items():
        if name != "keys":
            assert command[name] == parameter.default, name


def test_the_package_by_itself_imports_nothing_heavy():
    code = "import sys, fer_edge; print(*{'numpy', 'cv2', 'typer', 'rich'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("", "")
