"""What a network is taught about each face: its label, people's votes, or each by its own head."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fer_edge.data.dataset import Dataset
from fer_edge.data.ferplus import require_votes, vote_shares
from fer_edge.train.recipe import TargetsTable


@dataclass(frozen=True)
class Goal:
    """Targets of N faces and C classes, for one output or for H heads.

    Attributes:
        targets: (N, C) or (N, H, C) float32, rows sum to 1.
        weights: (N,) or (N, H) float32, of the faces' losses.
    """

    targets: np.ndarray
    weights: np.ndarray


def goals(dataset: Dataset, table: TargetsTable) -> Goal:
    """What the recipe's [targets] table makes of a dataset.

    A mixed target is what two losses together ask for: one of the label, weighted 1 - ``votes``,
    and one of the votes, weighted ``votes`` times how much of the vote the classes have.

    Raises:
        FerEdgeError: votes are wanted and the dataset has none.
    """
    if not table.heads:
        return _mixed(dataset, table.votes)
    parts = [_mixed(dataset, float(head == "votes")) for head in table.heads]
    targets = np.stack([part.targets for part in parts], axis=1)
    weights = np.stack([part.weights for part in parts], axis=1) * head_scale(table)
    return Goal(targets, weights)


def head_scale(table: TargetsTable) -> np.ndarray:
    """What the heads' losses are multiplied by, (H,) float32; (1,) of 1 where there are no heads.

    Its mean is 1, so that the learning rate means what it does without heads.
    """
    scale = np.array(table.head_weights or [1.0] * max(len(table.heads), 1), np.float32)
    return scale * (len(scale) / scale.sum())


def one_hot(dataset: Dataset) -> np.ndarray:
    """(N, classes) float32."""
    return np.eye(len(dataset.labels), dtype=np.float32)[dataset.targets]


def _mixed(dataset: Dataset, votes: float) -> Goal:
    labels = one_hot(dataset)
    if not votes:
        return Goal(labels, np.ones(len(dataset), np.float32))
    shares, weights = vote_shares(require_votes(dataset), dataset.labels)
    part = np.float32(votes) * weights[:, None]
    total = (1 - np.float32(votes)) + part
    mixed = ((1 - np.float32(votes)) * labels + part * shares) / np.maximum(total, 1e-6)
    # a face that nobody gave a class has no weight, and must still have a target
    targets = np.where(total > 0, mixed, labels)
    return Goal(targets.astype(np.float32), total[:, 0].astype(np.float32))
