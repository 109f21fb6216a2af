"""Two results side by side: what their ratios mean, and what spoils them."""

from __future__ import annotations

import copy
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from boards import lay_out

from fer_edge.device.bench.compare import WEAK, compare
from fer_edge.device.bench.run import compare_files
from fer_edge.errors import FerEdgeError

LATENCY = {"mean": 1.0, "min": 0.5, "p50": 0.9, "p90": 2.0, "p99": 4.0, "max": 9.0}


def _result(scenario: str, threads: int, factor: float) -> dict[str, Any]:
    latency = {name: value * factor for name, value in LATENCY.items()}
    return {"model": 0, "scenario": scenario, "threads": threads, "latency_ms": latency}


def _document(factor: float = 1.0) -> dict[str, Any]:
    """What a comparison reads of a benchmark."""
    health = {"governor": "performance"}
    return {
        "kind": "fer-edge bench",
        "schema": "1.0",
        "quick": False,
        "complete": True,
        "throttled": False,
        "machine": {
            "model": "Raspberry Pi 5 Model B Rev 1.0",
            "cpu": "Cortex-A76",
            "architecture": "aarch64",
            "cores": 4,
        },
        "health": {"before": health, "after": health},
        "versions": {"fer_edge": "0.1.0", "kernel": "6.12"},
        "models": [{"sha256": "a" * 64}],
        "inputs": {
            "pipeline": {
                "source": "video",
                "name": "a.mp4",
                "sha256": "c" * 64,
                "frames": 9,
                "detector": {"name": "own", "sha256": "d" * 64},
            }
        },
        "results": [_result("model", 1, factor), _result("pipeline", 2, 10 * factor)],
    }


class Pair:
    """Two documents to be changed, and compared as files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.one, self.other = _document(), _document(2.0)

    def compare(self) -> dict[str, Any]:
        paths = self.folder / "one.json", self.folder / "other.json"
        for path, document in zip(paths, (self.one, self.other), strict=True):
            path.write_text(json.dumps(document))
        return compare(*paths)


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair(tmp_path)


def test_ratios_are_of_the_second_to_the_first_and_called_weak(pair):
    found = pair.compare()
    assert found["ratios"] == [
        {"scenario": "model", "threads": 1, "p50": 2, "p90": 2, "p99": 2, "mean": 2},
        {"scenario": "pipeline", "threads": 2, "p50": 2, "p90": 2, "p99": 2, "mean": 2},
    ]
    assert found["differ"] == []
    assert found["warnings"] == [WEAK]


@pytest.mark.parametrize(
    ("change", "warning"),
    [
        ({"quick": True}, "a quick look"),
        ({"complete": False}, "before it was complete"),
        ({"throttled": True}, "was held back"),
        ({"versions": {"fer_edge": "0.2.0", "kernel": "6.12"}}, "fer_edge 0.1.0 and 0.2.0"),
        ({"health": {"before": {"governor": "ondemand"}}}, "performance, then ondemand"),
    ],
)
def test_what_makes_a_ratio_doubtful_is_told(pair, change, warning):
    pair.other |= change
    assert any(warning in line for line in pair.compare()["warnings"])


def test_one_model_on_two_machines_is_compared_and_so_are_two_models_on_one(pair):
    pair.other["machine"]["cores"] = 2
    found = pair.compare()
    assert found["differ"] == ["machine"]
    assert any("two machines: cores 4 and 2" in line for line in found["warnings"])
    pair.other["machine"]["cores"] = 4
    pair.other["models"][0]["sha256"] = "b" * 64
    assert pair.compare()["differ"] == ["model"]


def test_a_version_that_one_of_them_did_not_need_is_no_difference(pair):
    pair.one["versions"]["opencv"] = "4.14.0"
    pair.other["versions"]["opencv"] = None
    found = pair.compare()
    assert (found["differ"], found["warnings"]) == ([], [WEAK])


def test_another_model_on_another_machine_is_refused(pair):
    pair.other["machine"]["cores"] = 2
    pair.other["models"][0]["sha256"] = "b" * 64
    with pytest.raises(FerEdgeError, match="means nothing"):
        pair.compare()


def test_pipelines_on_other_frames_are_not_compared_but_the_models_are(pair):
    pair.other["inputs"]["pipeline"]["frames"] = 10
    found = pair.compare()
    assert [ratio["scenario"] for ratio in found["ratios"]] == ["model"]
    assert any("not compared" in line for line in found["warnings"])


@pytest.mark.parametrize("part", ["frames", "detector"])
def test_pipelines_on_as_many_other_frames_or_by_another_detector_are_not_compared(pair, part):
    pipeline = pair.other["inputs"]["pipeline"]
    (pipeline if part == "frames" else pipeline["detector"])["sha256"] = "e" * 64
    found = pair.compare()
    assert [ratio["scenario"] for ratio in found["ratios"]] == ["model"]
    assert any("not compared" in line for line in found["warnings"])


@pytest.mark.parametrize("part", ["frames", "detector"])
def test_a_file_that_does_not_tell_its_frames_or_its_detector_is_named(pair, part):
    pipeline = pair.other["inputs"]["pipeline"]
    del (pipeline if part == "frames" else pipeline["detector"])["sha256"]
    found = pair.compare()
    assert len(found["ratios"]) == 2
    (told,) = [line for line in found["warnings"] if "does not tell" in line]
    assert "other.json" in told
    pair.other["results"] = pair.other["results"][:1]
    assert pair.compare()["warnings"] == [WEAK]


def test_the_programs_own_clip_and_cascade_need_no_digest(pair):
    for each in (pair.one, pair.other):
        each["inputs"]["pipeline"] |= {"source": "drawn", "sha256": None}
        each["inputs"]["pipeline"]["detector"] = {"name": "haar", "sha256": None}
    found = pair.compare()
    assert (len(found["ratios"]), found["warnings"]) == (2, [WEAK])


def test_where_a_clip_lies_does_not_matter(pair):
    pair.other["inputs"]["pipeline"]["name"] = "elsewhere/a.mp4"
    assert len(pair.compare()["ratios"]) == 2


def test_results_with_nothing_in_common_are_refused(pair):
    pair.other["results"] = [_result("model", 4, 1.0)]
    with pytest.raises(FerEdgeError, match="nothing in common"):
        pair.compare()


def test_results_of_several_models_are_refused(pair):
    pair.other["models"] *= 2
    with pytest.raises(FerEdgeError, match="2 models that took turns"):
        pair.compare()


@pytest.mark.parametrize(
    "content", ["", "[]", "nonsense", "[" * 100_000, '{"kind": "another"}', '{"kind": []}']
)
def test_what_is_no_benchmark_is_refused(pair, content):
    path = pair.folder / "bad.json"
    path.write_text(content)
    with pytest.raises(FerEdgeError, match=r"bad\.json is not"):
        compare(path, path)


def test_a_file_that_is_not_there_is_told(pair):
    with pytest.raises(FerEdgeError, match=r"cannot read .*none\.json: no such file"):
        compare(pair.folder / "none.json", pair.folder / "none.json")


def test_a_newer_schema_is_refused_and_a_newer_minor_one_read(pair):
    pair.other["schema"] = "1.7"
    assert pair.compare()["ratios"]
    pair.other["schema"] = "2.0"
    with pytest.raises(FerEdgeError, match=r"schema 2\.0"):
        pair.compare()


def _leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value)
    found = []
    for key, each in items:
        found.append((*path, key))
        if isinstance(each, (dict, list)):
            found += _leaves(each, (*path, key))
    return found


@pytest.mark.parametrize("instead", [None, "x", -1, [], {}, float("nan")])
def test_no_damaged_part_of_a_file_ends_in_a_traceback(pair, instead):
    for path in _leaves(pair.other):
        broken = Pair(pair.folder)
        broken.other = copy.deepcopy(pair.other)
        place: Any = broken.other
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = instead
        with suppress(FerEdgeError):
            json.dumps(broken.compare())


def test_a_comparison_is_printed_and_written(pair, tmp_path, capsys, monkeypatch):
    lay_out("pc", tmp_path, monkeypatch)
    pair.compare()
    target = tmp_path / "ratio.json"
    files = pair.folder / "one.json", pair.folder / "other.json"
    compare_files(*files, as_json=False, output=target)
    shown = capsys.readouterr().out
    assert "2.000" in shown
    assert "measured at different times" in " ".join(shown.split())
    assert json.loads(target.read_text())["ratios"][0]["p50"] == 2
    for file in files:
        before = file.read_bytes()
        with pytest.raises(FerEdgeError, match="would replace the result that is read"):
            compare_files(*files, as_json=False, output=file)
        assert file.read_bytes() == before
    compare_files(*files, as_json=True, output=None)
    assert json.loads(capsys.readouterr().out)["schema"] == "1.1"
