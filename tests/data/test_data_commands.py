from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from data_samples import fer2013_csv, pack
from typer.testing import CliRunner

from fer_edge import cli
from fer_edge.data import load_dataset
from fer_edge.data.dataset import Dataset
from fer_edge.data.packed import write_packed
from fer_edge.data.summary import write_contact_sheet
from fer_edge.errors import FerEdgeError


@pytest.fixture
def csv(dataset: Dataset, tmp_path: Path) -> Path:
    path = tmp_path / "fer2013.csv"
    path.write_text(fer2013_csv(dataset))
    return path


def run(*arguments: object) -> str:
    result = CliRunner().invoke(cli.app, ["data", *map(str, arguments)])
    assert result.exit_code == 0, result.exception
    return result.stdout


def test_inspect_counts_by_split_and_label(csv: Path, dataset: Dataset) -> None:
    found = json.loads(run("inspect", csv, "--json"))
    assert found["fingerprint"] == dataset.fingerprint()
    assert found["faces"] == 21
    assert found["counts"]["PublicTest"] == dict.fromkeys(dataset.labels, 1)
    table = run("inspect", csv)
    assert "PublicTest" in table
    assert "surprise" in table


def test_inspect_draws_a_contact_sheet(csv: Path, tmp_path: Path) -> None:
    run("inspect", csv, "--sheet", tmp_path / "sheet.png")
    sheet = cv2.imread(str(tmp_path / "sheet.png"), cv2.IMREAD_GRAYSCALE)
    assert sheet.shape == (7 * 48, 88 + 16 * 48)
    assert sheet[:, 88 + 3 * 48 :].min() == 255  # three faces a label, then paper
    assert sheet[:, 88 : 88 + 3 * 48].std() > 50


def test_a_contact_sheet_shows_labels_of_any_letters_and_length(
    dataset: Dataset, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    def sheet(*labels: str) -> np.ndarray:
        named = replace(dataset, labels=labels, targets=dataset.targets % len(labels))
        write_contact_sheet(named, tmp_path / "sheet.png")
        return cv2.imread(str(tmp_path / "sheet.png"), cv2.IMREAD_GRAYSCALE)

    shown, spelt = sheet("böse", "$\\frac$", "喜び"), sheet("b??se", "$\\frac$", "??")
    for top in (0, 96):
        assert (shown[top : top + 48, :88] != spelt[top : top + 48, :88]).any()
    assert shown[48:96, :88].min() < 100
    margin = sheet("a" * 64, "b").shape[1] - 16 * 48
    assert margin > 64 * 5, "all of the label"
    assert not recwarn.list


def test_a_contact_sheet_says_which_extra_draws_it(
    csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(FerEdgeError, match="'matplotlib'") as refused:
        write_contact_sheet(load_dataset(csv), tmp_path / "sheet.png")
    assert "fer-edge[train]" in refused.value.hint


def test_audit_prints_a_table_and_json(csv: Path) -> None:
    assert json.loads(run("audit", csv, "--json"))["near_pairs"] == 0
    assert json.loads(run("audit", csv, "--json", "--no-near"))["near_pairs"] is None
    assert "groups that cross splits" in run("audit", csv)


def test_tables_show_names_of_ones_own_as_they_are(dataset: Dataset, tmp_path: Path) -> None:
    names = {"Training": "[red]a", "PublicTest": "[/b]", "PrivateTest": "c"}
    own = replace(
        dataset,
        name="[blue]faces",
        labels=("[bored]", "[/x]", "3", "4", "5", "6", "7"),
        splits=np.array([names[split] for split in dataset.splits.tolist()]),
    )
    write_packed(own, tmp_path / "own.npz")
    shown = run("inspect", tmp_path / "own.npz")
    for name in ("[blue]faces: 21", "[bored]", "[/x]", "[red]a", "[/b]"):
        assert name in shown
    assert "groups in [red]a and [/b]" in run("audit", tmp_path / "own.npz")


def test_pack_writes_what_load_reads(csv: Path, dataset: Dataset, tmp_path: Path) -> None:
    target = tmp_path / "packed" / "faces.npz"
    found = json.loads(run("pack", csv, "-o", target, "--json"))
    assert load_dataset(target).fingerprint() == dataset.fingerprint()
    assert found["bytes"] == target.stat().st_size


def test_synth_draws_as_many_as_asked(tmp_path: Path) -> None:
    found = json.loads(run("synth", "-o", tmp_path / "s.npz", "--faces", 70, "--seed", 2, "--json"))
    assert (found["faces"], found["name"]) == (70, "synthetic-70-2")
    assert len(load_dataset(tmp_path / "s.npz")) == 70


def test_skip_bad_reports_what_it_left_out(csv: Path) -> None:
    csv.write_text(csv.read_text() + "9,1 2,Training\n")
    assert json.loads(run("inspect", csv, "--skip-bad", "--json"))["skipped"] == 1


def test_a_file_in_an_archive_cannot_make_a_terminal_obey_its_name(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    face = cv2.imencode(".png", np.zeros((48, 48), np.uint8))[1].tobytes()
    members = {"happy/1.png": face, "happy/\x1b[2Jnotes.txt": b"", "x\x1b]0;mine\x07/1.png": face}
    path = pack(tmp_path / "faces.zip", members)
    load_dataset(path, skip_bad=True)
    with pytest.raises(FerEdgeError) as refused:
        load_dataset(path)
    for text in (caplog.text, str(refused.value)):
        assert r"x\x1b]0;mine\x07" in text
        assert "\x1b" not in text
    assert r"faces.zip:happy/\x1b[2Jnotes.txt" in caplog.text


def test_a_bad_row_ends_a_command_with_two_lines_and_exit_code_2(
    csv: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    csv.write_text(csv.read_text() + "9,1 2,Training\n")
    target = csv.parent / "out.npz"
    monkeypatch.setattr("sys.argv", ["fer-edge", "data", "pack", str(csv), "-o", str(target)])
    with pytest.raises(SystemExit) as exit_:
        cli.main()
    assert exit_.value.code == 2
    message = capsys.readouterr().err.splitlines()
    assert message[0] == "fer-edge: fer2013.csv, row 23: unknown label '9'"
    assert "--skip-bad" in message[1]
    assert len(message) == 2
    assert not target.exists()
