"""Which folder a run takes, and that no two processes write to one."""

from __future__ import annotations

from pathlib import Path

import pytest

from fer_edge.chatter import import_keras
from fer_edge.errors import FerEdgeError
from fer_edge.files import sole_use

import_keras()

from fer_edge.train.folders import (  # noqa: E402
    new_folder,
    newest_run,
    require_empty,
    resumed_folder,
)
from fer_edge.train.recipe import load_recipe  # noqa: E402


def test_two_runs_of_one_recipe_that_begin_together_have_a_folder_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with new_folder(None, "demo") as first, new_folder(None, "demo") as second:
        assert [first, second] == [Path("runs/demo"), Path("runs/demo-2")]
    (first / "data.json").write_text("{}")
    with new_folder(None, "demo") as third:
        assert third == second, "which was left empty"


def test_a_folder_that_another_process_has_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    for place in (new_folder(tmp_path, "demo"), resumed_folder(tmp_path)):
        with (
            sole_use(tmp_path),
            pytest.raises(FerEdgeError, match="worked on by another process"),
            place,
        ):
            pytest.fail("it was given away")


def test_a_folder_that_was_filled_after_it_was_looked_at_is_refused(tmp_path: Path) -> None:
    require_empty(tmp_path / "run")
    place = new_folder(tmp_path / "run", "demo")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "data.json").write_text("{}")
    with pytest.raises(FerEdgeError, match="is not empty"), place:
        pytest.fail("it was given away")
    assert (tmp_path / "run" / "data.json").exists()


def _fail(folder: Path, error: BaseException, epochs: int) -> None:
    with new_folder(folder, "demo"):
        (folder / "data.json").write_text("{}")
        (folder / "checkpoints").mkdir()
        if epochs:
            (folder / "checkpoints" / "state.json").write_text("{}")
        raise error


@pytest.mark.parametrize(
    ("error", "epochs", "left"),
    [
        (FerEdgeError("no such option"), 0, []),
        (FerEdgeError("the loss became nan"), 1, ["checkpoints", "data.json"]),
        (KeyboardInterrupt(), 0, ["checkpoints", "data.json"]),
    ],
)
def test_a_run_that_fails_before_its_first_epoch_leaves_nothing(
    error: BaseException, epochs: int, left: list[str], tmp_path: Path
) -> None:
    with pytest.raises(type(error)):
        _fail(tmp_path, error, epochs)
    assert sorted(path.name for path in tmp_path.iterdir()) == left


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FerEdgeError, match="file is a file"):
        require_empty(tmp_path / "file")
    with (
        pytest.raises(FerEdgeError, match="cannot write"),
        new_folder(tmp_path / "file" / "run", "demo"),
    ):
        pytest.fail("there is no such folder")


def test_a_run_that_was_killed_as_it_began_is_in_nobodys_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    good, killed = Path("runs/good"), Path("runs/demo")
    for run in (good, killed):
        run.mkdir(parents=True)
        (run / "recipe.toml").write_text(load_recipe("demo").to_toml())
    (good / "data.json").write_text("{}")
    (killed / ".data-a1b2c3_d.json").write_text("{")
    assert newest_run(None) == newest_run("demo") == good
    require_empty(killed)
    with new_folder(None, "demo") as folder:
        assert folder == killed
        assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    "text",
    [
        'name = "mine"\n[model]\nname = "compact"\n',
        load_recipe("demo").to_toml() + "# the rate is still to be tried\n",
        "no recipe",
    ],
)
def test_a_recipe_that_somebody_wrote_is_not_taken_for_a_runs(text: str, tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text(text)
    with pytest.raises(FerEdgeError, match="is not empty") as refused:
        require_empty(tmp_path)
    assert refused.value.hint == "name another with -o"
    (tmp_path / "data.json").write_text("{}")
    with pytest.raises(FerEdgeError, match="is not empty") as refused:
        require_empty(tmp_path)
    assert refused.value.hint == "go on with it by --resume, or name another with -o"


def test_what_a_kill_left_half_written_is_gone_once_the_run_goes_on(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    kept = {"start.fer", ".profile", ".keras", "checkpoints/epoch-0001.keras"}
    killed = {".start-abcdefgh.fer", ".teachers-01234567.npz", ".model-fer2013-a1b2c3_d.keras"}
    for name in (*kept, *killed, "checkpoints/.epoch-0001-abcdefgh.keras"):
        (tmp_path / name).touch()
    with resumed_folder(tmp_path):
        files = (path for path in tmp_path.rglob("*") if path.is_file())
        assert {str(path.relative_to(tmp_path)) for path in files} == kept
