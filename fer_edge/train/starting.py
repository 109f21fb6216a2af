"""Fine-tuning: a recipe made to go on from a finished network, on whatever faces there are."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from fer_edge.data.dataset import Dataset
from fer_edge.data.division import TEST
from fer_edge.data.splits import TRAINING
from fer_edge.errors import FerEdgeError
from fer_edge.subject import find_subject
from fer_edge.train.recipe import FitTable, ModelTable, Recipe


def starting_from(recipe: Recipe, start: str, dataset: Dataset) -> Recipe:
    """The recipe with a finished network in place of its own, fitted to the dataset's splits.

    A dataset without the recipe's splits is divided by chance, class by class. Where it names other
    expressions than the network knows, the last layer is new.

    Args:
        recipe: what else holds, such as ``fine-tune``.
        start: a run folder, a bundle or a ``.keras`` file.
        dataset: that it will be trained on.

    Raises:
        FerEdgeError: no such network.
    """
    subject = find_subject(Path(start))
    file = subject.model if isinstance(subject.model, Path) else subject.source
    if file.suffix not in (".keras", ".fer"):
        raise FerEdgeError(
            f"{start} holds no network to train from",
            "give a run folder, its model.keras, or a bundle",
        )
    model: dict[str, Any] = {
        "name": "pretrained",
        "file": str(file.absolute()),
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "new_head": subject.labels is not None and subject.labels != dataset.labels,
    }
    changes: dict[str, object] = {"model": ModelTable(**model)}
    table = recipe.data
    wanted = {*table.train, *table.validation, *table.test}
    if table.division is None and not wanted <= set(dataset.split_names):
        splits = {"train": [TRAINING], "validation": [], "test": [TEST]}
        changes["data"] = table.model_copy(update={"divide": "by-image", **splits})
        fit = recipe.fit.model_dump() | {"select": "last", "patience": 0, "temperature": False}
        changes["fit"] = FitTable(**fit)
    return recipe.model_copy(update=changes)
