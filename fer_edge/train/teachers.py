"""Distillation: the averaged answers of larger, finished networks as a part of the target."""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from fer_edge.data.dataset import Dataset
from fer_edge.errors import FerEdgeError
from fer_edge.files import atomic_path, read_json
from fer_edge.runtime import load_model
from fer_edge.shipped import find_shipped
from fer_edge.subject import Subject, find_subject, model_file
from fer_edge.train.recipe import Recipe
from fer_edge.train.targets import Goal, head_scale

CACHE = "teachers.npz"
"""In the run folder: what the teachers said, and the fingerprint of them and the images."""
TEACHERS = "teachers"
"""In a run's ``data.json``: SHA-256 of each teacher's network, a list for each head."""

_DAMAGE = (
    *(OSError, ValueError, KeyError, EOFError, NotImplementedError),
    *(zipfile.BadZipFile, zlib.error),
)


def taught(goal: Goal, dataset: Dataset, recipe: Recipe, run: Path) -> Goal:
    """The goal with the teachers' answers in it, as [distill] says.

    The teachers see each training image as it is and mirrored, once; their average is kept in the
    run folder, and a run that goes on needs the teachers no more. A head learns from the teachers'
    head of the same name, where they have one.

    Args:
        goal: of ``dataset``.
        dataset: the training images.
        recipe: of the run.
        run: its folder.

    Raises:
        FerEdgeError: a teacher is neither a finished run nor a bundle, names other expressions, or
            is not the one any more that the run began with.
    """
    table = recipe.distill
    if not _used(recipe):
        return goal
    answers = _answers(recipe, dataset, run)
    softened = answers ** (1 / table.temperature)
    softened /= softened.sum(axis=-1, keepdims=True)
    said = softened if recipe.targets.heads else softened[:, 0]
    # where a face has no weight for its own target, the teachers' answer counts all the same
    own = (1 - table.weight) * goal.weights
    teachers = table.weight * head_scale(recipe.targets)
    total = np.maximum(own + teachers, 1e-6)
    part = (own / total)[..., None]
    targets = part * goal.targets + (1 - part) * said
    return Goal(targets.astype(np.float32), (own + teachers).astype(np.float32))


def teacher_digests(recipe: Recipe, dataset: Dataset) -> list[list[str]]:
    """SHA-256 of each teacher's network, a list for each head; empty where nobody teaches.

    Raises:
        FerEdgeError: a teacher is neither a finished run nor a bundle, or names other expressions.
    """
    return _digests(_subjects(recipe, dataset)) if _used(recipe) else []


def changed_teachers(recipe: Recipe, recorded: Mapping[str, Any]) -> tuple[str, ...]:
    """The teachers of a run that are other networks today, of those that are still there.

    Args:
        recipe: of the run.
        recorded: its ``data.json``.
    """
    teachers = recipe.distill.teachers
    changed = set()
    for head, digests in zip(_heads(recipe), recorded.get(TEACHERS, ()), strict=False):
        for teacher, digest in zip(teachers, digests, strict=False):
            with suppress(FerEdgeError):
                if _digest(_subject(teacher, head).model) != digest:
                    changed.add(teacher)
    return tuple(teacher for teacher in teachers if teacher in changed)


def _used(recipe: Recipe) -> bool:
    return bool(recipe.distill.teachers and recipe.distill.weight)


def _heads(recipe: Recipe) -> list[str]:
    return [*map(str, recipe.targets.heads)] or [""]


def _subjects(recipe: Recipe, dataset: Dataset) -> list[list[Subject]]:
    teachers = recipe.distill.teachers
    return [[_fitting(each, head, dataset) for each in teachers] for head in _heads(recipe)]


def _fitting(teacher: str, head: str, dataset: Dataset) -> Subject:
    """Raises FerEdgeError where it names other expressions."""
    subject = _subject(teacher, head)
    if subject.labels != dataset.labels:
        raise FerEdgeError(
            f"the teacher {teacher} names {', '.join(subject.labels or ())}; "
            f"{dataset.name} has {', '.join(dataset.labels)}",
            "take teachers of the same labels, or none: --set 'distill.teachers=[]'",
        )
    return subject


def _subject(teacher: str, head: str) -> Subject:
    """Of a teacher that has this head that one, else its default."""
    path = find_shipped(Path(teacher))
    named = None
    if path.suffix == ".fer":
        own = path.with_stem(f"{path.stem}-{head}")
        path = own if own.is_file() else path
    elif head and model_file(path, head).is_file():
        named = head
    return find_subject(path, named)


def _digests(subjects: list[list[Subject]]) -> list[list[str]]:
    return [[_digest(subject.model) for subject in head] for head in subjects]


def _digest(network: Path | bytes) -> str:
    content = network if isinstance(network, bytes) else network.read_bytes()
    return hashlib.sha256(content).hexdigest()


def _answers(recipe: Recipe, dataset: Dataset, run: Path) -> np.ndarray:
    """(N, H, C) float32: the mean over teachers and mirror images, of each head."""
    recorded = read_json(run / "data.json").get(TEACHERS)
    kept = _kept(run / CACHE)
    if kept and recorded and kept[0] == _fingerprint(dataset, recorded):
        return kept[1]
    subjects = _subjects(recipe, dataset)
    digests = _digests(subjects)
    fingerprint = _fingerprint(dataset, digests)
    # a run of an older version has nothing but the answers to tell by
    others = recorded != digests if recorded else kept is not None and kept[0] != fingerprint
    if others:
        raise FerEdgeError(
            f"cannot go on with {run}: its teachers {', '.join(recipe.distill.teachers)} are not "
            "the networks any more that it began with",
            "bring those back, or start a new run",
        )
    if kept and kept[0] == fingerprint:
        return kept[1]
    answers = np.stack([_mean_answer(head, dataset) for head in subjects], axis=1)
    with atomic_path(run / CACHE) as temporary, temporary.open("wb") as file:
        np.savez(file, answers=answers, fingerprint=np.array(fingerprint))
    return answers


def _kept(cache: Path) -> tuple[str, np.ndarray] | None:
    """The fingerprint and the answers that a run folder keeps; None if they cannot be read."""
    try:
        with np.load(cache) as kept:
            return str(kept["fingerprint"]), np.asarray(kept["answers"])
    except _DAMAGE:
        return None


def _fingerprint(dataset: Dataset, digests: list[list[str]]) -> str:
    """Of the images and of the teachers that see them."""
    digest = hashlib.sha256(np.ascontiguousarray(dataset.faces).data)
    for each in (each for head in digests for each in head):
        digest.update(bytes.fromhex(each))
    return digest.hexdigest()


def _mean_answer(subjects: list[Subject], dataset: Dataset) -> np.ndarray:
    faces, answers = dataset.faces, []
    for subject in subjects:
        model = load_model(subject.model)
        # a student has adjustments of its own
        learned = np.exp([-subject.raised.get(label, 0.0) for label in dataset.labels])
        for said in (model.probabilities(faces), model.probabilities(faces[..., ::-1])):
            unadjusted = said * learned
            answers.append(unadjusted / unadjusted.sum(axis=1, keepdims=True))
    return np.asarray(np.mean(answers, axis=0), np.float32)
