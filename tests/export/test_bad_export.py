"""What cannot be exported is refused in one line, and nothing is half-written."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from exported import Exported, copied_run, listing

from fer_edge.chatter import import_keras
from fer_edge.cli import main
from fer_edge.data.packed import write_packed

keras = import_keras()


class Bad:
    """Bad input for ``fer-edge export``; each method spoils one thing and returns arguments."""

    def __init__(self, exported: Exported, folder: Path) -> None:
        self.folder, self.exported = folder, exported
        self.run = copied_run(exported, folder)

    def no_model(self) -> list[str]:
        (self.run / "model.keras").unlink()
        return [str(self.run)]

    def stopped_early(self) -> list[str]:
        (self.run / "metrics.json").write_text('{"interrupted": true}')
        return [str(self.run)]

    def no_metrics_at_the_end(self) -> list[str]:
        (self.run / "metrics.json").unlink()
        return [str(self.run), "--explain"]

    def truncated_model(self) -> list[str]:
        whole = (self.run / "model.keras").read_bytes()
        (self.run / "model.keras").write_bytes(whole[: len(whole) // 2])
        return [str(self.run)]

    def network_without_numbers(self) -> list[str]:
        network = keras.models.load_model(self.run / "model.keras", compile=False)
        bias = network.get_layer("logits").bias
        bias.assign(bias * float("nan"))
        network.save(self.run / "model.keras")
        return [str(self.run)]

    def no_recipe(self) -> list[str]:
        (self.run / "recipe.toml").unlink()
        return [str(self.run)]

    def recipe_named_as_a_path(self) -> list[str]:
        (self.run / "recipe.toml").write_text('name = "../../out"\n')
        return [str(self.run)]

    def wrong_budget(self) -> list[str]:
        (self.folder / "b.toml").write_text("agreement = 97\n")
        return [str(self.run), "--budget", str(self.folder / "b.toml")]

    def other_dataset(self) -> list[str]:
        other = replace(self.exported.dataset, faces=self.exported.dataset.faces // 2)
        write_packed(other, self.folder / "other.npz")
        return [str(self.run), "--data", str(self.folder / "other.npz")]

    def dataset_gone(self) -> list[str]:
        recorded = json.loads((self.run / "data.json").read_text())
        recorded["path"] = str(self.folder / "gone.npz")
        (self.run / "data.json").write_text(json.dumps(recorded))
        return [str(self.run)]

    def output_below_a_file(self) -> list[str]:
        (self.folder / "file").write_text("")
        return [str(self.run), "-o", str(self.folder / "file" / "bundles")]

    def too_few_calibration_images(self) -> list[str]:
        return [str(self.run), "--calibration", "3"]

    def unknown_ranges(self) -> list[str]:
        return [str(self.run), "--ranges", "best"]

    def plot_of_nothing(self) -> list[str]:
        return [str(self.run), "--plot", "layers.png"]

    def plot_of_another_kind(self) -> list[str]:
        return [str(self.run), "--explain", "--plot", "layers.jpg"]

    def report_where_a_file_is(self) -> list[str]:
        (self.folder / "file").write_text("")
        return [str(self.run), "--report", str(self.folder / "file")]

    def plot_below_a_file(self) -> list[str]:
        (self.folder / "file").write_text("")
        return [str(self.run), "--explain", "--plot", str(self.folder / "file" / "x.png")]

    def explained_and_judged(self) -> list[str]:
        return [str(self.run), "--explain", "--budget", "strict", "--slim", "--report", "page"]

    def explained_into_a_folder(self) -> list[str]:
        return [str(self.run), "--explain", "-o", "out"]

    def explained_without_ladder(self) -> list[str]:
        return [str(self.run), "--explain", "--no-ladder"]

    def no_tflite_micro(self) -> list[str]:
        return [str(self.run), "--target", "mcu"]

    def another_networks_bundle(self) -> list[str]:
        (self.folder / "bundles").mkdir()
        shutil.copy(self.exported.bundle, self.folder / "bundles")
        with (self.run / "model.keras").open("ab") as file:
            file.write(b"trained on")
        return [str(self.run)]

    def no_bundle_where_it_goes(self) -> list[str]:
        (self.folder / "bundles").mkdir()
        (self.folder / "bundles" / "blobs.fer").write_text("mine")
        return [str(self.run)]

    def too_few_held_out_images(self) -> list[str]:
        (self.folder / "b.toml").write_text("min_images = 85\n")
        return [str(self.run), "--budget", str(self.folder / "b.toml")]

    def slim_detector(self) -> list[str]:
        return [*self._detector(), "--slim"]

    def unbalanced_detector(self) -> list[str]:
        return [*self._detector(), "--no-balance"]

    def detector_without_ladder(self) -> list[str]:
        return [*self._detector(), "--no-ladder"]

    def _detector(self) -> list[str]:
        recorded = json.loads((self.run / "data.json").read_text())
        (self.run / "data.json").write_text(json.dumps(recorded | {"task": "detect"}))
        return [str(self.run)]

    def unknown_target(self) -> list[str]:
        return [str(self.run), "--target", "pi-6"]

    def target_and_formats(self) -> list[str]:
        return [str(self.run), "--target", "pi-5", "--float16"]

    def slim_and_formats(self) -> list[str]:
        return [str(self.run), "--slim", "--dynamic"]

    def no_run_at_all(self) -> list[str]:
        return []

    def a_file_as_run(self) -> list[str]:
        return [str(self.exported.data)]


CASES = {
    "no_model": "its training has not ended",
    "stopped_early": "run is not finished: its training was stopped early",
    "no_metrics_at_the_end": "run is not finished",
    "truncated_model": "is not a Keras model",
    "network_without_numbers": "gives no numbers for 96 of 96 images",
    "no_recipe": "its recipe.toml cannot be read",
    "recipe_named_as_a_path": "has no usable name, got '../../out'",
    "wrong_budget": "unknown key 'agreement'",
    "other_dataset": "trained on another dataset",
    "dataset_gone": "gone.npz",
    "output_below_a_file": "is not a folder",
    "too_few_calibration_images": "3 calibration images do not cover 7 classes",
    "unknown_ranges": "there are no ranges 'best'",
    "plot_of_nothing": "--plot draws what --explain finds",
    "plot_of_another_kind": "a plot is called *.png, got 'layers.jpg'",
    "report_where_a_file_is": "is not a folder",
    "plot_below_a_file": "is not a folder",
    "explained_and_judged": "judges none: it takes no --slim, --budget, --report",
    "explained_into_a_folder": "it takes no -o",
    "explained_without_ladder": "it takes no --no-ladder",
    "no_tflite_micro": "'tflite_micro', which is not installed",
    "another_networks_bundle": "blobs.fer holds another network",
    "no_bundle_where_it_goes": "blobs.fer is there and is no bundle that can be read",
    "too_few_held_out_images": "84 held-out images of PrivateTest are too few",
    "slim_detector": "for which there is no --slim",
    "unbalanced_detector": "for which there is no --no-balance",
    "detector_without_ladder": "for which there is no --no-ladder",
    "unknown_target": "there is no target 'pi-6'",
    "target_and_formats": "--target pi-5 names the files of its bundle",
    "slim_and_formats": "--slim ships the int8 TFLite alone, without model.dynamic.tflite",
    "no_run_at_all": "no finished run in ./runs",
    "a_file_as_run": "is not a run folder",
}


LATE = ("too_few_calibration_images", "unknown_ranges", "network_without_numbers")
"""Found out in the work itself."""


def _ended(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Any:
    monkeypatch.setattr(sys, "argv", ["fer-edge", "export", "--int8", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code


def _complaint(shown: str) -> list[str]:
    """What is printed after the lines that tell how far the export has come."""
    lines = shown.splitlines()
    return lines[next(i for i, line in enumerate(lines) if line.startswith("fer-edge: ")) :]


@pytest.mark.parametrize(("given", "taken"), [([], 100), (["--calibration", "400"], 400)])
def test_a_detector_calibrates_on_as_many_frames_as_it_is_told(
    given: list[str],
    taken: int,
    exported: Exported,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from fer_edge.export.detection import exporting

    counts: list[int] = []
    monkeypatch.setattr(
        exporting, "export_detector", lambda run, **options: counts.append(options["calibration"])
    )
    monkeypatch.setattr(exporting, "print_detector_export", lambda result, **options: None)
    (run,) = Bad(exported, tmp_path)._detector()
    assert not _ended(monkeypatch, run, *given)
    assert counts == [taken]


@pytest.mark.parametrize("case", CASES)
def test_bad_input_gives_one_line_a_remedy_and_nothing_half_written(
    case: str,
    exported: Exported,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = getattr(Bad(exported, tmp_path), case)()
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if "micro" in name else find_spec(name)
    )
    before = listing(tmp_path)
    capfd.readouterr()
    assert _ended(monkeypatch, *arguments) == 2
    shown = capfd.readouterr().err
    wrong, remedy = _complaint(shown)
    assert "converting" not in shown or case in LATE, "known before minutes of work"
    assert CASES[case] in wrong
    assert remedy.startswith("  → ")
    assert listing(tmp_path) == before


def test_a_full_disk_gives_one_line_and_leaves_no_part_of_a_bundle(
    exported: Exported,
    full_disk: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    (full_disk / "ballast").write_bytes(bytes(200_000))
    options = ("--slim", "--calibration", "70", "-o", str(full_disk))
    assert _ended(monkeypatch, str(exported.run), *options) == 2
    wrong, remedy = _complaint(capfd.readouterr().err)
    assert "no space left on device" in wrong
    assert "free some space" in remedy
    assert listing(full_disk) == ["ballast"]


def test_export_without_int8_says_what_to_add(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["fer-edge", "export", "runs/x"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "--int8" in capfd.readouterr().err
