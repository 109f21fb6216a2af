from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fer_edge.data.dataset import Dataset
from fer_edge.data.ferplus import VOTE_COLUMNS
from fer_edge.labels import label_index


@pytest.fixture(scope="session")
def voted(blob_dataset: Dataset) -> Dataset:
    """Seven of ten vote for the next class, three for the label; the last ten are no faces."""
    column = {label_index(name): number for number, name in enumerate(VOTE_COLUMNS)}
    votes = np.zeros((len(blob_dataset), len(VOTE_COLUMNS)), np.uint8)
    for row, target in enumerate(blob_dataset.targets.tolist()):
        votes[row, column[(target + 1) % 7]] = 7
        votes[row, column[target]] = 3
    votes[-10:] = [0] * 9 + [10]
    return replace(blob_dataset, votes=votes)
