"""Teachers of a run that goes on: the same as before, or none are needed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fer_edge.chatter import import_keras
from fer_edge.data.dataset import Dataset
from fer_edge.errors import FerEdgeError

keras = import_keras()

from fer_edge.train.models import build_model  # noqa: E402
from fer_edge.train.recipe import Recipe, parse_recipe  # noqa: E402
from fer_edge.train.targets import Goal, goals  # noqa: E402
from fer_edge.train.teachers import CACHE, TEACHERS, taught, teacher_digests  # noqa: E402


def _write_teacher(folder: Path, dataset: Dataset, seed: int) -> None:
    folder.mkdir(exist_ok=True)
    keras.utils.set_random_seed(seed)
    build_model("compact", 7, {"width": 1}).save(folder / "model.keras")
    recorded = {"path": "faces.npz", "name": "blobs", "labels": list(dataset.labels)}
    roles = {"train": [], "validation": [], "test": [], "drop_leaks": False}
    recorded |= {"fingerprint": "0" * 64, **roles}
    (folder / "data.json").write_text(json.dumps(recorded))
    (folder / "metrics.json").write_text('{"interrupted": false}')


@pytest.fixture
def faces(blob_dataset: Dataset) -> Dataset:
    return blob_dataset.subset(np.arange(12))


@pytest.fixture
def recipe(faces: Dataset, tmp_path: Path) -> Recipe:
    _write_teacher(tmp_path / "teacher", faces, seed=1)
    text = (
        f'name = "pupil"\n[model]\nname = "compact"\n[distill]\nteachers = ["{tmp_path}/teacher"]'
    )
    return parse_recipe(text, "pupil")


@pytest.fixture
def run(recipe: Recipe, faces: Dataset, tmp_path: Path) -> Path:
    """A run folder that was begun."""
    folder = tmp_path / "run"
    folder.mkdir()
    digests = teacher_digests(recipe, faces)
    assert [len(head) for head in digests] == [1]
    (folder / "data.json").write_text(json.dumps({TEACHERS: digests}))
    _taught(recipe, faces, folder)
    return folder


def _taught(recipe: Recipe, faces: Dataset, run: Path) -> Goal:
    return taught(goals(faces, recipe.targets), faces, recipe, run)


def test_a_run_that_goes_on_needs_its_teachers_no_more(
    recipe: Recipe, faces: Dataset, run: Path, tmp_path: Path
) -> None:
    before = _taught(recipe, faces, run)
    shutil.rmtree(tmp_path / "teacher")
    np.testing.assert_array_equal(_taught(recipe, faces, run).targets, before.targets)


@pytest.mark.parametrize("recorded", [True, False], ids=["recorded", "of an older version"])
def test_a_run_does_not_go_on_under_another_teacher(
    recorded: bool, recipe: Recipe, faces: Dataset, run: Path, tmp_path: Path
) -> None:
    if recorded:
        (run / CACHE).unlink()
    else:
        (run / "data.json").write_text("{}")
        _taught(recipe, faces, run)
    _write_teacher(tmp_path / "teacher", faces, seed=2)
    with pytest.raises(FerEdgeError, match="not the networks any more that it began with") as error:
        _taught(recipe, faces, run)
    assert "start a new run" in error.value.hint


def _cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def _changed(content: bytes) -> bytes:
    return content[:300] + bytes([content[300] ^ 1]) + content[301:]


@pytest.mark.parametrize("damage", [_cut, _changed])
def test_damaged_answers_are_asked_for_anew(
    damage: Callable[[bytes], bytes], recipe: Recipe, faces: Dataset, run: Path
) -> None:
    before, whole = _taught(recipe, faces, run), (run / CACHE).read_bytes()
    (run / CACHE).write_bytes(damage(whole))
    np.testing.assert_array_equal(_taught(recipe, faces, run).targets, before.targets)
    assert (run / CACHE).read_bytes() == whole
