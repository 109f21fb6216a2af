"""One head of a run is exported as a network of its own, judged by what it has learned."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fer_edge.chatter import import_keras
from fer_edge.data.dataset import Dataset
from fer_edge.data.ferplus import NO_MAJORITY, majority_targets
from fer_edge.data.packed import write_packed
from fer_edge.errors import FerEdgeError
from fer_edge.labels import LABELS
from fer_edge.subject import BY_LABEL, BY_MAJORITY

keras = import_keras()

from fer_edge.export.judging.certainty import LEAST, choose_threshold  # noqa: E402
from fer_edge.export.judging.measure import hold_out  # noqa: E402
from fer_edge.export.source import open_run  # noqa: E402

UNCLEAR = 10
"""Test pictures whose votes have no majority."""


def _network(seed: int) -> keras.Model:
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [
            keras.Input((48, 48, 1)),
            keras.layers.AveragePooling2D(16),
            keras.layers.Flatten(),
            keras.layers.Dense(len(LABELS), name="logits"),
            keras.layers.Softmax(),
        ]
    )


@pytest.fixture(scope="module")
def run(voted: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with two heads, as training leaves it."""
    folder = tmp_path_factory.mktemp("twins")
    data = folder / "voted.npz"
    write_packed(voted, data)
    _network(1).save(folder / "model.keras")
    _network(2).save(folder / "model-fer2013.keras")
    (folder / "recipe.toml").write_text('name = "twins"\n')
    described = {
        "path": str(data),
        "labels": list(LABELS),
        "name": voted.name,
        "fingerprint": voted.fingerprint(),
        "train": ["Training"],
        "validation": ["PublicTest"],
        "test": ["PrivateTest"],
        "drop_leaks": False,
        "heads": ["votes", "fer2013"],
    }
    (folder / "data.json").write_text(json.dumps(described))
    measured = {"calibration": {"temperature": 1.5}}
    other = {"fer2013": {"calibration": {"temperature": 0.75}}}
    (folder / "metrics.json").write_text(json.dumps(measured | {"heads": other}))
    return folder


@pytest.mark.parametrize("asked", [None, "votes"])
def test_the_votes_head_is_judged_by_the_majority_where_there_is_one(
    run: Path, voted: Dataset, asked: str | None
) -> None:
    source = open_run(run, head=asked)
    assert (source.name, source.head, source.truth) == ("twins", "votes", BY_MAJORITY)
    assert source.temperature == 1.5
    test = voted.select("PrivateTest")
    assert test.votes is not None
    majority = majority_targets(test.votes)
    held_out = hold_out(source)
    np.testing.assert_array_equal(held_out.dataset.targets, majority[majority != NO_MAJORITY])
    assert len(held_out.dataset) == len(test) - UNCLEAR
    assert held_out.clean.shape == (len(test) - UNCLEAR,)


def test_training_images_stay_whole_with_the_labels_that_they_have(
    run: Path, voted: Dataset
) -> None:
    training = open_run(run).dataset.select("Training")
    np.testing.assert_array_equal(training.targets, voted.select("Training").targets)


def test_the_other_head_is_judged_by_the_labels_under_a_name_of_its_own(
    run: Path, voted: Dataset
) -> None:
    source = open_run(run, head="fer2013")
    assert (source.name, source.head, source.truth) == ("twins-fer2013", "fer2013", BY_LABEL)
    assert source.temperature == 0.75
    test = voted.select("PrivateTest")
    held_out = hold_out(source)
    np.testing.assert_array_equal(held_out.dataset.targets, test.targets)
    other = keras.models.load_model(run / "model-fer2013.keras")
    said = other.predict(test.faces[..., None], verbose=0)
    np.testing.assert_allclose(held_out.reference, said, atol=1e-6)


def test_without_votes_in_the_data_the_labels_judge(
    run: Path, voted: Dataset, tmp_path: Path
) -> None:
    data = tmp_path / "plain.npz"
    write_packed(replace(voted, votes=None), data)
    source = open_run(run, str(data))
    assert source.truth == BY_LABEL
    assert len(hold_out(source).dataset) == len(voted.select("PrivateTest"))


def test_a_head_that_the_run_lacks_is_refused_with_those_that_it_has(run: Path) -> None:
    with pytest.raises(FerEdgeError, match="has no head 'labels'") as caught:
        open_run(run, head="labels")
    assert "votes, fer2013" in caught.value.hint


def _answers(confidence: np.ndarray) -> np.ndarray:
    """(N, 2) that name class 0 with these probabilities."""
    return np.stack([confidence, 1 - confidence], axis=1)


def test_the_threshold_is_the_lowest_from_which_on_nine_in_ten_are_right() -> None:
    # a hundred images at each of four steps, of which 99, 95, 80 and 20 are right
    steps, right = (0.95, 0.85, 0.75, 0.55), (99, 95, 80, 20)
    confidence = np.repeat(steps, 100)
    targets = np.concatenate([np.arange(100) >= count for count in right]).astype(np.uint8)
    order = np.random.default_rng(1).permutation(400)
    said = _answers(confidence[order])
    # 274 of 300 are 91.3%, 294 of 400 are 73.5%
    assert choose_threshold(said, targets[order]) == 0.75
    assert choose_threshold(said, targets[order], precision=0.95) == 0.85
    assert choose_threshold(said, targets[order], precision=0.995) is None


def test_images_of_one_probability_are_named_together_or_not_at_all() -> None:
    confidence = np.repeat([0.9, 0.6], [60, 100])
    targets = np.zeros(160, np.uint8)
    targets[110:] = 1  # the first fifty at 0.6 are right, the other fifty wrong
    assert choose_threshold(_answers(confidence), targets) == 0.9


def test_a_handful_of_sure_answers_is_not_enough_to_choose_by() -> None:
    confidence = np.repeat([0.99, 0.6], [LEAST - 1, 100])
    targets = np.repeat([0, 1], [LEAST - 1, 100]).astype(np.uint8)
    assert choose_threshold(_answers(confidence), targets) is None
