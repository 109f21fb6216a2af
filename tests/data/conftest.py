"""What the tests of data share."""

from __future__ import annotations

import pytest
from data_samples import small_dataset

from fer_edge.data.dataset import Dataset


@pytest.fixture
def dataset() -> Dataset:
    return small_dataset()
