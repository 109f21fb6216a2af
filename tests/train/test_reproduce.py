"""What ``fer-edge reproduce`` plans, skips, runs and writes."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fer_edge.chatter import import_keras
from fer_edge.data.dataset import Dataset
from fer_edge.data.packed import write_packed
from fer_edge.errors import FerEdgeError
from fer_edge.labels import CKPLUS_LABELS

keras = import_keras()

from fer_edge.instructions import read_instructions  # noqa: E402
from fer_edge.macs import multiply_accumulates  # noqa: E402
from fer_edge.train.models import build_model  # noqa: E402
from fer_edge.train.reproduce import Options, reproduce  # noqa: E402
from fer_edge.train.reproduce.cost import training_faces  # noqa: E402
from fer_edge.train.reproduce.execute import LocalExecutor, Task  # noqa: E402
from fer_edge.train.reproduce.plan import Source, find_run, plan  # noqa: E402
from fer_edge.train.reproduce.results import look  # noqa: E402
from fer_edge.train.reproduce.run import write_results  # noqa: E402
from fer_edge.train.reproduce.tables import markdown  # noqa: E402
from fer_edge.train.run import train  # noqa: E402


def test_the_plan_holds_fourteen_networks_on_two_datasets() -> None:
    experiments = plan()
    networks = {(e.recipe.model.name, *sorted(e.recipe.model.options.items())) for e in experiments}
    assert len(networks) == 14
    on_fer2013 = [e for e in experiments if e.paper.dataset == "fer2013"]
    assert len(on_fer2013) == 15, "Kumar's network in both orders of oversampling"
    on_ck48 = [e for e in experiments if e.paper.dataset == "ck+48"]
    assert len(on_ck48) == 8 * 2 * 3
    assert {e.variant for e in on_ck48} == {"by image", "by subject"}
    assert len({e.folder_name for e in experiments}) == len(experiments)


def test_papers_and_recipes_can_be_chosen_and_cut_short() -> None:
    assert {e.base for e in plan(["mondal"])} == {
        "mondal-shallow",
        "mondal-improved",
        "mondal-deep",
    }
    (only,) = plan(["kusno-4"], epochs_scale=0.1)
    assert (only.base, only.recipe.fit.epochs) == ("kusno-4", 5)
    assert plan(["kusno-4"], epochs_scale=1e-6)[0].recipe.fit.epochs == 1


@pytest.mark.parametrize(
    ("papers", "scale", "message", "hint"),
    [
        (["kusnow"], 1.0, "'kusnow'", "did you mean 'kusno'?"),
        (["compact"], 1.0, "'compact'", ""),
        ([], 0.0, "--epochs-scale is 0", "above 0"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(
    papers: list[str], scale: float, message: str, hint: str
) -> None:
    with pytest.raises(FerEdgeError) as caught:
        plan(papers, scale)
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_what_can_be_reproduced_is_named_once() -> None:
    with pytest.raises(FerEdgeError, match="no paper or recipe of a paper 'x'") as refused:
        plan(["x"])
    known = refused.value.hint.removeprefix("known: ").split(", ")
    assert len(known) == len(set(known))


@pytest.mark.parametrize(
    ("name", "options", "macs"),
    [("triwijoyo", {}, 722.1e6), ("mondal_shallow", {}, 77.3e6), ("compact", {}, 7.4e6)],
)
def test_multiply_accumulates_are_those_of_the_tables(
    name: str, options: dict[str, int], macs: float
) -> None:
    assert multiply_accumulates(build_model(name, 7, options)) == pytest.approx(macs, rel=0.01)


@pytest.fixture(scope="module")
def faces(blob_dataset: Dataset) -> Dataset:
    """150 pictures in FER2013's three splits, with uneven classes."""
    picked = blob_dataset.subset(np.r_[0:90, 448:478, 544:574])
    uneven = np.where(picked.targets == 5, 6, picked.targets).astype(np.uint8)
    return replace(picked, targets=uneven)


def as_source(dataset: Dataset) -> Source:
    return Source("faces.npz", dataset, dataset.fingerprint())


def test_oversampled_training_is_counted_as_large_as_it_becomes(faces: Dataset) -> None:
    (honest,), (leaky,) = plan(["kumar"])[:1], plan(["kumar-leaky"])
    assert len(set(faces.targets.tolist())) == 6
    largest = np.bincount(faces.targets).max()
    assert training_faces(leaky.recipe, faces) == round(0.8 * 6 * largest)
    assert training_faces(honest.recipe, faces) == pytest.approx(0.8 * 6 * largest, abs=6)


def test_ck48_and_fer2013_are_told_apart_by_labels_and_splits(faces: Dataset) -> None:
    ck = replace(faces, labels=CKPLUS_LABELS, splits=np.full(len(faces), "all"))
    unsplit = replace(faces, splits=np.full(len(faces), "all"))
    kinds = [as_source(each).kind for each in (faces, ck, unsplit)]
    assert kinds == ["fer2013", "ck+48", None]


@pytest.fixture(scope="module")
def by_hand(faces: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Kumar's leaky run, trained for one epoch."""
    folder = tmp_path_factory.mktemp("by-hand")
    write_packed(faces, folder / "faces.npz")
    data, output = str(folder / "faces.npz"), folder / "run"
    return train("kumar-leaky", data, output=output, overrides=["fit.epochs=1"]).folder


@pytest.fixture
def trained(by_hand: Path, tmp_path: Path) -> Path:
    """A runs folder that holds a copy of it."""
    shutil.copytree(by_hand, tmp_path / "runs" / "by-hand")
    return tmp_path / "runs"


def test_a_run_trained_by_hand_counts_and_is_reported_as_leaky(
    trained: Path, faces: Dataset, tmp_path: Path
) -> None:
    experiments = plan(["kumar"], epochs_scale=1 / 32)
    records = look(experiments, {"fer2013": as_source(faces)}, trained)
    state = {record.experiment.base: record.state for record in records}
    assert state == {"kumar": "not started", "kumar-leaky": "done"}
    write_results(records, tmp_path / "report", trained, 1 / 32)
    page = (tmp_path / "report" / "RESULTS.md").read_text()
    (row,) = (line for line in page.splitlines() if line.startswith("| kumar-leaky"))
    leaked = json.loads((trained / "by-hand" / "metrics.json").read_text())["test"]
    twins = leaked["leaked"] / leaked["whole"]["images"]
    assert twins > 0.3
    assert "**leaky**" in row
    assert "83.0% test" in row
    assert "**1 of 32**" in row
    assert f"{leaked['whole']['accuracy']['value']:.1%} (" in row
    assert f"{twins:.0%} of the test images stand in training" in row
    assert "fer-edge train kumar-leaky --data faces.npz --set fit.epochs=1" in page
    assert (tmp_path / "report" / "figures" / "kumar.png").stat().st_size > 5000
    content = json.loads((tmp_path / "report" / "results.json").read_text())
    measured = next(run for run in content["runs"] if run["recipe"] == "kumar-leaky")
    assert measured["reported"]["test_accuracy"] == 0.83
    assert measured["test"] == leaked
    assert measured["environment"]["board"]["cores"] >= 1


def test_a_report_keeps_the_runs_of_another_machine(
    trained: Path, faces: Dataset, tmp_path: Path
) -> None:
    experiments = plan(["kumar"], epochs_scale=1 / 32)
    sources, report = {"fer2013": as_source(faces)}, tmp_path / "report"
    write_results(look(experiments, sources, trained), report, trained, 1 / 32)
    before = json.loads((report / "results.json").read_text())["runs"]
    (measured,) = (run for run in before if run["state"] == "done")
    assert measured["history"]["accuracy"] == pytest.approx(
        [measured["training"]["accuracy"]], rel=1e-4
    )
    (tmp_path / "here").mkdir()
    only_shallow = plan(["mondal-shallow"], epochs_scale=1 / 32)
    write_results(look(only_shallow, sources, tmp_path / "here"), report, tmp_path / "here", 1 / 32)
    after = json.loads((report / "results.json").read_text())["runs"]
    assert [run["recipe"] for run in after] == ["mondal-shallow", "kumar-leaky"]
    assert measured in after
    page = (report / "RESULTS.md").read_text()
    assert f"{measured['test']['whole']['accuracy']['value']:.1%} (" in page
    assert "| mondal-shallow |" in page


def test_of_trainings_that_differ_in_epochs_alone_a_report_keeps_the_longest(
    trained: Path, faces: Dataset, tmp_path: Path
) -> None:
    sources, report = {"fer2013": as_source(faces)}, tmp_path / "report"
    results, page = report / "results.json", report / "RESULTS.md"
    shorter = look(plan(["kumar-leaky"], epochs_scale=1 / 32), sources, trained)
    write_results(shorter, report, trained, 1 / 32)
    nothing = tmp_path / "nothing"
    write_results(look(plan(["kumar-leaky"]), sources, nothing), report, nothing)
    assert "**1 of 32**" in page.read_text()
    (entry,) = json.loads(results.read_text())["runs"]
    (longer,) = plan(["kumar-leaky"], epochs_scale=2 / 32)
    entry |= {"recipe_fingerprint": longer.fingerprint, "epochs": 2, "epochs_of_recipe": 2}
    results.write_text(json.dumps({"runs": [entry]}))
    write_results(shorter, report, trained, 1 / 32)
    assert "**2 of 32**" in page.read_text()


def test_a_dry_run_on_80_columns_marks_what_the_report_has_of_elsewhere(
    trained: Path,
    by_hand: Path,
    faces: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    experiments, report = plan(["kumar"], epochs_scale=1 / 32), tmp_path / "report"
    records = look(experiments, {"fer2013": as_source(faces)}, trained)
    write_results(records, report, trained, 1 / 32)
    data = [str(by_hand.parent / "faces.npz")]
    for runs, states in (
        (trained, {"kumar": "not started", "kumar-leaky": "done"}),
        (tmp_path / "nothing", {"kumar": "not started", "kumar-leaky": "not started *"}),
    ):
        reproduce(Options(["kumar"], data, runs, report, epochs_scale=1 / 32, dry_run=True))
        lines = capsys.readouterr().out.splitlines()
        rows = {line.split()[0]: line for line in lines if line.startswith("kumar")}
        assert {name: row.rstrip().endswith(states[name]) for name, row in rows.items()} == {
            "kumar": True,
            "kumar-leaky": True,
        }
        assert any(line.startswith("* finished elsewhere") for line in lines) == (
            "*" in str(states)
        )


def test_runs_elsewhere_of_another_dataset_or_recipe_are_not_kept(
    trained: Path, faces: Dataset, tmp_path: Path
) -> None:
    experiments = plan(["kumar-leaky"], epochs_scale=1 / 32)
    report, nothing = tmp_path / "report", tmp_path / "nothing"
    write_results(
        look(experiments, {"fer2013": as_source(faces)}, trained), report, trained, 1 / 32
    )
    earlier = json.loads((report / "results.json").read_text())
    others = {"fer2013": as_source(replace(faces, faces=255 - faces.faces))}
    recipe = {**earlier["runs"][0], "recipe_fingerprint": "0" * 64}
    for sources, runs in ((others, earlier["runs"]), ({"fer2013": as_source(faces)}, [recipe])):
        (report / "results.json").write_text(json.dumps({"runs": runs}))
        write_results(look(experiments, sources, nothing), report, nothing, 1 / 32)
        (left,) = json.loads((report / "results.json").read_text())["runs"]
        assert left["state"] == "not started"


@pytest.mark.parametrize(
    "change",
    [
        lambda run: _edit(run / "recipe.toml", "learning_rate = 0.0003", "learning_rate = 0.002"),
        lambda run: _edit(run / "data.json", '"fingerprint": "', '"fingerprint": "0'),
        lambda run: (run / "recipe.toml").write_text("no recipe"),
    ],
)
def test_a_run_of_another_recipe_or_dataset_does_not_count(
    trained: Path, faces: Dataset, change: Callable[[Path], None]
) -> None:
    (experiment,) = plan(["kumar-leaky"], epochs_scale=1 / 32)
    assert find_run(experiment, faces.fingerprint(), trained) == (trained / "by-hand", 1)
    change(trained / "by-hand")
    assert find_run(experiment, faces.fingerprint(), trained) is None


@pytest.mark.parametrize("counted", ["kusno-2-ck48", "kusno-2"])
def test_instructions_are_those_of_the_bundle_or_else_of_the_network(
    tmp_path: Path, counted: str
) -> None:
    counts = [
        {"model": f"{name}.{kind}", "processor": "cortex-a72", "all": millions * 1e6}
        for name, kind, millions in (
            (counted, "float32", 321),
            (counted, "int8", 87),
            ("kusno-20", "int8", 5),
        )
    ]
    (tmp_path / "instructions.json").write_text(json.dumps({"counts": counts}))
    measured = {"value": 0.5, "low": 0.4, "high": 0.6}
    format_ = {
        "bytes": 9000,
        "accuracy": measured,
        "drop": measured,
        "agreement": 0.9,
        "latency": {"p50": 1.0},
    }
    names = ("model.int8.tflite", "model.float32.tflite")
    export = {
        "recipe": "kusno-2-ck48",
        "dataset": "ck+48",
        "variant": "by image",
        "result": {
            "accuracy": measured,
            "needed": "rewrites",
            "float_layers": [],
            "formats": dict.fromkeys(names, format_),
        },
    }
    page = markdown([], [export], {}, read_instructions(tmp_path / "instructions.json"))
    (row,) = (line for line in page.splitlines() if line.startswith("| kusno-2-ck48"))
    assert "| 321 / 87 | – / – |" in row


def _edit(path: Path, before: str, after: str) -> None:
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after, 1))


def task(name: str, tmp_path: Path, *arguments: str) -> Task:
    return Task(name, arguments, tmp_path / f"{name}.log", tmp_path / f"{name}.out")


def test_tasks_run_side_by_side_and_a_failed_one_stops_nobody(tmp_path: Path) -> None:
    tasks = [
        task("version", tmp_path, "--version"),
        task("wrong", tmp_path, "data", "inspect", "nowhere.csv"),
        task("again", tmp_path, "--version"),
    ]
    codes = {each.name: code for each, code in LocalExecutor(2).run(tasks, lambda: None)}
    assert codes == {"version": 0, "wrong": 2, "again": 0}
    assert "nowhere.csv" in (tmp_path / "wrong.log").read_text()
    assert (tmp_path / "version.out").read_text().startswith("fer-edge ")


def test_jobs_take_turns_on_the_gpus_that_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    seen = []
    start = subprocess.Popen

    def spy(*arguments: Any, **options: Any) -> subprocess.Popen[bytes]:
        seen.append(options["env"]["CUDA_VISIBLE_DEVICES"])
        return start(*arguments, **options)

    monkeypatch.setattr(subprocess, "Popen", spy)
    tasks = [task(f"version{n}", tmp_path, "--version") for n in range(2)]
    assert [code for _, code in LocalExecutor(2).run(tasks, lambda: None)] == [0, 0]
    assert sorted(seen) == ["4", "7"]


def test_ctrl_c_ends_the_running_task_and_starts_no_other(tmp_path: Path) -> None:
    marker = tmp_path / "second.npz"
    slow = ("data", "synth", "-o", str(tmp_path / "first.npz"), "--faces", "100000")
    tasks = [
        task("first", tmp_path, *slow),
        task("second", tmp_path, "data", "synth", "-o", str(marker), "--faces", "70"),
    ]

    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(LocalExecutor(1).run(tasks, interrupted))
    assert not (tmp_path / "first.npz").exists()
    assert not (tmp_path / "second.log").exists()


def test_a_dataset_of_no_paper_is_refused(tmp_path: Path, faces: Dataset) -> None:
    write_packed(replace(faces, splits=np.full(len(faces), "all")), tmp_path / "mine.npz")
    options = Options([], [str(tmp_path / "mine.npz")], tmp_path / "runs", tmp_path / "report")
    with pytest.raises(FerEdgeError, match="no dataset of the papers") as caught:
        reproduce(options)
    assert "CK+48" in caught.value.hint
    assert not (tmp_path / "report").exists()


def test_a_refused_export_takes_one_line_of_the_table() -> None:
    reasons = [
        "model.int8.tflite: accuracy drop 2.48 (1.70 – 3.25) on all images, the budget is 1",
        "model.int8.onnx: accuracy drop 2.54 (1.76 – 3.30) on all images, the budget is 1",
        "model.int8.onnx: agreement 81.23 (80.27 – 82.14) on all images, the budget is 97",
    ]
    said = ["the gate refused the int8 model; no bundle was written", *reasons, "34.2 dB  conv1"]
    entry = {"recipe": "kumar", "dataset": "fer2013", "variant": "by image"}
    page = markdown([], [entry | {"refused": "\n  ".join(said)}], {}, {})
    (row,) = [line for line in page.splitlines() if line.startswith("| kumar")]
    assert row.endswith(f"| **refused**: {reasons[0]}; 2 more in results.json |")
