"""What is exported: a finished run's network in float32, its recipe, and its dataset."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from fer_edge.bundle import open_bundle
from fer_edge.data import load_dataset
from fer_edge.data.dataset import Dataset
from fer_edge.data.ferplus import with_majority_truth
from fer_edge.errors import FerEdgeError
from fer_edge.files import read_json, sha256
from fer_edge.printable import as_name
from fer_edge.runtime import load_model
from fer_edge.shipped import shipped_models
from fer_edge.subject import (
    BY_LABEL,
    BY_MAJORITY,
    DIVISION,
    ROLES,
    SKIP_BAD,
    as_trained,
    find_head,
    finished_metrics,
    measured_of,
    read_run,
    truth_of,
)

GENERIC = "fine-tune"
"""The recipe that suits any network and dataset; what it says of itself says nothing of a model."""


@dataclass(frozen=True)
class Base:
    """A finished network that was trained on.

    Attributes:
        name: of its bundle or its run's recipe; of its file or folder where these are gone.
        sha256: of its file; None where the recipe does not say.
        dataset: name and fingerprint of what it was trained on; empty where that is not known.
    """

    name: str
    sha256: str | None
    dataset: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, without what is not known."""
        known = {"name": self.name, "sha256": self.sha256, "dataset": self.dataset}
        return {key: value for key, value in known.items() if value}


@dataclass(frozen=True)
class Source:
    """A run, opened for export.

    Attributes:
        name: of the recipe; of another head than the default one, that head's name behind it.
        description: of the recipe; where that is ``GENERIC``, what was fine-tuned on what.
        recipe: resolved.
        recipe_sha256: of its text.
        network_sha256: of the trained network's file.
        network: float32, from (N, 48, 48, 1) pixels to (N, classes) probabilities.
        precision: the dtype policy that the saved network computes in, such as ``float32``.
        dataset: as training had it; its held-out images are labelled by ``truth``, and those that
            it says nothing of are left out.
        truth: what the network is judged by, ``BY_LABEL`` or ``BY_MAJORITY``.
        head: of a run with several; None of a network with one output.
        base: the finished network that was fine-tuned; None of one trained from the beginning.
        temperature: that the logits were divided by in training; None if they were not.
        logit_adjustment: what training added to the logits, by class.
        roles: name and fingerprint of the dataset, and which split served what.
    """

    name: str
    description: str
    recipe: dict[str, Any]
    recipe_sha256: str
    network_sha256: str
    network: keras.Model
    precision: str
    dataset: Dataset
    truth: str
    head: str | None
    base: Base | None
    temperature: float | None
    logit_adjustment: dict[str, float]
    roles: dict[str, Any]


def open_run(run: Path, data: str | None = None, head: str | None = None) -> Source:
    """Read a finished run folder and the dataset that it was trained on.

    Args:
        run: the run folder.
        data: the dataset's path; None takes the one recorded in the run.
        head: of a run with several; None takes the default one.

    Raises:
        FerEdgeError: the run is not finished or damaged, it has no such head, or the dataset is
            another one.
    """
    described = read_run(run)
    file = find_head(run, head)
    recipe, recipe_sha256 = read_recipe(run)
    network, precision = in_float32(load_model(file).network)  # type: ignore[attr-defined]
    dataset = _same_dataset(data or described["path"], described)
    heads = described.get("heads", [])
    default = heads[0] if heads else None
    head = head or default
    base = find_base(recipe)
    measured = measured_of(read_json(run / "metrics.json"), None if head == default else head)
    by_votes = truth_of(head) == BY_MAJORITY and dataset.votes is not None
    if by_votes:
        dataset = with_majority_truth(dataset, described["train"])
    return Source(
        name=_bundle_name(recipe, head, default),
        description=_description(recipe, base, described["name"]),
        recipe=recipe,
        recipe_sha256=recipe_sha256,
        network_sha256=sha256(file),
        network=network,
        precision=precision,
        dataset=dataset,
        truth=BY_MAJORITY if by_votes else BY_LABEL,
        head=head,
        base=base,
        temperature=measured.get("calibration", {}).get("temperature"),
        logit_adjustment=dict(measured.get("logit_adjustment", {})),
        roles={key: described[key] for key in ("name", *ROLES, DIVISION) if key in described},
    )


def bundle_name(run: Path, head: str | None = None) -> str:
    """What the bundle of a run's head is called, without opening the network.

    Raises:
        FerEdgeError: the run is not finished or damaged, or it has no such head.
    """
    find_head(run, head)
    default = next(iter(read_run(run).get("heads", [])), None)
    return _bundle_name(read_recipe(run)[0], head or default, default)


def newest_run(folder: Path = Path("runs")) -> Path:
    """The finished run folder whose model was written last.

    Raises:
        FerEdgeError: there is none.
    """
    models = [
        path for path in folder.glob("*/model.keras") if finished_metrics(path.parent) is not None
    ]
    if not models:
        raise FerEdgeError(
            f"there is no finished run in ./{folder}",
            "train one, go on with one by fer-edge train --resume, or name a run folder",
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


def read_recipe(run: Path) -> tuple[dict[str, Any], str]:
    """A run's recipe as a table, and the SHA-256 of its text.

    Raises:
        FerEdgeError: it cannot be read, or has no usable name.
    """
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


def find_base(recipe: Mapping[str, Any]) -> Base | None:
    """The network that a run's recipe starts from, as far as its file still tells."""
    model = recipe.get("model")
    if not isinstance(model, dict) or not isinstance(model.get("file"), str):
        return None
    path, recorded = Path(model["file"]), model.get("sha256") or None
    # the package may lie elsewhere than where the run was trained
    for file in (path, shipped_models().get(path.stem, path)):
        if file.is_file() and sha256(file) == recorded and (found := _recorded(file)):
            return Base(found[0], recorded, _known(found[1]))
    name = path.parent.name if path.stem == "model" else path.stem
    return Base(as_name(name) or "another network", recorded, {})


def _recorded(file: Path) -> tuple[str, Mapping[str, Any]] | None:
    """A network's name and dataset, out of its bundle or its run folder; None where it has none."""
    try:
        if file.suffix == ".fer":
            manifest = open_bundle(file, keys=()).manifest
            return manifest.name, manifest.dataset
        return read_recipe(file.parent)[0]["name"], read_json(file.parent / "data.json")
    except FerEdgeError:
        return None


def _bundle_name(recipe: Mapping[str, Any], head: str | None, default: str | None) -> str:
    name: str = recipe["name"]
    return name if head == default else f"{name}-{head}"


def _known(roles: Mapping[str, Any]) -> dict[str, str]:
    return {key: str(roles[key]) for key in ("name", "fingerprint") if key in roles}


def _description(recipe: Mapping[str, Any], base: Base | None, dataset: str) -> str:
    if base is not None and recipe["name"] == GENERIC:
        return f"{base.name}, fine-tuned on {dataset}"
    return str(recipe.get("description", ""))


def _same_dataset(path: str, described: dict[str, Any]) -> Dataset:
    skip_bad = described.get(SKIP_BAD) is True
    dataset = load_dataset(
        path, own_labels=True, skip_bad=skip_bad, model_labels=described["labels"]
    )
    fingerprint = dataset.fingerprint()
    if fingerprint != described["fingerprint"]:
        raise FerEdgeError(
            f"the run was trained on another dataset than {path} (fingerprint "
            f"{described['fingerprint'][:12]}, this one has {fingerprint[:12]})",
            f"give the dataset '{described['name']}' of the training with --data PATH",
        )
    return as_trained(dataset, described)
