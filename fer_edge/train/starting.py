"""Fine-tuning: a recipe made to go on from a finished network, on whatever faces there are."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

from fer_edge.data.dataset import Dataset
from fer_edge.data.division import TEST as DIVIDED_TEST
from fer_edge.data.splits import FER2013_SPLITS, TEST, TRAINING, VALIDATION
from fer_edge.errors import FerEdgeError
from fer_edge.files import atomic_path
from fer_edge.subject import find_subject
from fer_edge.train.recipe import DataTable, FitTable, ModelTable, Recipe

PRETRAINED = "pretrained"
"""What stands in a recipe for a network's name where a finished one is trained on."""


def starting_from(recipe: Recipe, start: str, dataset: Dataset) -> Recipe:
    """The recipe with a finished network in place of its own, fitted to the dataset's splits.

    A dataset without splits is divided by chance, class by class; of one that has a part for
    training and one held out, the latter is the test. Where it names other expressions than the
    network knows, the last layer is new.

    Args:
        recipe: what else holds, such as ``fine-tune``.
        start: a run folder, a bundle or a ``.keras`` file.
        dataset: that it will be trained on.

    Raises:
        FerEdgeError: no such network, or splits that do not say what they serve.
    """
    subject = find_subject(Path(start))
    file = subject.model if isinstance(subject.model, Path) else subject.source
    if file.suffix not in (".keras", ".fer"):
        raise FerEdgeError(
            f"{start} holds no network to train from",
            "give a run folder, its model.keras, or a bundle",
        )
    model: dict[str, Any] = {
        "name": PRETRAINED,
        "file": str(file.absolute()),
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "new_head": subject.labels is not None and subject.labels != dataset.labels,
    }
    changes: dict[str, object] = {"model": ModelTable(**model)}
    if (table := _fitting(recipe.data, dataset)) != recipe.data:
        changes["data"] = table
        fit = recipe.fit.model_dump() | {"select": "last", "patience": 0, "temperature": False}
        changes["fit"] = FitTable(**fit)
    return recipe.model_copy(update=changes)


def _fitting(table: DataTable, dataset: Dataset) -> DataTable:
    """The table with the splits that the dataset has, where it asks for FER2013's and lacks one."""
    found = dataset.split_names
    asked = {*table.train, *table.validation, *table.test}
    if table.division is not None or not asked <= {*FER2013_SPLITS} or asked <= {*found}:
        return table
    if len(found) == 1:
        splits = {"train": [TRAINING], "validation": [], "test": [DIVIDED_TEST]}
        return table.model_copy(update={"divide": "by-image", **splits})
    held_out = [name for name in (TEST, VALIDATION) if name in found]
    if TRAINING not in found or not held_out:
        raise FerEdgeError(
            f"{dataset.name} has the splits {', '.join(found)}, which do not say what they serve",
            f"say it: --set 'data.train=[\"{found[0]}\"]' --set data.validation=[] "
            f"--set 'data.test=[\"{found[-1]}\"]'",
        )
    return table.model_copy(update={"validation": [], "test": held_out[:1]})


def from_own_copy(recipe: Recipe, run: Path) -> Recipe:
    """The recipe with the network that it starts from in the run folder, where a copy is kept.

    What a run started from may be trained on, tidied away or come with another version of the
    package before the run has ended.
    """
    if recipe.model.name != PRETRAINED:
        return recipe
    file = Path(recipe.model.options.get("file", ""))
    copy = run / f"start{file.suffix}"
    if not copy.is_file() and file.is_file():
        with atomic_path(copy) as temporary:
            shutil.copyfile(file, temporary)
    own = ModelTable(name=PRETRAINED, **recipe.model.options | {"file": str(copy.absolute())})
    return recipe.model_copy(update={"model": own}) if copy.is_file() else recipe
