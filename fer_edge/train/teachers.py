"""Distillation: the averaged answers of larger, finished networks as a part of the target."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from fer_edge.data.dataset import Dataset
from fer_edge.errors import FerEdgeError
from fer_edge.files import atomic_path
from fer_edge.runtime import load_model
from fer_edge.shipped import find_shipped
from fer_edge.subject import find_subject, model_file
from fer_edge.train.recipe import Recipe
from fer_edge.train.targets import Goal

CACHE = "teachers.npz"
"""In the run folder: what the teachers said, and the fingerprint of them and the images."""


def taught(goal: Goal, dataset: Dataset, recipe: Recipe, run: Path) -> Goal:
    """The goal with the teachers' answers in it, as [distill] says.

    The teachers see each training image as it is and mirrored, once; their average is kept in the
    run folder. A head learns from the teachers' head of the same name, where they have one.

    Args:
        goal: of ``dataset``.
        dataset: the training images.
        recipe: of the run.
        run: its folder.

    Raises:
        FerEdgeError: a teacher is neither a finished run nor a bundle, or names other expressions.
    """
    table = recipe.distill
    if not table.teachers or not table.weight:
        return goal
    heads = [*map(str, recipe.targets.heads)] or [""]
    networks = [[_network(teacher, head, dataset) for teacher in table.teachers] for head in heads]
    answers = _answers(networks, dataset, run / CACHE)
    softened = answers ** (1 / table.temperature)
    softened /= softened.sum(axis=-1, keepdims=True)
    said = softened if recipe.targets.heads else softened[:, 0]
    # where a face has no weight for its own target, the teachers' answer counts all the same
    own = (1 - table.weight) * goal.weights
    total = np.maximum(own + table.weight, 1e-6)
    part = (own / total)[..., None]
    targets = part * goal.targets + (1 - part) * said
    return Goal(targets.astype(np.float32), (own + table.weight).astype(np.float32))


def _network(teacher: str, head: str, dataset: Dataset) -> Path | bytes:
    """What ``load_model`` opens: of a teacher that has this head that one, else its default."""
    path = find_shipped(Path(teacher))
    named = None
    if path.suffix == ".fer":
        own = path.with_stem(f"{path.stem}-{head}")
        path = own if own.is_file() else path
    elif head and model_file(path, head).is_file():
        named = head
    subject = find_subject(path, named)
    if subject.labels != dataset.labels:
        raise FerEdgeError(
            f"the teacher {teacher} names {', '.join(subject.labels or ())}; "
            f"{dataset.name} has {', '.join(dataset.labels)}",
            "take teachers of the same labels, or none: --set 'distill.teachers=[]'",
        )
    return subject.model


def _answers(networks: list[list[Path | bytes]], dataset: Dataset, cache: Path) -> np.ndarray:
    """(N, H, C) float32: the mean over teachers and mirror images, of each head."""
    digest = hashlib.sha256(np.ascontiguousarray(dataset.faces).data)
    for network in (network for head in networks for network in head):
        content = network if isinstance(network, bytes) else network.read_bytes()
        digest.update(hashlib.sha256(content).digest())
    fingerprint = digest.hexdigest()
    if cache.exists():
        try:
            with np.load(cache) as kept:
                if str(kept["fingerprint"]) == fingerprint:
                    return np.asarray(kept["answers"])
        except (OSError, ValueError, KeyError):
            pass  # a damaged cache is made anew
    answers = np.stack([_mean_answer(head, dataset.faces) for head in networks], axis=1)
    with atomic_path(cache) as temporary, temporary.open("wb") as file:
        np.savez(file, answers=answers, fingerprint=np.array(fingerprint))
    return answers


def _mean_answer(networks: list[Path | bytes], faces: np.ndarray) -> np.ndarray:
    answers = []
    for network in networks:
        model = load_model(network)
        answers += [model.probabilities(faces), model.probabilities(faces[..., ::-1])]
    return np.asarray(np.mean(answers, axis=0, dtype=np.float32))
