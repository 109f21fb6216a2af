"""What the tables of a recipe must agree on."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from fer_edge.data.division import TEST
from fer_edge.data.splits import TRAINING
from fer_edge.errors import FerEdgeError
from fer_edge.train.detection.frames_table import check_task

if TYPE_CHECKING:
    from fer_edge.train.recipe import DataTable, FitTable, Recipe, TargetsTable


NO_ADJUSTMENT = "take none: --set 'fit.logit_adjustment={}'"


def check_consistency(recipe: Recipe, source: str) -> None:
    """What no table of a recipe can tell by itself.

    Raises:
        FerEdgeError: tables or keys contradict each other; ``source`` names the recipe.
    """
    data, fit = recipe.data, recipe.fit
    for first, second in (("train", "test"), ("validation", "test"), ("train", "validation")):
        both = set(getattr(data, first)) & set(getattr(data, second))
        if both:
            raise FerEdgeError(
                f"recipe {source}: split '{sorted(both)[0]}' is in both data.{first} "
                f"and data.{second}",
                "a split may serve one purpose only",
            )
    if not data.validation and (fit.select == "best" or fit.patience):
        raise FerEdgeError(
            f"recipe {source}: fit.select = 'best' and fit.patience need a validation split",
            "name one in data.validation, or use select = 'last' and patience = 0",
        )
    if not data.validation and fit.temperature:
        raise FerEdgeError(
            f"recipe {source}: fit.temperature needs a validation split",
            "name one in data.validation, or set fit.temperature = false",
        )
    _check_schedule(fit, source)
    _check_targets(recipe.targets, source)
    _check_adjustment(recipe, source)
    _check_division(data, source)
    check_task(recipe, source)


def _check_schedule(fit: FitTable, source: str) -> None:
    if not fit.restarts:
        return
    if fit.schedule != "cosine":
        raise FerEdgeError(
            f"recipe {source}: fit.restarts are the cosine's, and the schedule is {fit.schedule}",
            "set fit.schedule = 'cosine', or leave out fit.restarts",
        )
    if any(later <= earlier for earlier, later in pairwise([fit.warmup_epochs, *fit.restarts])):
        raise FerEdgeError(
            f"recipe {source}: fit.restarts = {fit.restarts} do not ascend from the end of the "
            f"warm-up, {fit.warmup_epochs:g} epochs",
            "name the epochs after which the learning rate starts anew, such as [70] of 160",
        )


def _check_targets(targets: TargetsTable, source: str) -> None:
    heads = targets.heads
    if len(set(heads)) < len(heads):
        raise FerEdgeError(
            f"recipe {source}: targets.heads names a head twice: {', '.join(heads)}",
            "name each once, such as ['votes', 'fer2013']",
        )
    if heads and targets.votes:
        raise FerEdgeError(
            f"recipe {source}: targets.votes is {targets.votes:g} and there are heads",
            "mix the targets of one output, or give heads, which do not mix",
        )
    if targets.head_weights and len(targets.head_weights) != len(heads):
        raise FerEdgeError(
            f"recipe {source}: {len(targets.head_weights)} head_weights for {len(heads)} heads",
            "give one for each of targets.heads, or none",
        )


def _check_adjustment(recipe: Recipe, source: str) -> None:
    heads = recipe.targets.heads or ["fer2013"]
    for head in recipe.fit.logit_adjustment:
        if head not in heads:
            raise FerEdgeError(
                f"recipe {source}: fit.logit_adjustment names the head {head}, which is not there",
                f"it has {' and '.join(heads)}; or {NO_ADJUSTMENT}",
            )


def _check_division(data: DataTable, source: str) -> None:
    if data.division is None:
        if data.leaky:
            raise FerEdgeError(
                f"recipe {source}: data.oversample = 'before-dividing' needs a division",
                "set data.divide = 'by-image', or data.oversample = 'training'",
            )
        return
    if data.test_share == 0:
        raise FerEdgeError(
            f"recipe {source}: data.test_share is 0", "give the share of the faces to hold out"
        )
    if data.leaky and data.divide == "by-subject":
        raise FerEdgeError(
            f"recipe {source}: by subject, copies of a face never stand on both sides",
            "set data.oversample = 'training'",
        )
    if (data.train, data.validation, data.test) != ([TRAINING], [], [TEST]):
        raise FerEdgeError(
            f"recipe {source}: data.divide gives the splits {TRAINING} and {TEST} alone",
            f"set data.train = ['{TRAINING}'], data.validation = [], data.test = ['{TEST}']",
        )
