"""What ``fer-edge reproduce`` is to do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from reproducing import as_source

from fer_edge.chatter import import_keras
from fer_edge.data.dataset import Dataset
from fer_edge.errors import FerEdgeError
from fer_edge.labels import CKPLUS_LABELS

keras = import_keras()

from fer_edge.macs import multiply_accumulates  # noqa: E402
from fer_edge.train.models import build_model  # noqa: E402
from fer_edge.train.reproduce.cost import training_faces  # noqa: E402
from fer_edge.train.reproduce.plan import plan  # noqa: E402


def test_the_plan_holds_fourteen_networks_on_two_datasets() -> None:
    experiments = plan()
    networks = {(e.recipe.model.name, *sorted(e.recipe.model.options.items())) for e in experiments}
    assert len(networks) == 14
    on_fer2013 = [e for e in experiments if e.paper.dataset == "fer2013"]
    assert len(on_fer2013) == 15, "Kumar's network in both orders of oversampling"
    on_ck48 = [e for e in experiments if e.paper.dataset == "ck+48"]
    assert len(on_ck48) == 8 * 2 * 3
    assert {e.variant for e in on_ck48} == {"by image", "by subject"}
    assert len({e.folder_name for e in experiments}) == len(experiments)


def test_papers_and_recipes_can_be_chosen_and_cut_short() -> None:
    assert {e.base for e in plan(["mondal"])} == {
        "mondal-shallow",
        "mondal-improved",
        "mondal-deep",
    }
    (only,) = plan(["kusno-4"], epochs_scale=0.1)
    assert (only.base, only.recipe.fit.epochs) == ("kusno-4", 5)
    assert plan(["kusno-4"], epochs_scale=1e-6)[0].recipe.fit.epochs == 1


@pytest.mark.parametrize(
    ("papers", "scale", "message", "hint"),
    [
        (["kusnow"], 1.0, "'kusnow'", "did you mean 'kusno'?"),
        (["compact"], 1.0, "'compact'", ""),
        ([], 0.0, "--epochs-scale is 0", "above 0"),
        ([], float("nan"), "--epochs-scale is nan", "above 0"),
        ([], float("inf"), "--epochs-scale is inf", "above 0"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(
    papers: list[str], scale: float, message: str, hint: str
) -> None:
    with pytest.raises(FerEdgeError) as caught:
        plan(papers, scale)
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_what_can_be_reproduced_is_named_once() -> None:
    with pytest.raises(FerEdgeError, match="no paper or recipe of a paper 'x'") as refused:
        plan(["x"])
    known = refused.value.hint.removeprefix("known: ").split(", ")
    assert len(known) == len(set(known))


@pytest.mark.parametrize(
    ("name", "options", "macs"),
    [("triwijoyo", {}, 722.1e6), ("mondal_shallow", {}, 77.3e6), ("compact", {}, 7.4e6)],
)
def test_multiply_accumulates_are_those_of_the_tables(
    name: str, options: dict[str, int], macs: float
) -> None:
    assert multiply_accumulates(build_model(name, 7, options)) == pytest.approx(macs, rel=0.01)


def test_oversampled_training_is_counted_as_large_as_it_becomes(faces: Dataset) -> None:
    (honest,), (leaky,) = plan(["kumar"])[:1], plan(["kumar-leaky"])
    assert len(set(faces.targets.tolist())) == 6
    largest = np.bincount(faces.targets).max()
    assert training_faces(leaky.recipe, faces) == round(0.8 * 6 * largest)
    assert training_faces(honest.recipe, faces) == pytest.approx(0.8 * 6 * largest, abs=6)


def test_ck48_and_fer2013_are_told_apart_by_labels_and_splits(faces: Dataset) -> None:
    ck = replace(faces, labels=CKPLUS_LABELS, splits=np.full(len(faces), "all"))
    unsplit = replace(faces, splits=np.full(len(faces), "all"))
    kinds = [as_source(each).kind for each in (faces, ck, unsplit)]
    assert kinds == ["fer2013", "ck+48", None]
