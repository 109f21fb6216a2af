"""Bootstrap resamples: of images, by what they are and were taken for, and of whole persons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fer_edge.evaluation.estimates import RESAMPLES


def drawn_cells(
    numbers: Sequence[npt.NDArray[Any]], classes: int, rng: np.random.Generator
) -> tuple[tuple[npt.NDArray, ...], npt.NDArray]:
    """Bootstrap images by the cells that they fall into, and draw how many each cell has.

    Args:
        numbers: class numbers, (N,) each: the axes of a table of counts.
        classes: how long each axis is.
        rng: draws.

    Returns:
        Class numbers of the M cells that are not empty, (M,) for each axis; and their counts,
        (RESAMPLES, M). M is at most N + 1, however many cells the table has.
    """
    shape = (classes,) * len(numbers)
    cells = np.ravel_multi_index([each.astype(np.int64) for each in numbers], shape)
    # the table's last cell takes what the others leave: with it the draws are the whole table's
    found, counts = np.unique(np.append(cells, classes ** len(shape) - 1), return_counts=True)
    counts[-1] -= 1
    drawn = rng.multinomial(len(cells), counts / len(cells), RESAMPLES)
    return np.unravel_index(found, shape), drawn


class People:
    """Draws of as many persons as there are, with replacement, each with all their pictures.

    Pictures of one person, and the more so frames of one sequence, are right or wrong together:
    drawn one by one they would make an interval as narrow as if each told something new.

    Args:
        names: (N,), who is in each picture.
        seed: of the draws.
    """

    def __init__(self, names: npt.NDArray[Any], seed: int = 0) -> None:
        found, self._person = np.unique(names, return_inverse=True)
        self._order = np.argsort(self._person, kind="stable")
        self._starts = np.searchsorted(self._person[self._order], np.arange(len(found)))
        chances = np.full(len(found), 1 / len(found))
        # (RESAMPLES, persons): how often each is in a resample
        self._drawn = np.random.default_rng(seed).multinomial(len(found), chances, RESAMPLES)

    def count(self, which: npt.NDArray[np.bool_]) -> int:
        """How many persons are in the pictures of ``which``, (N,)."""
        return len(np.unique(self._person[which]))

    def sums(self, values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Sums of (N, …) values over the pictures of each resample, (RESAMPLES, …)."""
        by_person = np.add.reduceat(values[self._order].astype(np.float64), self._starts, axis=0)
        return np.asarray(self._drawn @ by_person, np.float64)

    def means(
        self, values: npt.NDArray[Any], which: npt.NDArray[np.bool_]
    ) -> npt.NDArray[np.float64]:
        """Means of (N,) values over those of ``which``, (RESAMPLES,); NaN where there are none."""
        with np.errstate(invalid="ignore"):
            return np.asarray(self.sums(np.where(which, values, 0)) / self.sums(which))

    def largest(self, values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """The largest of (N,) values in each resample, (RESAMPLES,)."""
        by_person = np.maximum.reduceat(values[self._order].astype(np.float64), self._starts)
        return np.where(self._drawn > 0, by_person, -np.inf).max(axis=1)
