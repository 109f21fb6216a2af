"""What ``fer-edge reproduce`` plans, skips, runs and writes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fer_edge.chatter import import_keras
from fer_edge.cli import app
from fer_edge.data.dataset import Dataset
from fer_edge.data.packed import write_packed
from fer_edge.errors import FerEdgeError
from fer_edge.evaluate import evaluate_path, print_evaluation
from fer_edge.files import sole_use
from fer_edge.labels import CKPLUS_LABELS
from fer_edge.signals import PARENT

keras = import_keras()

from fer_edge.instructions import read_instructions  # noqa: E402
from fer_edge.macs import multiply_accumulates  # noqa: E402
from fer_edge.train.checkpoints import Checkpoints  # noqa: E402
from fer_edge.train.models import build_model  # noqa: E402
from fer_edge.train.report import print_run  # noqa: E402
from fer_edge.train.reproduce import Options, reproduce  # noqa: E402
from fer_edge.train.reproduce.cost import training_faces  # noqa: E402
from fer_edge.train.reproduce.execute import LocalExecutor, Task  # noqa: E402
from fer_edge.train.reproduce.plan import Source, find_run, plan  # noqa: E402
from fer_edge.train.reproduce.results import look, with_those_elsewhere  # noqa: E402
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
        ([], float("nan"), "--epochs-scale is nan", "above 0"),
        ([], float("inf"), "--epochs-scale is inf", "above 0"),
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
    (row,) = (line for line in page.splitlines() if line.startswith("| kumar-leaky (**leaky**)"))
    leaked = json.loads((trained / "by-hand" / "metrics.json").read_text())["test"]
    twins = leaked["leaked"] / leaked["whole"]["images"]
    assert twins > 0.3
    assert "**leaky**" in row
    assert "83.0% test" in row
    assert "**1 of 32**" in row
    assert f"{leaked['whole']['accuracy']['value']:.1%} (" in row
    assert f"{twins:.0%} of the test images stand in training" in row
    assert "fer-edge train kumar-leaky --data faces.npz --set fit.epochs=1" in page
    assert f"## blobs, in the place of FER2013 ({faces.fingerprint()[:12]})" in page
    assert "Kumar: confusion; the leaky protocol" in page
    assert (tmp_path / "report" / "figures" / "kumar.png").stat().st_size > 5000
    content = json.loads((tmp_path / "report" / "results.json").read_text())
    measured = next(run for run in content["runs"] if run["recipe"] == "kumar-leaky")
    assert measured["reported"]["test_accuracy"] == 0.83
    assert measured["test"] == leaked
    assert measured["environment"]["board"]["cores"] >= 1


def test_a_leaky_run_says_so_wherever_its_figures_are_printed(
    by_hand: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    print_run(train(None, None, output=by_hand, resume=True))
    result = evaluate_path(by_hand, None)
    print_evaluation(result)
    said = "LEAKY: oversampled before dividing, copies of one picture stand on both sides"
    assert capsys.readouterr().out.splitlines().count(said) == 2
    assert result.to_dict()["division"] == said


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


def test_a_task_is_told_whose_end_is_to_be_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, start = [], subprocess.Popen

    def spy(*arguments: Any, **options: Any) -> subprocess.Popen[bytes]:
        told.append(options["env"][PARENT])
        return start(*arguments, **options)

    monkeypatch.setattr(subprocess, "Popen", spy)
    (ended,) = LocalExecutor(1).run([task("version", tmp_path, "--version")], lambda: None)
    assert ended[1] == 0
    assert told == [str(os.getpid())]


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


EXPORTED = {
    "reference": {"accuracy": {"value": 0.5, "low": 0.4, "high": 0.6}},
    "ladder": {"needed": "rewrites", "float_layers": []},
    "formats": [
        {
            "name": name,
            "size": 9000,
            "whole": {"accuracy": {"value": 0.5, "low": 0.4, "high": 0.6}},
            "drop": {
                "accuracy": {"value": 0.0, "low": -0.1, "high": 0.1},
                "agreement": 0.9,
                "mean_difference": 0.0,
                "largest_difference": 0.0,
            },
            "latency": {"p50": 1.0},
        }
        for name in ("model.int8.tflite", "model.float32.tflite")
    ],
}
"""Of what ``fer-edge export --json`` prints, that which is looked at."""


class Here:
    """Trains by the command line's own code, where Keras is imported already; exports nothing.

    Attributes:
        done: the first words of every task.
    """

    def __init__(self) -> None:
        self.done: list[tuple[str, ...]] = []

    def run(self, tasks: Sequence[Task], tick: Callable[[], None]) -> Iterator[tuple[Task, int]]:
        for task in tasks:
            tick()
            self.done.append(task.arguments[:2])
            task.log.parent.mkdir(parents=True, exist_ok=True)
            if task.arguments[0] == "export":
                assert task.output is not None
                task.output.write_text(json.dumps(EXPORTED))
                yield task, 0
                continue
            try:
                yield task, app([*task.arguments], standalone_mode=False) or 0
            except FerEdgeError as error:
                task.log.write_text(error.message)
                yield task, 2


class Idle(Here):
    """Takes note of the tasks and does nothing."""

    def run(self, tasks: Sequence[Task], tick: Callable[[], None]) -> Iterator[tuple[Task, int]]:
        self.done += [task.arguments[:2] for task in tasks]
        yield from ()


@dataclass(frozen=True)
class CutOff:
    """A reproduction that was interrupted, to be gone on with as often as one likes.

    Attributes:
        options: as it was asked for.
        here: the executor.
    """

    options: Options
    here: Here

    @property
    def half(self) -> Path:
        """The run that has one epoch of two."""
        return self.options.runs / "kusno-4_2"

    def states(self) -> dict[str, str]:
        """Recipe to state, as the report has them."""
        content = json.loads((self.options.report / "results.json").read_text())
        return {run["recipe"]: run["state"] for run in content["runs"]}

    def go_on(self) -> list[tuple[str, ...]]:
        """Call it again; the tasks that this took."""
        self.here.done.clear()
        reproduce(self.options)
        return list(self.here.done)


@pytest.fixture(scope="module")
def interrupted(faces: Dataset, tmp_path_factory: pytest.TempPathFactory) -> CutOff:
    """Kusno's cheapest networks on FER2013's stand-in: one trained, one interrupted halfway."""
    folder = tmp_path_factory.mktemp("interrupted")
    write_packed(faces, folder / "faces.npz")
    data, runs, report = [str(folder / "faces.npz")], folder / "runs", folder / "report"
    options = Options(["kusno-4", "kusno-8"], data, runs, report, epochs_scale=0.04, export=True)
    cut, save = CutOff(options, Here()), Checkpoints.save

    def interrupting(self: Checkpoints, model: object, state: Any) -> None:
        save(self, model, state)  # type: ignore[arg-type]
        if self.folder.parent == cut.half.absolute():
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("fer_edge.train.reproduce.run._executor", lambda options: cut.here)
        patched.setattr(Checkpoints, "save", interrupting)
        with pytest.raises(KeyboardInterrupt):
            reproduce(options)
    return cut


@pytest.fixture
def cut_off(interrupted: CutOff, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CutOff:
    """A copy of it."""
    for folder in (interrupted.options.runs, interrupted.options.report):
        shutil.copytree(folder, tmp_path / folder.name)
    monkeypatch.setattr("fer_edge.train.reproduce.run._executor", lambda options: cut.here)
    runs, report = tmp_path / "runs", tmp_path / "report"
    cut = CutOff(replace(interrupted.options, runs=runs, report=report), Here())
    return cut


def test_a_reproduction_that_was_interrupted_goes_on_and_is_done_once(cut_off: CutOff) -> None:
    assert cut_off.states() == {"kusno-4": "epoch 1 of 2", "kusno-8": "done"}
    first = Checkpoints(cut_off.half).load_state()
    assert first is not None
    assert cut_off.go_on() == [
        ("train", "--resume"),
        *(("export", str(cut_off.options.runs / name)) for name in ("kusno-4_2", "kusno-8_2")),
    ]
    assert cut_off.states() == {"kusno-4": "done", "kusno-8": "done"}
    both = Checkpoints(cut_off.half).load_state()
    assert both is not None
    assert [row["epoch"] for row in both.history] == [1, 2]
    assert both.history[0] == first.history[0]

    report = cut_off.options.report
    content = json.loads((report / "results.json").read_text())
    assert all(len(run["history"]["accuracy"]) == 2 for run in content["runs"])
    assert [each["run"] for each in content["exports"]] == ["kusno-4_2", "kusno-8_2"]
    assert (report / "figures" / "kusno.png").stat().st_size > 5000
    page = (report / "RESULTS.md").read_text()
    measured = json.loads((cut_off.half / "metrics.json").read_text())["test"]
    accuracy, loss = f"{measured['whole']['accuracy']['value']:.1%} (", f"{measured['loss']:.3f}"
    trained, losses, exported = (
        line for line in page.splitlines() if line.startswith("| kusno-4 ") and "by" not in line
    )
    assert accuracy in trained
    assert "**2 of 50**" in trained
    assert f"| 1.0142 | {both.history[-1]['loss']:.3f} | 1.0553 test | – | {loss} |" in losses
    assert "blobs, as given" in exported

    assert cut_off.go_on() == []
    assert (report / "RESULTS.md").read_text() == page


def test_what_is_finished_elsewhere_is_trained_again_only_by_its_recipes_name(
    trained: Path,
    by_hand: Path,
    faces: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    report, idle = tmp_path / "report", Idle()
    records = look(plan(["kumar-leaky"], 1 / 32), {"fer2013": as_source(faces)}, trained)
    write_results(records, report, trained, 1 / 32)
    monkeypatch.setattr("fer_edge.train.reproduce.run._executor", lambda options: idle)
    data = [str(by_hand.parent / "faces.npz")]
    options = Options(["kumar"], data, tmp_path / "nothing", report, epochs_scale=1 / 32)
    both = [("train", "kumar"), ("train", "kumar-leaky")]
    for papers, asked in ((["kumar"], both[:1]), (["kumar", "kumar-leaky"], both)):
        idle.done.clear()
        reproduce(replace(options, papers=papers))
        assert sorted(idle.done) == asked
    (said,) = [line for line in capsys.readouterr().err.splitlines() if "elsewhere" in line]
    assert said.startswith("1 finished elsewhere, as ")
    assert "name a recipe to train it here" in said


def test_what_nobody_has_trained_stands_in_the_page_as_such(cut_off: CutOff) -> None:
    page = (cut_off.options.report / "RESULTS.md").read_text().splitlines()
    for name in ("triwijoyo", "mondal-deep", "kusno-5", "kumar"):
        assert any(
            line.startswith(f"| {name} | – | – |") and line.endswith("| **not trained** | – |")
            for line in page
        )
    assert "## CK+48" in page


def test_a_run_that_another_process_trains_has_not_failed(
    cut_off: CutOff, capsys: pytest.CaptureFixture[str]
) -> None:
    with sole_use(cut_off.half):
        cut_off.go_on()
    assert "kusno-4_2: being trained by another process" in capsys.readouterr().err
    assert cut_off.states()["kusno-4"] == "epoch 1 of 2"


def test_a_run_whose_checkpoint_is_damaged_starts_anew_in_its_place(
    cut_off: CutOff, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    idle = Idle()
    monkeypatch.setattr("fer_edge.train.reproduce.run._executor", lambda options: idle)
    damaged = cut_off.half / "checkpoints" / "epoch-0001.keras"
    content = damaged.read_bytes()
    middle = len(content) // 2
    damaged.write_bytes(content[:middle] + b"?" + content[middle + 1 :])
    reproduce(replace(cut_off.options, export=False))
    assert idle.done == [("train", "--resume")]
    assert cut_off.states()["kusno-4"] == "not started"
    assert "kusno-4_2 starts anew" in capsys.readouterr().err
    assert (cut_off.half / "checkpoints-damaged" / damaged.name).exists()


@pytest.mark.parametrize("content", ['{"epoch": 1', '{"epoch": 2}', '{"epochs": 1}'])
def test_a_damaged_state_is_set_aside_and_a_sound_one_is_not(cut_off: CutOff, content: str) -> None:
    checkpoints = Checkpoints(cut_off.half)
    assert checkpoints.set_damage_aside() is None
    checkpoints.state_file.write_text(content)
    assert checkpoints.set_damage_aside() == cut_off.half / "checkpoints-damaged"
    assert not checkpoints.folder.exists()
    assert checkpoints.set_damage_aside() is None


def test_a_report_of_another_dataset_is_refused_and_left_as_it_is(
    cut_off: CutOff, faces: Dataset, tmp_path: Path
) -> None:
    other = tmp_path / "other.npz"
    write_packed(replace(faces, faces=255 - faces.faces), other)
    results = cut_off.options.report / "results.json"
    before = results.read_bytes()
    for dry_run in (True, False):
        options = replace(cut_off.options, data=[str(other)], dry_run=dry_run)
        message = f"1 finished run of another FER2013, blobs {faces.fingerprint()[:12]}; "
        with pytest.raises(FerEdgeError, match=message) as refused:
            reproduce(options)
        assert refused.value.hint == "give another --report"
    assert cut_off.here.done == []
    assert results.read_bytes() == before


def test_what_is_left_out_for_lack_of_its_dataset_is_named(
    cut_off: CutOff, capsys: pytest.CaptureFixture[str]
) -> None:
    options = replace(cut_off.options, papers=["kusno"], dry_run=True)
    reproduce(options)
    assert "left out, no CK+48 given: kusno-1-ck48, kusno-2-ck48, " in capsys.readouterr().err
    with pytest.raises(FerEdgeError, match=r"kusno-1-ck48: no CK\+48 given"):
        reproduce(replace(options, papers=["kusno-4", "kusno-1-ck48"]))


@pytest.mark.parametrize("option", ["runs", "report"])
def test_a_folder_that_is_none_is_refused_before_any_training(
    cut_off: CutOff, option: str, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    wrong: dict[str, Any] = {option: tmp_path / "file" / "x"}
    for dry_run in (True, False):
        with pytest.raises(FerEdgeError, match="file is a file"):
            reproduce(replace(cut_off.options, dry_run=dry_run, **wrong))
    assert cut_off.here.done == []


def test_a_claim_in_words_stands_beside_what_was_measured_at_its_epoch() -> None:
    (experiment,) = plan(["triwijoyo"])[:1]
    columns = {"epoch": [*range(1, 11)], "loss": [0.5] * 9 + [0.206], "accuracy": [0.932] * 10}
    entry = {
        "paper": "triwijoyo",
        "recipe": "triwijoyo",
        "recipe_fingerprint": experiment.fingerprint,
        "state": "done",
        "dataset": "fer2013",
        "dataset_fingerprint": "b8c7c51efe273263",
        "epochs": 20,
        "epochs_of_recipe": 20,
        "cost": {"parameters": 1, "macs": 1, "training_macs": 1},
        "history": columns,
        "seconds": 60,
        "environment": None,
        "command": "fer-edge train triwijoyo",
    }
    page = markdown(with_those_elsewhere([], [experiment], [entry]), [], {}, {})
    assert "by epoch 10. Measured at epoch 10: training accuracy 93.2%, loss 0.206." in page
    assert "## FER2013 (b8c7c51efe27)" in page
