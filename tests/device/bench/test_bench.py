"""``fer-edge bench`` as a whole: the JSON it gives, the table it shows, how it is ended."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from boards import BOARDS, PMIC_WATTS, lay_out

from fer_edge.cli import main
from fer_edge.device.bench.plan import BenchOptions
from fer_edge.device.bench.rule import QUICK, Rule
from fer_edge.device.bench.run import bench
from fer_edge.device.bench.stream import Stream, measure
from fer_edge.device.classifier import open_classifier
from fer_edge.errors import FerEdgeError
from fer_edge.files import sha256
from fer_edge.shipped import DETECTOR_FILE, FOLDER, release_key

SHORT = Rule(min_seconds=0.1, min_queries=130, warm_up_seconds=0.0, warm_up_queries=3)


@pytest.fixture(autouse=True)
def quiet_sensors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look early, as these measurements last no 0.3 seconds."""
    monkeypatch.setattr("fer_edge.device.bench.sensors._FIRST", 0.02)


def _noise(count: int, size: tuple[int, int]) -> Iterator[np.ndarray]:
    rng = np.random.default_rng(0)
    return (rng.integers(0, 256, (size[1], size[0], 3)).astype(np.uint8) for _ in range(count))


def _bench(capsys: pytest.CaptureFixture[str], **options: Any) -> tuple[int, dict, str]:
    """Exit code, JSON, and what a person sees beside it."""
    settings: dict[str, Any] = {"draw": _noise, "threads": "1", "rule": SHORT} | options
    code = bench(BenchOptions(**settings, json=True))
    captured = capsys.readouterr()
    return code, json.loads(captured.out), captured.err


def _shape(value: Any) -> Any:
    """Which keys a document has, all the way down; what they hold does not matter."""
    if isinstance(value, dict):
        return {key: _shape(each) for key, each in value.items() if key not in _MAY_BE_NULL}
    return [_shape(each) for each in value] if isinstance(value, list) else None


_MAY_BE_NULL = {"clocks", "rails_watts", "energy_mj", "throttle_reasons"}


def test_both_scenarios_are_measured_and_nothing_is_missing(bundle, clip, capsys, tmp_path):
    target = tmp_path / "new/result.json"
    code, found, shown = _bench(capsys, bundles=(bundle,), video=clip.path, output=target)
    assert code == 0
    assert json.loads(target.read_text()) == found
    assert (found["kind"], found["schema"]) == ("fer-edge bench", "1.1")
    assert found["complete"] is True
    assert found["quick"] is False
    (model,) = found["models"]
    assert (model["file"], model["member"], model["format"]) == (
        str(bundle),
        "model.int8.tflite",
        "tflite",
    )
    assert len(model["sha256"]) == 64
    assert model["verified"] is True
    alone, pipeline = found["results"]
    assert (alone["scenario"], pipeline["scenario"]) == ("model", "pipeline")
    for result in (alone, pipeline):
        latency = result["latency_ms"]
        assert 0 < latency["min"] <= latency["p50"] <= latency["p90"] <= latency["p99"]
        assert latency["p99"] <= latency["max"]
        assert result["score_ms"] == latency["p90"]
        assert result["queries"] >= 130
        assert result["warm_up_queries"] == 3
        assert result["per_second"] == pytest.approx(1e3 / latency["mean"], rel=1e-3)
        assert result["seconds"] >= result["queries"] * latency["mean"] / 1e3 * 0.99
    assert pipeline["faces_per_frame"] == pytest.approx(2, abs=0.1)
    assert all(pipeline["stages_ms"][stage]["p50"] > 0 for stage in ("detect", "crop", "infer"))
    assert alone["latency_ms"]["p50"] < pipeline["latency_ms"]["p50"]
    frames = found["inputs"]["pipeline"]
    assert (frames["source"], frames["synthetic"], frames["frames"]) == ("video", False, 24)
    assert frames["sha256"] == sha256(clip.path)
    assert len(frames["detector"].pop("sha256")) == 64
    assert frames["detector"] == {"name": "own", "every": 10, "min_face": 0.15}
    assert all(found["versions"].values())
    assert model["sha256"] in shown
    assert "quick" not in shown


def test_the_json_has_the_same_keys_on_every_laid_out_board(
    bundle, clip, capsys, tmp_path, monkeypatch
):
    """Zero 2 W, Pi 4, Pi 5 and a PC where everything is absent."""
    found = {}
    for name in BOARDS:
        root = lay_out(name, tmp_path, monkeypatch).root
        _, found[name], _ = _bench(capsys, bundles=(bundle,), video=clip.path, root=root)
    shapes = [_shape(document) for document in found.values()]
    assert all(shape == shapes[0] for shape in shapes)
    for name, model in (
        ("zero 2 w", "Raspberry Pi Zero 2 W Rev 1.0"),
        ("pi 4", "Raspberry Pi 4 Model B Rev 1.4"),
        ("pi 5", "Raspberry Pi 5 Model B Rev 1.0"),
    ):
        document = found[name]
        assert document["machine"]["model"] == model
        assert document["machine"]["cpu"].startswith("Cortex-A")
        assert document["memory"]["peak_rss_mib"] == 80
        assert document["throttled"] is False
        for moment in ("before", "after"):
            health = document["health"][moment]
            assert health["temperature_c"] == 48.312
            assert health["governor"] in ("performance", "ondemand")
            assert health["throttled"] == 0
            assert health["load"] == 0.08
            assert health["clocks"][0]["possible_mhz"] >= 1000
        assert (health["measured_mhz"] is None) == (name == "zero 2 w")
    pi_5, pi_4, pc = found["pi 5"], found["pi 4"], found["pc"]
    assert pi_4["idle_watts"] is None
    assert {result["energy_mj"] for result in pi_4["results"]} == {None}
    assert pi_5["idle_watts"] == pytest.approx(PMIC_WATTS, abs=1e-3)
    for result in pi_5["results"]:
        each = PMIC_WATTS * result["seconds"] / result["queries"] * 1e3
        assert result["energy_mj"]["whole"] == pytest.approx(each, rel=0.01)
        assert result["energy_mj"]["above_idle"] == pytest.approx(0, abs=each / 100)
    assert pc["throttled"] is None
    assert pc["machine"]["model"] is pc["machine"]["cpu"] is pc["memory"]["peak_rss_mib"] is None
    assert pc["health"]["before"]["governor"] is None


def test_the_table_of_a_laid_out_pi_5_tells_what_its_sensors_say(
    bundle, capsys, tmp_path, monkeypatch
):
    board = lay_out("pi 5", tmp_path, monkeypatch)
    _, _, shown = _bench(capsys, bundles=(bundle,), root=board.root, scenario="model")
    for part in (
        "Raspberry Pi 5 Model B Rev 1.0, Cortex-A76",
        "governor performance",
        "48 → 48 °C",
        "cores at 2400 MHz or more",
        "throttle bits 0x0 → 0x0",
        "peak memory 80 MiB",
        "W on the rails",
        "above idling",
    ):
        assert part in shown
    assert "scaling_governor" not in shown
    assert "held back" not in shown
    assert "other programs" not in shown


def test_the_table_of_a_laid_out_pc_leaves_out_what_is_absent(
    bundle, capsys, tmp_path, monkeypatch
):
    board = lay_out("pc", tmp_path, monkeypatch)
    _, _, shown = _bench(capsys, bundles=(bundle,), root=board.root, scenario="model")
    for part in ("governor", "°C", "throttle", "peak memory", "rails", "None", "null"):
        assert part not in shown


def test_a_run_that_throttled_says_so_and_a_governor_gets_a_hint(
    bundle, capsys, tmp_path, monkeypatch
):
    board = lay_out("pi 4", tmp_path, monkeypatch)
    board.clock(asked=1800, allowed=1800, possible=1800, governor="ondemand")
    board.write("proc/loadavg", "2.31 1.0 0.5 1/150 4711\n")
    board.firmware(measure_clock="frequency(48)=900000000")
    _, found, shown = _bench(capsys, bundles=(bundle,), root=board.root, scenario="model")
    assert found["throttled"] is True
    assert found["throttle_reasons"] == ["the cores ran at 900 MHz when 1800 were asked for"]
    assert "held back: the cores ran at 900 MHz" in shown
    assert "echo performance | sudo tee" in shown
    assert "other programs were at work (load 2.31 before the start)" in shown


def test_two_bundles_take_turns_and_their_ratio_has_an_interval(bundle, capsys, clip):
    _, found, shown = _bench(capsys, bundles=(bundle, bundle), video=clip.path)
    assert [(result["model"], result["scenario"]) for result in found["results"]] == [
        (0, "model"),
        (1, "model"),
        (0, "pipeline"),
        (1, "pipeline"),
    ]
    first, second = found["results"][:2]
    assert first["queries"] == second["queries"]
    alone, pipeline = found["ratios"]
    assert (alone["model"], alone["against"], alone["scenario"]) == (1, 0, "model")
    assert alone["p50"]["low"] <= alone["p50"]["value"] <= alone["p50"]["high"]
    assert 0.5 < alone["p50"]["value"] < 2  # the same model
    assert pipeline["blocks"] == 4
    assert {result["energy_mj"] for result in found["results"]} == {None}
    assert "Time against A in the same run" in shown
    assert "model B" in shown
    assert "within 1% of 1 is no difference" in shown


def test_frames_without_a_face_are_told(bundle, capsys):
    _, found, shown = _bench(capsys, bundles=(bundle,), scenario="pipeline")
    assert found["inputs"]["pipeline"]["synthetic"] is True
    assert found["results"][0]["faces_per_frame"] == 0
    assert found["results"][0]["stages_ms"]["infer"] is None
    assert "no face was found" in shown
    assert "a drawn clip (synthetic)" in shown


def test_pictures_of_a_folder_are_searched_one_by_one(bundle, capsys, tmp_path):
    import cv2

    for number, picture in enumerate(_noise(3, (120, 90))):
        cv2.imwrite(str(tmp_path / f"{number}.png"), picture)
    _, found, _ = _bench(capsys, bundles=(bundle,), images=tmp_path, scenario="pipeline")
    assert found["inputs"]["pipeline"]["source"] == "images"
    assert found["inputs"]["pipeline"]["detector"]["every"] == 1
    before = found["inputs"]["pipeline"]["sha256"]
    picture = cv2.imread(str(tmp_path / "0.png"))
    cv2.imwrite(str(tmp_path / "0.png"), 255 - picture)
    _, found, _ = _bench(capsys, bundles=(bundle,), images=tmp_path, scenario="pipeline")
    assert found["inputs"]["pipeline"]["sha256"] not in (before, None)


def test_opencv_has_as_many_threads_afterwards_as_before(bundle, clip, capsys):
    import cv2

    before = cv2.getNumThreads()
    _bench(capsys, bundles=(bundle,), video=clip.path, scenario="pipeline")
    assert cv2.getNumThreads() == before


def test_ctrl_c_gives_what_was_measured_and_marks_it_incomplete(
    bundle, capsys, tmp_path, monkeypatch
):
    def interrupted(queries: Any, rule: Rule, stopped: Any) -> Stream:
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
        return measure(queries, rule, stopped)

    monkeypatch.setattr("fer_edge.device.bench.run.measure", interrupted)
    target = tmp_path / "result.json"
    code, found, shown = _bench(
        capsys, bundles=(bundle,), rule=Rule(600, 1024, 0.0, 0), output=target
    )
    assert code == 130
    assert found["complete"] is False
    (result,) = found["results"]
    assert (result["complete"], result["scenario"]) == (False, "model")
    assert result["queries"] > 100
    assert json.loads(target.read_text()) == found
    assert "incomplete" in shown
    assert "cut short: model, threads 1" in shown


def test_a_bundle_that_is_replaced_while_it_is_measured_is_told(bundle, capsys, monkeypatch):
    opened = open_classifier(bundle)
    given = iter([opened, replace(opened, sha256="0" * 64)])
    monkeypatch.setattr("fer_edge.device.bench.run.open_chosen", lambda *_, **__: next(given))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    with pytest.raises(FerEdgeError, match="changed while it was measured"):
        _bench(capsys, bundles=(bundle,), threads="1,2", scenario="model")


def test_ctrl_c_before_anything_was_measured_writes_nothing(bundle, capsys, tmp_path):
    def interrupting(count: int, size: tuple[int, int]) -> Iterator[np.ndarray]:
        os.kill(os.getpid(), signal.SIGINT)
        return _noise(count, size)

    with pytest.raises(KeyboardInterrupt):
        _bench(capsys, bundles=(bundle,), draw=interrupting, output=tmp_path / "result.json")
    assert not list(tmp_path.iterdir())


def test_the_quick_command_draws_its_own_clip_and_marks_itself(bundle, tmp_path):
    command = [sys.executable, "-m", "fer_edge", "bench", str(bundle), "--quick", "--threads", "1"]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["quick"] is True
    assert found["rule"]["min_seconds"] == QUICK.min_seconds
    assert found["results"][1]["faces_per_frame"] > 1
    assert "quick: not by the rule" in done.stderr


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"threads": "1,x"}, "'1,x'"),
        ({"threads": "0"}, "'0'"),
        ({"threads": "²"}, "'²'"),
        ({"threads": "4096"}, "4096 threads"),
        ({"scenario": "all"}, "'all'"),
        ({"scenario": "model", "images": Path()}, "takes none"),
        ({"bundles": (Path("a.fer"),) * 9}, "9 models"),
        ({"detect_every": 0}, "got 0"),
        ({"min_face": 3.0}, "got 3"),
        ({"detector": "eyes"}, "'eyes'"),
        ({"video": Path("none.mp4")}, "none.mp4"),
        ({"video": Path("a"), "images": Path("b")}, "one source"),
        ({"output": Path("/proc/none/x.json")}, "/proc/none/x.json"),
        ({"output": Path("/")}, "/"),
    ],
)
def test_a_wrong_option_is_told_before_anything_is_measured(bundle, wrong, said, monkeypatch):
    monkeypatch.setattr("fer_edge.device.bench.run.measure", pytest.fail)
    with pytest.raises(FerEdgeError) as told:
        bench(BenchOptions(**({"draw": _noise, "bundles": (bundle,)} | wrong)))
    assert said in told.value.message + told.value.hint
    assert told.value.hint


@pytest.mark.parametrize("named", ["video", "images", "bundles", "newest", "detector", "keys"])
def test_a_result_does_not_replace_what_it_is_measured_on(
    named, bundle, clip, tmp_path, monkeypatch
):
    monkeypatch.setattr("fer_edge.device.bench.run.measure", pytest.fail)
    monkeypatch.chdir(tmp_path)
    source = {"video": clip.path, "detector": FOLDER / DETECTOR_FILE, "keys": release_key()}
    file = Path("input.fer")
    shutil.copy(source.get(named, bundle), file)
    before = file.read_bytes()
    options: dict[str, Any] = {
        "video": {"video": file},
        "images": {"images": file},
        "bundles": {"bundles": (file,)},
        "newest": {"bundles": ()},
        "detector": {"detector": str(file)},
        "keys": {"keys": (file,)},
    }[named]
    with pytest.raises(FerEdgeError, match=r"-o .* would replace the .* that is read") as told:
        bench(BenchOptions(**{"draw": _noise, "bundles": (bundle,), "output": file} | options))
    assert told.value.hint
    assert file.read_bytes() == before


def test_the_command_refuses_bundles_beside_a_comparison(bundle, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["fer-edge", "bench", str(bundle), "--compare", "a", "b"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "--compare takes two results" in capsys.readouterr().err
