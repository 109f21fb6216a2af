"""The models that come with the package: found by name, listed with what their manifests say."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from maker import Maker

from fer_edge import shipped
from fer_edge.bundle.catalogue import catalogue, print_catalogue
from fer_edge.device import opening
from fer_edge.device.classifier import open_classifier
from fer_edge.device.opening import open_chosen
from fer_edge.errors import FerEdgeError
from fer_edge.files import sha256
from fer_edge.shipped import find_shipped, shipped_models

ESTIMATE = {"value": 0.85, "low": 0.84, "high": 0.86}


@pytest.fixture
def models(maker: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of shipped models in place of the package's own."""
    folder = tmp_path / "models"
    folder.mkdir()
    report = {"images": 3137, "accuracy": ESTIMATE, "macro_f1": ESTIMATE}
    figures = {"splits": ["PrivateTest"], "int8": report | {"calibration_error": ESTIMATE}}
    made = maker.bundle(
        "for-catalogue.fer",
        metrics=figures,
        dataset={"truth": "FER+ majority"},
        export={"multiply_accumulates": 37_300_000},
        uncertain={"threshold": 0.6},
    )
    shutil.copy(made, folder / "edge-small.fer")
    shutil.copy(maker.bundle("plain.fer"), folder / "edge-nano.fer")
    monkeypatch.setattr(shipped, "FOLDER", folder)
    return folder


def test_a_name_becomes_the_path_of_the_shipped_bundle(models: Path) -> None:
    assert set(shipped_models()) == {"edge-small", "edge-nano"}
    assert find_shipped(Path("edge-small")) == models / "edge-small.fer"


@pytest.mark.parametrize("other", ["edge-huge", "edge-small.fer", "./runs/edge-small"])
def test_whatever_is_no_name_stays_the_path_that_it_is(models: Path, other: str) -> None:
    assert find_shipped(Path(other)) == Path(other)


def test_a_bundle_or_a_run_of_a_models_name_goes_before_the_model_and_no_other_folder(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    named = Path("edge-small")
    named.mkdir()
    (named / "MODEL_CARD.md").touch()  # as bundle extract leaves it
    assert find_shipped(named) == models / "edge-small.fer"
    (named / "data.json").touch()
    assert find_shipped(named) == named
    Path("edge-nano").touch()
    assert find_shipped(Path("edge-nano")) == Path("edge-nano")


def test_the_list_says_what_the_manifests_measured(
    models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entries = {each.name: each for each in catalogue(shipped_models())}
    small = entries["edge-small"]
    assert (small.macs, small.judged_by, small.images) == (37_300_000, "FER+ majority", 3137)
    assert small.accuracy == small.calibration_error == ESTIMATE
    assert (small.min_confidence, small.signed_by) == (0.6, None)
    assert small.sha256 == small.bundle_sha256 == sha256(models / "edge-small.fer")
    assert small.bundle_bytes == (models / "edge-small.fer").stat().st_size > small.model_bytes
    assert small.model_sha256 == open_classifier(models / "edge-small.fer").sha256
    assert entries["edge-nano"].accuracy is None
    print_catalogue(list(entries.values()), as_json=True)
    assert {each["name"] for each in json.loads(capsys.readouterr().out)} == set(entries)
    print_catalogue(list(entries.values()))
    (line,) = (row for row in capsys.readouterr().out.splitlines() if "edge-small" in row)
    assert "37M" in line
    assert "85.0 ±1.0" in line
    assert small.sha256[:8] in line


def test_the_list_of_what_ships_fits_a_terminal_of_eighty_columns(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_catalogue(catalogue(shipped_models()))
    printed = capsys.readouterr().out
    assert "edge-base-fer2013" in printed
    assert "…" not in printed


def test_without_shipped_models_the_list_says_how_to_make_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_catalogue([])
    assert "fer-edge train edge-small" in capsys.readouterr().out


def test_the_shipped_model_runs_where_no_bundle_was_named_made_or_installed(
    models: Path, maker: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.chdir(empty)
    monkeypatch.setattr(opening, "installed_folder", lambda: None)
    chosen = open_chosen(None, keys=())
    assert chosen.name == str(models / "edge-small.fer")
    assert chosen.min_confidence == 0.6
    (models / "edge-small.fer").unlink()
    assert open_chosen(None, keys=()).name == str(models / "edge-nano.fer")
    shutil.copy(maker.bundle("own.fer"), empty / "own.fer")
    assert open_chosen(None, keys=()).name == "own.fer"


def test_without_a_shipped_model_either_the_remedy_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(opening, "installed_folder", lambda: None)
    monkeypatch.setattr(shipped, "FOLDER", tmp_path)
    with pytest.raises(FerEdgeError, match="no bundle was named"):
        open_chosen(None, keys=())
