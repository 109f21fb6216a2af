"""FER+ (Barsoum et al., 2016, https://arxiv.org/abs/1608.01041): ten votes for each FER2013 face.

``fer2013new.csv`` holds no pixels; its rows stand in the order of FER2013's.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import replace
from typing import BinaryIO

import numpy as np

from fer_edge.data.dataset import Dataset
from fer_edge.errors import FerEdgeError
from fer_edge.labels import LABELS, label_index

VOTE_COLUMNS = (
    "neutral",
    "happiness",
    "surprise",
    "sadness",
    "anger",
    "disgust",
    "fear",
    "contempt",
    "unknown",
    "NF",
)
"""What a vote can be for; NF is "not a face"."""

NO_MAJORITY = 255
"""Stands in place of a class number where the votes name none of the seven."""

MOST_VOTES = 64 << 20
"""Bytes of a CSV; FER+'s has 1.7 MB."""

LEAST_AGREEMENT = 0.4
"""Share of a split's clear majorities that must be its labels: 67 to 68% are in FER2013, about a
fifth where its rows are shuffled or one off."""

ENOUGH = 200
"""Clear majorities of a split from which on their agreement is looked at: by chance it
lies within 7 points."""

_COUNTS = {str(count): count for count in range(11)}


def join_votes(dataset: Dataset, stream: BinaryIO, where: str) -> Dataset:
    """FER2013 with the FER+ votes of each face in ``Dataset.votes``, (N, 10) uint8.

    Args:
        dataset: all of FER2013's rows in their order, none skipped.
        stream: the bytes of ``fer2013new.csv``.
        where: what to call that file in messages.

    Raises:
        FerEdgeError: not FER+, a bad row, another number of rows, another split in some row, or
            votes that do not fit the labels.
    """
    usages, votes = _read_votes(stream, where)
    if len(votes) != len(dataset):
        raise FerEdgeError(
            f"{where} has {len(votes):,} rows of votes for {len(dataset):,} faces",
            "votes are joined by row: both files must be whole and in their original order",
        )
    differs = np.flatnonzero(np.array(usages) != dataset.splits)
    if len(differs):
        first = differs[0]
        raise FerEdgeError(
            f"{where}, row {first + 2}: Usage is '{usages[first]}', "
            f"but {dataset.name} has '{dataset.splits[first]}' there",
            "votes are joined by row: both files must be in their original order",
        )
    _refuse_others_votes(dataset, votes, where)
    return replace(dataset, votes=votes)


def _refuse_others_votes(dataset: Dataset, votes: np.ndarray, where: str) -> None:
    """FerEdgeError where so few majorities are the labels that the rows must be out of step."""
    majority = majority_targets(votes)
    for split in dataset.split_names:
        clear = (dataset.splits == split) & (majority != NO_MAJORITY)
        agreed = majority[clear] == dataset.targets[clear]
        if len(agreed) >= ENOUGH and agreed.mean() < LEAST_AGREEMENT:
            raise FerEdgeError(
                f"{where}: of {len(agreed):,} majorities in {split} only {agreed.mean():.0%} are "
                f"the labels of {dataset.name}",
                "votes are joined by row: both files must be in their original order",
            )


def majority_targets(votes: np.ndarray) -> np.ndarray:
    """Class number by majority of FER+ votes, (N,) uint8; NO_MAJORITY where there is none.

    The rule of FER+'s authors: single votes are noise and do not count; of the rest, the winner
    needs more than half. Winners beyond the seven (contempt, unknown, not a face) count as none.

    Args:
        votes: (N, 10) uint8 in the order of VOTE_COLUMNS.
    """
    counted = np.where(votes > 1, votes, 0)
    winner = counted.argmax(axis=1)
    clear = 2 * counted.max(axis=1).astype(int) > counted.sum(axis=1)
    classes = [label_index(column) for column in VOTE_COLUMNS]
    numbers = np.array([NO_MAJORITY if index is None else index for index in classes], np.uint8)
    return np.where(clear, numbers[winner], np.uint8(NO_MAJORITY))


def vote_shares(votes: np.ndarray, labels: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """How the votes divide among a dataset's classes, and how much of the vote that is.

    As in ``majority_targets``, single votes do not count where others do. Votes for what is no
    class of the dataset (contempt, unknown, not a face) are left out of the shares and lower the
    weight: half of them gone, the face counts half.

    Args:
        votes: (N, 10) uint8 in the order of VOTE_COLUMNS.
        labels: C class names in index order.

    Returns:
        Shares, (N, C) float32, rows sum to 1, or to 0 where nobody voted for any class; and
        weights, (N,) float32 in 0..1.
    """
    counted = np.where(votes > 1, votes, 0).astype(np.float64)
    counted = np.where(counted.any(axis=1, keepdims=True), counted, votes)
    by_class = np.zeros((len(votes), len(labels)))
    for column, name in enumerate(VOTE_COLUMNS):
        index = label_index(name, labels)
        if index is not None:
            by_class[:, index] += counted[:, column]
    usable, cast = by_class.sum(axis=1), counted.sum(axis=1)
    shares = by_class / np.maximum(usable, 1)[:, None]
    return shares.astype(np.float32), (usable / np.maximum(cast, 1)).astype(np.float32)


def by_majority(dataset: Dataset) -> Dataset:
    """The faces whose FER+ votes have a majority among the seven, with it as their label.

    Raises:
        FerEdgeError: the dataset has no votes, or other labels than FER2013.
    """
    votes = require_votes(dataset)
    targets = majority_targets(votes)
    clear = targets != NO_MAJORITY
    return replace(dataset, targets=targets).subset(clear)


def with_majority_truth(dataset: Dataset, train_splits: Sequence[str]) -> Dataset:
    """The dataset whose faces outside of the training splits are judged by the votes' majority.

    Held-out faces have the majority as their label, and those without one are left out. Training
    faces stay as they are, all of them.

    Raises:
        FerEdgeError: the dataset has no votes, or other labels than FER2013.
    """
    votes = require_votes(dataset, otherwise="judge by the labels: --labels")
    targets = majority_targets(votes)
    training = np.isin(dataset.splits, list(train_splits))
    judged = replace(dataset, targets=np.where(training, dataset.targets, targets))
    return judged.subset(training | (targets != NO_MAJORITY))


def how_to_join(dataset: Dataset) -> str:
    """How a dataset gets its votes; empty where there are none for it."""
    if dataset.name != "fer2013":
        return ""
    return "put fer2013new.csv beside fer2013.csv, or pack them: fer-edge data pack --votes"


def require_votes(
    dataset: Dataset,
    otherwise: str = "train on the labels alone: --set 'targets.heads=[]' --set "
    "'distill.teachers=[]'",
) -> np.ndarray:
    """The dataset's votes, (N, 10) uint8.

    Args:
        dataset: has them.
        otherwise: what to do without.

    Raises:
        FerEdgeError: it has none, or other labels than FER2013.
    """
    if dataset.votes is None:
        raise FerEdgeError(
            f"dataset {dataset.name} has no FER+ votes",
            "; or ".join(filter(None, (how_to_join(dataset), otherwise))),
        )
    if dataset.labels != LABELS:
        raise FerEdgeError(
            f"FER+'s votes do not fit the labels {', '.join(dataset.labels)}",
            f"use them with FER2013's: {', '.join(LABELS)}",
        )
    return dataset.votes


def _read_votes(stream: BinaryIO, where: str) -> tuple[list[str], np.ndarray]:
    try:
        text = stream.read(MOST_VOTES).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FerEdgeError(f"{where} is not a CSV", "expected FER+'s fer2013new.csv") from error
    reader = csv.DictReader(io.StringIO(text))
    usages, rows = [], []
    try:
        _require_columns(reader, where)
        for number, row in enumerate(reader, start=2):
            counts = [row[name] or "" for name in VOTE_COLUMNS]
            if not _COUNTS.keys() >= set(counts):
                shown = ",".join(counts).replace("\n", " ")[:60]
                raise FerEdgeError(
                    f"{where}, row {number}: votes are {shown}", "each is from 0 to 10"
                )
            usages.append(row["Usage"])
            rows.append([_COUNTS[count] for count in counts])
    except csv.Error as error:
        raise FerEdgeError(
            f"{where}, line {reader.line_num}: {error}", "is there a quote that does not end?"
        ) from error
    return usages, np.array(rows, np.uint8).reshape(-1, len(VOTE_COLUMNS))


def _require_columns(reader: csv.DictReader[str], where: str) -> None:
    missing = [name for name in ("Usage", *VOTE_COLUMNS) if name not in (reader.fieldnames or ())]
    if missing:
        raise FerEdgeError(
            f"{where} has no column '{missing[0]}'", "expected FER+'s fer2013new.csv"
        )
