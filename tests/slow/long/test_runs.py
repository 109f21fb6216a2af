"""Runs of datasets with something wrong, or that learn from a network that is gone or changed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from fer_edge.chatter import import_keras
from fer_edge.data.dataset import Dataset
from fer_edge.data.packed import write_packed
from fer_edge.errors import FerEdgeError
from fer_edge.evaluation.classifier import evaluate_path
from fer_edge.files import sha256

keras = import_keras()

from fer_edge.export.source import open_run  # noqa: E402
from fer_edge.train.checkpoints import Checkpoints  # noqa: E402
from fer_edge.train.models import build_model  # noqa: E402
from fer_edge.train.report import print_run  # noqa: E402
from fer_edge.train.run import train  # noqa: E402


def test_leaked_images_are_left_out_of_training(
    recipe: str, blob_dataset: Dataset, tmp_path: Path
) -> None:
    faces = blob_dataset.faces.copy()
    faces[:5] = faces[-5:]
    leaky = Dataset("leaky", blob_dataset.labels, faces, blob_dataset.targets, blob_dataset.splits)
    write_packed(leaky, tmp_path / "leaky.npz")
    settings = ["fit.epochs=1"]
    kept = train(recipe, str(tmp_path / "leaky.npz"), output=tmp_path / "a", overrides=settings)
    assert kept.metrics["test"]["leaked"] == 5
    assert kept.metrics["test"]["unleaked"]["images"] == 91
    dropped = train(
        recipe,
        str(tmp_path / "leaky.npz"),
        output=tmp_path / "b",
        overrides=settings,
        drop_leaks_too=True,
    )
    assert dropped.metrics["test"]["leaked"] == 0


def _with_a_bad_row(dataset: Dataset, folder: Path) -> Path:
    pixels = (" ".join(map(str, face.ravel())) for face in dataset.faces)
    rows = zip(dataset.targets, pixels, dataset.splits, strict=True)
    lines = [f"{target},{text},{split}" for target, text, split in rows]
    data = folder / "fer2013.csv"
    data.write_text("\n".join(["emotion,pixels,Usage", *lines, "3,1 2 3,Training", ""]))
    return data


def _with_a_folder_that_is_no_label(dataset: Dataset, folder: Path) -> Path:
    data = folder / "faces"
    rows = zip(dataset.targets, dataset.faces, dataset.splits, strict=True)
    for number, (target, face, split) in enumerate(rows):
        for label in (dataset.labels[target], "bored")[: 1 + (number == 0)]:
            path = data / split / label / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(cv2.imencode(".png", face)[1].tobytes())
    return data


@pytest.mark.parametrize("written", [_with_a_bad_row, _with_a_folder_that_is_no_label])
def test_rows_that_training_left_out_are_left_out_by_whatever_reads_them_again(
    written: Callable[[Dataset, Path], Path], recipe: str, blob_dataset: Dataset, tmp_path: Path
) -> None:
    few = blob_dataset.subset(np.r_[0:60, 448:470, 544:560])
    data = written(few, tmp_path)
    with pytest.raises(FerEdgeError, match="--skip-bad"):
        train(recipe, str(data), output=tmp_path / "run")
    run = train(recipe, str(data), output=tmp_path / "run", skip_bad=True)
    assert evaluate_path(run.folder, None).whole.images == 16
    assert len(open_run(run.folder).dataset) == len(few)
    again = train(None, str(data), output=run.folder, resume=True)
    assert json.dumps(again.metrics) == json.dumps(run.metrics)


def test_a_run_keeps_what_it_started_from(
    recipe: str, packed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = tmp_path / "start.keras"
    build_model("compact", 7, {"width": 4}).save(start)
    save = Checkpoints.save

    def tidied(self: Checkpoints, model: object, state: Any) -> None:
        start.unlink(missing_ok=True)
        save(self, model, state)  # type: ignore[arg-type]
        if state.epoch == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoints, "save", tidied)
    run = train(recipe, packed, output=tmp_path / "run", start=str(start))
    assert run.interrupted
    monkeypatch.undo()
    assert train(None, packed, output=tmp_path / "run", resume=True).state.epoch == 2
    assert str(start) in (tmp_path / "run" / "recipe.toml").read_text()


def test_a_teacher_is_recorded_another_is_told_and_a_damaged_checkpoint_is_named(
    recipe: str, packed: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    settings = ["fit.epochs=1"]
    teacher = train(recipe, packed, output=tmp_path / "teacher", overrides=settings).folder
    settings.append(f'distill.teachers=["{teacher}"]')
    run = train(recipe, packed, output=tmp_path / "run", overrides=settings).folder
    recorded = json.loads((run / "data.json").read_text())["teachers"]
    assert recorded == [[sha256(teacher / "model.keras")]]
    build_model("compact", 7, {"width": 1}).save(teacher / "model.keras")
    print_run(train(None, None, output=run, resume=True))
    shown = "".join(capfd.readouterr().out.split())
    assert f"taughtbyanother{teacher}thantoday's" in shown
    shutil.rmtree(teacher)
    assert train(None, None, output=run, resume=True).changed_teachers == ()
    checkpoint = Checkpoints(run).path(1)
    content = bytearray(checkpoint.read_bytes())
    content[len(content) // 2] ^= 1
    for damaged in (content, content[: len(content) // 2]):
        checkpoint.write_bytes(damaged)
        with pytest.raises(FerEdgeError, match="cannot read the checkpoint"):
            Checkpoints(run).load_model(1)
