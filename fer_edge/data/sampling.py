"""Random oversampling: every class brought to the size of the largest by repeating its faces."""

from __future__ import annotations

import numpy as np

from fer_edge.data.dataset import Dataset
from fer_edge.errors import require_extra


def oversample(dataset: Dataset, seed: int) -> Dataset:
    """Repeat faces drawn by chance until each class that occurs is as large as the largest.

    Use it on training faces only. Done before a split it puts copies of one face on both sides.

    Returns:
        All faces of ``dataset`` in its order, then the repeated ones.
    """
    require_extra("imblearn", "train")
    from imblearn.over_sampling import RandomOverSampler

    sampler = RandomOverSampler(random_state=seed)
    sampler.fit_resample(np.arange(len(dataset))[:, None], dataset.targets)
    return dataset.subset(sampler.sample_indices_)
