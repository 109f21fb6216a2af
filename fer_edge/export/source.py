"""What is exported: a finished run's network in float32, its recipe, and its dataset."""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from fer_edge.data import load_dataset
from fer_edge.data.dataset import Dataset
from fer_edge.errors import FerEdgeError
from fer_edge.runtime import load_model
from fer_edge.subject import DIVISION, ROLES, as_trained, read_run


@dataclass(frozen=True)
class Source:
    """A run, opened for export.

    Attributes:
        name, description: of the recipe.
        recipe_sha256: of the resolved recipe's text.
        network: float32, from (N, 48, 48, 1) pixels to (N, classes) probabilities.
        precision: the dtype policy that the saved network computes in, such as ``float32``.
        dataset: as training had it.
        roles: name and fingerprint of the dataset, and which split served what.
    """

    name: str
    description: str
    recipe_sha256: str
    network: keras.Model
    precision: str
    dataset: Dataset
    roles: dict[str, Any]


def open_run(run: Path, data: str | None = None) -> Source:
    """Read a finished run folder and the dataset that it was trained on.

    Args:
        run: the run folder.
        data: the dataset's path; None takes the one recorded in the run.

    Raises:
        FerEdgeError: the run is not finished or damaged, or the dataset is another one.
    """
    described = read_run(run)
    recipe, recipe_sha256 = _read_recipe(run)
    network, precision = in_float32(load_model(run / "model.keras").network)  # type: ignore[attr-defined]
    return Source(
        name=recipe["name"],
        description=str(recipe.get("description", "")),
        recipe_sha256=recipe_sha256,
        network=network,
        precision=precision,
        dataset=_same_dataset(data or described["path"], described),
        roles={key: described[key] for key in ("name", *ROLES, DIVISION) if key in described},
    )


def newest_run(folder: Path = Path("runs")) -> Path:
    """The run folder whose model was written last.

    Raises:
        FerEdgeError: there is none.
    """
    models = list(folder.glob("*/model.keras"))
    if not models:
        raise FerEdgeError(
            f"there is no finished run in ./{folder}", "train one first, or name a run folder"
        )
    return max(models, key=lambda path: path.stat().st_mtime).parent


def in_float32(network: keras.Model) -> tuple[keras.Model, str]:
    """A network of mixed precision rebuilt in float32 with the same weights.

    The converters and the gate need one reference, and a bfloat16 network answers differently on
    every machine.

    Returns:
        The network (the same one where nothing had to change), and the policy it had.
    """
    policies = sorted({layer.dtype_policy.name for layer in network.layers} - {"float32"})
    if not policies:
        return network, "float32"
    rebuilt: keras.Model = keras.models.clone_model(
        network,
        clone_function=lambda layer: type(layer).from_config(
            {**layer.get_config(), "dtype": "float32"}
        ),
    )
    rebuilt.set_weights([np.asarray(weight, np.float32) for weight in network.get_weights()])
    return rebuilt, ", ".join(policies)


def _read_recipe(run: Path) -> tuple[dict[str, Any], str]:
    path = run / "recipe.toml"
    try:
        text = path.read_text(encoding="utf-8")
        recipe = tomllib.loads(text)
    except (OSError, ValueError) as error:
        raise FerEdgeError(
            f"{run} is not a run folder: its recipe.toml cannot be read", "train again"
        ) from error
    name = recipe.get("name")
    # the bundle is called after it
    if not isinstance(name, str) or not name or Path(name).name != name:
        raise FerEdgeError(f"{path} has no usable name, got {name!r}", "train again")
    return recipe, hashlib.sha256(text.encode()).hexdigest()


def _same_dataset(path: str, described: dict[str, Any]) -> Dataset:
    dataset = load_dataset(path)
    fingerprint = dataset.fingerprint()
    if fingerprint != described["fingerprint"]:
        raise FerEdgeError(
            f"the run was trained on another dataset than {path} (fingerprint "
            f"{described['fingerprint'][:12]}, this one has {fingerprint[:12]})",
            f"give the dataset '{described['name']}' of the training with --data PATH",
        )
    return as_trained(dataset, described)
