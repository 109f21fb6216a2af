"""Interrupted, gone on with, refused: ``fer-edge reproduce`` as a whole."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from reproducing import CutOff, Here, Idle, as_source

from fer_edge.chatter import import_keras
from fer_edge.data.dataset import Dataset
from fer_edge.data.packed import write_packed
from fer_edge.errors import FerEdgeError
from fer_edge.files import sole_use

keras = import_keras()

from fer_edge.train.checkpoints import Checkpoints  # noqa: E402
from fer_edge.train.reproduce import Options, reproduce  # noqa: E402
from fer_edge.train.reproduce.plan import plan  # noqa: E402
from fer_edge.train.reproduce.results import look  # noqa: E402
from fer_edge.train.reproduce.run import write_results  # noqa: E402


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


def test_a_dataset_of_no_paper_is_refused(tmp_path: Path, faces: Dataset) -> None:
    write_packed(replace(faces, splits=np.full(len(faces), "all")), tmp_path / "mine.npz")
    options = Options([], [str(tmp_path / "mine.npz")], tmp_path / "runs", tmp_path / "report")
    with pytest.raises(FerEdgeError, match="no dataset of the papers") as caught:
        reproduce(options)
    assert "CK+48" in caught.value.hint
    assert not (tmp_path / "report").exists()


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
