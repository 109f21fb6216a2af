"""What a recipe becomes that goes on from a finished network."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from fer_edge.chatter import import_keras
from fer_edge.data.dataset import Dataset

import_keras()

from fer_edge.data.division import Division  # noqa: E402
from fer_edge.train.models import build_model  # noqa: E402
from fer_edge.train.recipe import load_recipe, override  # noqa: E402
from fer_edge.train.starting import starting_from  # noqa: E402


def test_a_dataset_without_splits_is_divided_as_the_recipe_was_set(
    blob_dataset: Dataset, tmp_path: Path
) -> None:
    build_model("compact", 7, {"width": 1}).save(tmp_path / "model.keras")
    unsplit = replace(blob_dataset, splits=np.full(len(blob_dataset), "all"))
    settings = ["data.drop_leaks=true", "data.divide_seed=5", "data.test_share=0.4"]
    recipe = override(load_recipe("fine-tune"), [*settings, "data.oversample=training"])
    data = starting_from(recipe, str(tmp_path / "model.keras"), unsplit).data
    assert data.division == Division("by-image", 0.4, 5)
    assert (data.drop_leaks, data.oversample) == (True, "training")
    assert (data.train, data.validation, data.test) == (["Training"], [], ["Test"])
