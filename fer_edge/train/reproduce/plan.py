"""What there is to reproduce: an experiment for each recipe that has a ``[paper]`` table."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

from fer_edge.data.dataset import Dataset
from fer_edge.data.splits import TEST, TRAINING, VALIDATION
from fer_edge.errors import FerEdgeError, nearest
from fer_edge.files import read_json
from fer_edge.labels import CKPLUS_LABELS, LABELS
from fer_edge.train.folders import is_free, recorded_run
from fer_edge.train.recipe import PaperTable, Recipe, load_recipe, override, shipped_recipes

PAPERS = {
    "triwijoyo": "Triwijoyo, Adil, Anggrawan, MATRIK 21(1), 2021",
    "mondal": "Mondal, University of Strathclyde, CS826",
    "kusno": "Kusno, Chowanda, CommIT 18(2), 2024",
    "kumar": "Kumar, Reddy, Lovely Professional University",
}
DATASETS = {"fer2013": "FER2013", "ck+48": "CK+48"}
"""Those that the papers used: how recipes and datasets name them, and people."""

DESCRIBING = {"name", "description", "paper"}
"""Of a recipe, what determines nothing."""
_EPOCHS = "fit.epochs="


@dataclass(frozen=True)
class Experiment:
    """One training run of the reproduction.

    Attributes:
        base: name of the shipped recipe.
        settings: ``table.key=value`` laid over it.
        recipe: the result.
        paper: what was reported for it.
        epochs_shipped: of the shipped recipe; ``recipe`` may have fewer.
    """

    base: str
    settings: tuple[str, ...]
    recipe: Recipe
    paper: PaperTable
    epochs_shipped: int

    def with_epochs(self, epochs: int) -> Experiment:
        """The same with another number of epochs."""
        changed = f"{_EPOCHS}{epochs}"
        settings = [each for each in self.settings if not each.startswith(_EPOCHS)]
        if epochs != self.epochs_shipped:
            settings.append(changed)
        return replace(self, settings=tuple(settings), recipe=override(self.recipe, [changed]))

    @property
    def variant(self) -> str:
        """How the data are divided, in words."""
        data = self.recipe.data
        how = "as given" if data.divide == "as-given" else data.divide.replace("-", " ")
        return f"{how}, leaky" if data.leaky else how

    @property
    def folder_name(self) -> str:
        """What its run folder is called."""
        words = [self.base, *(setting.partition("=")[2] for setting in self.settings)]
        return "_".join(word.strip('"') for word in dict.fromkeys(words))

    @property
    def fingerprint(self) -> str:
        """SHA-256 of what the recipe says of the network and its training."""
        # without defaults, so that a key that recipes gain later makes no other recipe of it
        said = self.recipe.model_dump(exclude=DESCRIBING, exclude_defaults=True)
        text = json.dumps(said, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Source:
    """A dataset given on the command line, with its fingerprint."""

    path: str
    dataset: Dataset
    fingerprint: str

    @property
    def kind(self) -> str | None:
        """Which papers' dataset it can stand for: ``fer2013``, ``ck+48`` or None."""
        if self.dataset.labels == CKPLUS_LABELS:
            return "ck+48"
        complete = {TRAINING, VALIDATION, TEST} <= set(self.dataset.split_names)
        return "fer2013" if self.dataset.labels == LABELS and complete else None


def plan(papers: Sequence[str] = (), epochs_scale: float = 1.0) -> list[Experiment]:
    """All experiments of the papers or recipes named (none: all), in the papers' order.

    Args:
        papers: keys of ``PAPERS``, or names of recipes.
        epochs_scale: each recipe's epochs are multiplied by it, and are at least 1.

    Raises:
        FerEdgeError: no such paper or recipe, or a scale that is no number above 0.
    """
    if not (math.isfinite(epochs_scale) and epochs_scale > 0):
        raise FerEdgeError(f"--epochs-scale is {epochs_scale:g}", "give a number above 0")
    recipes = [recipe for recipe in map(load_recipe, shipped_recipes()) if recipe.paper]
    # a recipe may bear its paper's name
    known = list(dict.fromkeys([*PAPERS, *(recipe.name for recipe in recipes)]))
    for name in papers:
        if name not in known:
            raise FerEdgeError(
                f"no paper or recipe of a paper '{name}'",
                nearest(name, known) or f"known: {', '.join(known)}",
            )
    recipes.sort(key=_place)
    return [
        experiment
        for recipe in recipes
        if not papers or {recipe.name, _paper(recipe).name} & set(papers)
        for experiment in _experiments(recipe, epochs_scale)
    ]


def find_run(experiment: Experiment, fingerprint: str, runs: Path) -> tuple[Path, int] | None:
    """The run folder of this very recipe and dataset that got furthest, and its finished epochs.

    Folders are looked at, whatever they are called, so that a run trained by hand counts.
    """
    found = []
    for folder in sorted(path.parent for path in runs.glob("*/data.json")):
        try:
            recipe, recorded = recorded_run(folder)
        except FerEdgeError:
            continue  # a damaged folder is nobody's run
        same = _determining(recipe) == _determining(experiment.recipe)
        if recorded["fingerprint"] == fingerprint and same:
            found.append((folder, _epochs(folder)))
    return max(found, key=lambda each: each[1], default=None)


def free_folder(experiment: Experiment, runs: Path) -> Path:
    """Where the experiment's run may be written."""
    names = (experiment.folder_name + (f"-{n}" if n > 1 else "") for n in range(1, 10_000))
    return next(runs / name for name in names if is_free(runs / name))


def is_finished(folder: Path) -> bool:
    """Whether the run has its metrics on the test split."""
    return "test" in read_json(folder / "metrics.json")


def _experiments(recipe: Recipe, epochs_scale: float) -> Iterator[Experiment]:
    paper = _paper(recipe)
    scaled = max(1, round(recipe.fit.epochs * epochs_scale))
    variants: Sequence[str | None] = paper.variants or [None]
    seeds: Sequence[int | None] = paper.seeds or [None]
    for variant, seed in product(variants, seeds):
        settings = []
        if variant is not None:
            settings.append(f'data.divide="{variant}"')
        if seed is not None:
            settings += [f"data.divide_seed={seed}", f"fit.seed={seed}"]
        varied, epochs = override(recipe, settings), recipe.fit.epochs
        yield Experiment(recipe.name, tuple(settings), varied, paper, epochs).with_epochs(scaled)


def _determining(recipe: Recipe) -> dict[str, Any]:
    return recipe.model_dump(exclude=DESCRIBING)


def _epochs(folder: Path) -> int:
    return int(read_json(folder / "checkpoints" / "state.json").get("epoch", 0))


def _place(recipe: Recipe) -> tuple[int, bool]:
    paper = _paper(recipe)
    return list(PAPERS).index(paper.name), paper.dataset != "fer2013"


def _paper(recipe: Recipe) -> PaperTable:
    assert recipe.paper is not None
    return recipe.paper
