"""train/ablation.py: what it trains, and the table of what each ingredient buys."""

from __future__ import annotations

import json
import os
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import ablation
import pytest

from fer_edge.evaluation.metrics import Estimate
from fer_edge.evaluation.robustness import CLEAN, Robustness, Row
from fer_edge.train.recipe import load_recipe, override


def _metrics(majority: float, accuracy: float) -> dict[str, Any]:
    def whole(value: float) -> dict[str, Any]:
        one = {"value": value}
        return {"whole": {"accuracy": one, "macro_f1": one, "recall": {"fear": one}}}

    return {
        "validation": whole(0.1),
        "validation_majority": whole(majority),
        "heads": {"fer2013": {"validation": whole(accuracy)}},
    }


@pytest.fixture(autouse=True)
def distorted(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The runs whose faces were distorted: 70% and 50% right, in place of a network's answers."""
    asked: list[Path] = []

    def robustness(run: Path, data: None, splits: list[str], head: str) -> Robustness:
        assert (data, splits, head) == (None, ["PublicTest"], "votes")
        asked.append(run)
        rows = [
            Row(kind, "", "float", Estimate(value, 0, 1), Estimate(0, 0, 1), Estimate(0, 0, 1))
            for kind, value in ((CLEAN, 0.9), ("blur", 0.7), ("noise", 0.5))
        ]
        return Robustness(("PublicTest",), 5, "FER+ majority", tuple(rows))

    monkeypatch.setattr(ablation, "robustness_path", robustness)
    return asked


def _write_run(planned: ablation.Planned, metrics: dict[str, Any]) -> None:
    planned.folder.mkdir()
    (planned.folder / "recipe.toml").write_text(planned.recipe.to_toml())
    (planned.folder / "data.json").write_text("{}")
    (planned.folder / "metrics.json").write_text(json.dumps({"interrupted": False, **metrics}))


def test_no_ingredient_lets_a_run_look_at_the_test_split(tmp_path: Path) -> None:
    planned = [*ablation.plan("edge-nano", tmp_path / "faces.npz", tmp_path, 3, [1, 2])]
    names = {each.name for each in planned}
    assert {*ablation.INGREDIENTS} - names == {"no label smoothing"}, "it has none"
    assert len(planned) == 2 * len(names)
    assert len({each.folder for each in planned}) == len(planned)
    for each in planned:
        words = list(each.task.arguments)
        settings = [value for key, value in pairwise(words) if key == "--set"]
        recipe = override(load_recipe(words[1]), settings)
        assert recipe == each.recipe
        assert recipe.data.test == []
        assert bool(recipe.distill.teachers) == (each.name != "no teacher")
        assert recipe.fit.epochs == 3


def test_a_run_that_was_cut_off_goes_on_by_the_same_recipe(tmp_path: Path) -> None:
    def first() -> ablation.Planned:
        return next(ablation.plan("edge-nano", tmp_path / "faces.npz", tmp_path, 3, [1]))

    begun = first()
    _write_run(begun, _metrics(0.8, 0.6) | {"interrupted": True})
    assert first().task.arguments == ("train", "edge-nano", "--resume", *begun.task.arguments[2:])


def test_the_table_has_the_mean_over_the_seeds_and_says_nothing_of_a_head_that_is_not_there() -> (
    None
):
    both = [
        ablation.figures(_metrics(majority, accuracy), ["votes", "fer2013"])
        for majority, accuracy in ((0.8, 0.6), (0.84, 0.62))
    ]
    one = [
        ablation.figures(
            {"validation": _metrics(0, 0.5)["heads"]["fer2013"]["validation"]}, ["fer2013"]
        )
    ]
    first, second = ablation.table({"both": both, "labels": one}).splitlines()[2:]
    assert first.startswith("| both | 82.0 (80.0 – 84.0) | – | 61.0 (60.0 – 62.0) | ")
    assert second == "| labels | – | – | 50.0 | 50.0 | 50.0 | 1 |"


def test_what_is_set_for_all_is_in_each_run_and_in_the_command_of_the_page(tmp_path: Path) -> None:
    changed = "fit.label_smoothing=0.05"
    planned = [*ablation.plan("edge-nano", tmp_path / "faces.npz", tmp_path, 3, [7], [changed])]
    smoothing = {each.name: each.recipe.fit.label_smoothing for each in planned}
    assert smoothing.pop("no label smoothing") == 0
    assert set(smoothing.values()) == {0.05}
    assert "label smoothing" not in smoothing
    without = ablation.plan("edge-nano", tmp_path / "faces.npz", tmp_path, 3, [7])
    assert not {each.folder for each in planned} & {each.folder for each in without}
    report = tmp_path / "ABLATION.md"
    words = ["--data", "f.npz", "-o", str(tmp_path), "--report", str(report), "--no-train"]
    assert ablation.main([*words, "--set", changed]) == 0
    assert f"`edge-nano` with `{changed}`, 24 epochs" in report.read_text()
    assert f"--seeds 1 2 3 --set {changed}\n" in report.read_text()


def test_finished_runs_are_neither_trained_nor_asked_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], distorted: list[Path]
) -> None:
    data = tmp_path / "faces.npz"
    for planned in ablation.plan("edge-nano", data, tmp_path, 3, [7]):
        single = {"validation": _metrics(0, 0.5)["heads"]["fer2013"]["validation"]}
        one_head = planned.folder.name.endswith("-3-7")
        _write_run(planned, single if one_head else _metrics(0.8, 0.6))
    report = tmp_path / "ABLATION.md"
    words = ["--data", str(data), "-o", str(tmp_path), "--report", str(report)]
    for _ in range(2):
        assert ablation.main([*words, "--epochs", "3", "--seeds", "7"]) == 0
        assert not (tmp_path / "logs").exists()
        assert "| no class balance | 80.0 | 60.0 | 60.0 | 60.0 | 60.0 | 1 |" in report.read_text()
        assert "no class balance" in capsys.readouterr().out
    assert len(distorted) == len({*distorted}) == 10, "each once, but the labels alone"
    trained_again = distorted[0] / "metrics.json"
    later = time.time() + 60
    os.utime(trained_again, (later, later))
    assert ablation.main([*words, "--epochs", "3", "--seeds", "7"]) == 0
    assert distorted[10:] == distorted[:1]


@pytest.mark.parametrize("kind", ["cut off", "of another recipe"])
def test_what_is_no_finished_run_of_the_recipe_is_trained_and_does_not_count(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, trained = tmp_path / "faces.npz", []
    for planned in ablation.plan("edge-nano", data, tmp_path, 3, [7]):
        _write_run(planned, _metrics(0.8, 0.6) | {"interrupted": kind == "cut off"})
        if kind != "cut off":
            other = override(planned.recipe, ["fit.learning_rate=0.5"])
            (planned.folder / "recipe.toml").write_text(other.to_toml())

    class Idle:
        def __init__(self, jobs: int) -> None: ...

        def run(self, tasks: list[Any], tick: object) -> list[Any]:
            trained.extend(tasks)
            return []

    monkeypatch.setattr(ablation, "LocalExecutor", Idle)
    report = tmp_path / "ABLATION.md"
    words = ["--data", str(data), "-o", str(tmp_path), "--report", str(report)]
    assert ablation.main([*words, "--epochs", "3", "--seeds", "7"]) == 0
    assert len(trained) == len(ablation.INGREDIENTS) - 1, "one changes nothing"
    assert "80.0" not in report.read_text()
