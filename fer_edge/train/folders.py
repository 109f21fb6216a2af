"""Run folders: which one a training takes, held against other processes, and what it records."""

from __future__ import annotations

import json
import shutil
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import tomli_w

from fer_edge.errors import FerEdgeError
from fer_edge.files import explain, leftovers, sha256, sole_use, write_text
from fer_edge.train.checkpoints import Checkpoints
from fer_edge.train.recipe import Recipe, load_recipe, override, parse_recipe

RECIPE, DATA = "recipe.toml", "data.json"
"""What a run is, in its folder."""
RECIPE_DIGEST = "recipe_sha256"
"""In ``data.json``: of the recipe's file as the run began."""


@contextmanager
def new_folder(wanted: Path | None, name: str) -> Iterator[Path]:
    """A folder for a new run, made if it is not there and held against other processes.

    A run that fails before its first epoch has ended leaves it empty, so that the same command can
    be given again.

    Args:
        wanted: as the user named it; None takes the first of ``runs/NAME``, ``runs/NAME-2`` and so
            on that is free.
        name: of the recipe.

    Raises:
        FerEdgeError: the folder is not empty, another process has it, or it cannot be made.
    """
    with ExitStack() as held:
        folder = _next_free(name, held) if wanted is None else _taken(wanted, held)
        try:
            yield folder
        except Exception:
            if not Checkpoints(folder).state_file.exists():
                _empty(folder)
            raise


@contextmanager
def resumed_folder(folder: Path) -> Iterator[Path]:
    """A run's folder, held against other processes, without what a kill left half-written there.

    Raises:
        FerEdgeError: another process has it.
    """
    with sole_use(folder):
        for place in (folder, Checkpoints(folder).folder):
            for name in ("*.keras", "*.fer", "*.npz"):
                for file in leftovers(place, name):
                    file.unlink()
        yield folder


def require_empty(folder: Path) -> None:
    """Raise FerEdgeError where a new run cannot be written to ``folder``, which need not exist."""
    if folder.exists() and not folder.is_dir():
        raise FerEdgeError(f"{folder} is a file", "name a folder for the run with -o")
    if not is_free(folder):
        raise FerEdgeError(
            f"the run folder {folder} is not empty",
            "go on with it by --resume, or name another with -o"
            if (folder / DATA).exists()
            else "name another with -o",
        )


def is_free(folder: Path) -> bool:
    """Whether a new run could be written there, in place of one killed as it began, if need be."""
    return not folder.exists() or (folder.is_dir() and {*folder.iterdir()} <= _beginnings(folder))


def is_held(folder: Path) -> bool:
    """Whether a process works on a run's folder at this moment."""
    try:
        with sole_use(folder):
            return False
    except FerEdgeError:
        return True


def newest_run(recipe_name: str | None) -> Path:
    """The run in ``runs/`` that was begun last, of a recipe where one is named.

    Raises:
        FerEdgeError: there is none.
    """
    runs = [path.parent for path in Path("runs").glob(f"*/{DATA}")]
    if recipe_name:
        runs = [run for run in runs if recorded_run(run)[0].name == load_recipe(recipe_name).name]
    if not runs:
        what = f" of recipe '{recipe_name}'" if recipe_name else ""
        raise FerEdgeError(f"there is no run{what} in ./runs to resume", "name one with -o RUN")
    return max(runs, key=lambda run: (run / DATA).stat().st_mtime)


def recorded_run(folder: Path) -> tuple[Recipe, dict[str, Any]]:
    """The recipe that a run folder was made with, and its ``data.json``.

    Raises:
        FerEdgeError: not a run folder, or a damaged one.
    """
    try:
        text = (folder / RECIPE).read_text(encoding="utf-8")
        content = json.loads((folder / DATA).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FerEdgeError(
            f"{folder} is not a run folder: {error}", "name one with -o RUN"
        ) from error
    return parse_recipe(_determining(text), str(folder / RECIPE)), content


def record_beginning(folder: Path, recipe: Recipe, content: dict[str, Any]) -> None:
    """Write whatever resuming and exporting need to know, before the first step.

    Args:
        folder: of the run.
        recipe: as resolved.
        content: of ``data.json``, which is written last: a folder with it is a run.
    """
    write_text(folder / RECIPE, recipe.to_toml())
    content = content | {RECIPE_DIGEST: sha256(folder / RECIPE)}
    write_text(folder / DATA, json.dumps(content, indent=2) + "\n")


def differing_table(recorded: Recipe, wanted: Recipe) -> str | None:
    """The first table or key in which two recipes ask for different runs."""
    before, now = recorded.model_dump(), wanted.model_dump()
    for table in before:
        if table not in ("description", "paper") and before[table] != now[table]:
            return table
    return None


def check_same(
    recorded: Recipe, recipe_name: str | None, overrides: Sequence[str], folder: Path
) -> None:
    """Raise FerEdgeError where the recipe given is not the one that the folder was made with."""
    wanted = override(load_recipe(recipe_name) if recipe_name else recorded, overrides)
    if table := differing_table(recorded, wanted):
        raise FerEdgeError(
            f"cannot resume {folder}: its recipe differs in [{table}] from the one given",
            "resume without RECIPE and --set, or start a new run",
        )


def check_unedited(folder: Path, recorded: dict[str, Any]) -> None:
    """Raise FerEdgeError where a run's recipe was edited after it had begun.

    The checkpoint holds the schedule, the augmentation and the network, which would go on as they
    were, whatever the recipe says now.

    Args:
        folder: of the run.
        recorded: its ``data.json``; runs of before it had the digest are taken as they are.
    """
    before = recorded.get(RECIPE_DIGEST)
    if before and before != sha256(folder / RECIPE):
        raise FerEdgeError(
            f"cannot resume {folder}: its {RECIPE} was edited after the run had begun",
            f"put it back, or start a new run by it: fer-edge train {folder / RECIPE} --data ...",
        )


def _next_free(name: str, held: ExitStack) -> Path:
    names = (name if number == 1 else f"{name}-{number}" for number in range(1, 10_000))
    for folder in (Path("runs") / name for name in names):
        if is_free(folder):
            try:
                return _taken(folder, held)
            except FerEdgeError:
                # another process was faster, unless no folder can be made at all
                if not folder.is_dir():
                    raise
    raise FerEdgeError(f"runs/ holds 9,999 runs of '{name}'", "name another folder with -o")


def _taken(folder: Path, held: ExitStack) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise explain(error, folder) from error
    with ExitStack() as tried:
        tried.enter_context(sole_use(folder))
        # another process may have begun and ended a run since it was looked at
        require_empty(folder)
        _empty(folder)
        held.enter_context(tried.pop_all())
    return folder


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _beginnings(folder: Path) -> set[Path]:
    """The files of a run that was killed as it began, before there was anything to go on with.

    A recipe that somebody wrote is none: it has comments, or not every default written out.
    """
    found = {*leftovers(folder, RECIPE), *leftovers(folder, DATA)}
    try:
        text = (folder / RECIPE).read_text(encoding="utf-8")
        content = tomllib.loads(text)
        resolved = parse_recipe(text, RECIPE).model_dump(exclude_none=True)
        if content == resolved and text == tomli_w.dumps(content):
            found.add(folder / RECIPE)
    except (OSError, ValueError, FerEdgeError):
        pass  # there is none, or somebody else's
    return found


def _determining(text: str) -> str:
    """A recorded recipe without what a paper reported, which does not determine the run."""
    try:
        return tomli_w.dumps({k: v for k, v in tomllib.loads(text).items() if k != "paper"})
    except tomllib.TOMLDecodeError:
        return text  # the parser tells what is wrong
