"""What a recipe can add to a training, each ingredient by what a user would expect of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from maker import Maker, to_int8

from fer_edge.bundle import INT8_TFLITE, open_bundle
from fer_edge.chatter import import_keras
from fer_edge.data.dataset import Dataset
from fer_edge.data.ferplus import VOTE_COLUMNS, by_majority, vote_shares
from fer_edge.errors import FerEdgeError
from fer_edge.face import FACE_SHAPE
from fer_edge.labels import LABELS
from fer_edge.runtime import load_model
from fer_edge.shipped import find_shipped
from fer_edge.subject import find_subject

keras = import_keras()

from fer_edge.train.batches import EpochBatches, balanced_order  # noqa: E402
from fer_edge.train.logit_adjustment import adjust_logits, amounts_of, check_classes  # noqa: E402
from fer_edge.train.models import build_model  # noqa: E402
from fer_edge.train.recipe import (  # noqa: E402
    AugmentTable,
    FitTable,
    TargetsTable,
    override,
    parse_recipe,
)
from fer_edge.train.targets import (  # noqa: E402
    goals,
    one_hot,
)
from fer_edge.train.teachers import taught  # noqa: E402
from fer_edge.train.temperature import best_temperature  # noqa: E402


def _votes(**counts: int) -> np.ndarray:
    return np.array([[counts.get(name, 0) for name in VOTE_COLUMNS]], np.uint8)


def _shares(**counts: int) -> tuple[dict[str, float], float]:
    shares, weights = vote_shares(_votes(**counts), LABELS)
    named = {label: float(share) for label, share in zip(LABELS, shares[0], strict=True) if share}
    return named, float(weights[0])


def test_votes_divide_among_the_seven_and_single_votes_are_noise() -> None:
    assert _shares(happiness=6, neutral=2, anger=1, fear=1) == ({"happy": 0.75, "neutral": 0.25}, 1)


def test_votes_for_contempt_or_no_face_lower_the_weight_of_the_face() -> None:
    assert _shares(anger=5, contempt=5) == ({"angry": 1.0}, 0.5)
    assert _shares(NF=10) == ({}, 0.0)


def test_the_majority_becomes_the_label_and_unclear_faces_are_left_out(
    voted: Dataset,
) -> None:
    clear = by_majority(voted)
    assert 0 < len(clear) < len(voted)
    assert clear.targets.tolist() == ((voted.targets[: len(clear)] + 1) % 7).tolist()


def test_a_mixed_target_is_what_label_and_votes_ask_for_together(voted: Dataset) -> None:
    goal = goals(voted, TargetsTable(votes=0.5))
    target = int(voted.targets[0])
    assert goal.targets[0, target] == pytest.approx(0.5 + 0.5 * 0.3)
    assert goal.targets[0, (target + 1) % 7] == pytest.approx(0.5 * 0.7)
    assert goal.weights[0] == 1
    # nobody's vote counts: half the weight is gone and the label is left
    assert goal.targets[-1, voted.targets[-1]] == 1
    assert goal.weights[-1] == pytest.approx(0.5)


def test_two_heads_have_their_own_targets_and_weights(voted: Dataset) -> None:
    table = TargetsTable(heads=["votes", "fer2013"], head_weights=[3, 1])
    goal = goals(voted, table)
    assert goal.targets.shape == (len(voted), 2, 7)
    assert goal.targets[0, 0].argmax() == (voted.targets[0] + 1) % 7
    assert goal.targets[0, 1].argmax() == voted.targets[0]
    assert goal.weights[0].tolist() == [1.5, 0.5]
    assert goal.weights[-1].tolist() == [0, 0.5]


def test_a_teacher_leaves_the_heads_their_weights(
    voted: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = np.full((len(voted), 2, 7), 1 / 7, np.float32)
    monkeypatch.setattr("fer_edge.train.teachers._answers", lambda *_: said)
    text = HEADS.replace("weight = 1.0", "weight = 0.5")
    recipe = parse_recipe(text.replace("[distill]", "head_weights = [3, 1]\n[distill]"), "student")
    goal = taught(goals(voted, recipe.targets), voted, recipe, tmp_path)
    assert goal.weights[0].tolist() == [1.5, 0.5]
    # nobody voted for a class: the teacher's half is left, and all of the target
    assert goal.weights[-1].tolist() == [0.75, 0.5]
    np.testing.assert_allclose(goal.targets[-1, 0], 1 / 7, rtol=1e-6)
    label = int(voted.targets[0])
    assert goal.targets[0, 1, label] == pytest.approx(0.5 + 0.5 / 7)


def test_votes_that_a_dataset_lacks_are_asked_for(blob_dataset: Dataset) -> None:
    with pytest.raises(FerEdgeError, match=r"has no FER\+ votes"):
        goals(blob_dataset, TargetsTable(votes=1))


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_mixed_images_have_targets_in_the_proportions_of_their_pixels(
    blob_dataset: Dataset, kind: str
) -> None:
    black, white = (np.full((1, 48, 48), value, np.uint8) for value in (0, 200))
    faces = np.concatenate([black, white] * 16)
    targets = np.tile([0, 1], 16).astype(np.uint8)
    two = replace(blob_dataset.subset(np.arange(32)), faces=faces, targets=targets)
    batches = EpochBatches(two, 32, seed=1, mixing=AugmentTable(**{kind: 1.0}))
    mixed, targets, weights = batches[0]
    assert mixed.dtype == np.uint8
    share = mixed.mean(axis=(1, 2, 3)) / 200
    np.testing.assert_allclose(share, targets[:, 1], atol=0.01)
    assert np.ptp(targets[:, 1]) > 0.5, "some must be mixed"
    np.testing.assert_allclose(targets.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(weights, 1, rtol=1e-5)


def test_mixing_depends_on_seed_epoch_and_batch_alone(blob_dataset: Dataset) -> None:
    table = AugmentTable(mixup=0.3, cutmix=1.0, mix_probability=0.8)
    one, other = (EpochBatches(blob_dataset, 64, seed=5, mixing=table) for _ in range(2))
    one[0], one[1]
    one.epoch = other.epoch = 3
    for left, right in zip(one[2], other[2], strict=True):
        np.testing.assert_array_equal(left, right)


def test_without_mixing_the_images_are_untouched(blob_dataset: Dataset) -> None:
    table = AugmentTable(mixup=0.3, mix_probability=0)
    plain = EpochBatches(blob_dataset, 64, 1)
    unmixed = EpochBatches(blob_dataset, 64, 1, mixing=table)
    np.testing.assert_array_equal(plain[0][0], unmixed[0][0])


@pytest.mark.parametrize(("balance", "rare"), [(0.0, 40), (0.5, 167), (1.0, 500)])
def test_a_balanced_epoch_shows_the_rare_class_more_often(balance: float, rare: int) -> None:
    classes = np.repeat([0, 1], [960, 40])
    order = balanced_order(classes, balance, np.random.default_rng(1))
    assert len(order) == 1000
    assert (classes[order] == 1).sum() == pytest.approx(rare, abs=5)
    times = np.bincount(order, minlength=1000)
    assert np.ptp(times[960:]) <= 1, "every image of a class as often as any other"


def test_label_smoothing_works_on_soft_targets() -> None:
    soft, said = np.array([[0.7, 0.3, 0.0]], np.float32), np.array([[0.6, 0.3, 0.1]], np.float32)
    loss = keras.losses.CategoricalCrossentropy(label_smoothing=0.3)(soft, said)
    expected = -((0.7 * soft + 0.1) * np.log(said)).sum()
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def test_temperature_takes_back_what_an_overconfident_network_claims() -> None:
    rng = np.random.default_rng(1)
    honest = rng.normal(size=(4000, 7)) * 2
    likely = np.exp(honest) / np.exp(honest).sum(axis=1, keepdims=True)
    truth = np.array([rng.choice(7, p=row) for row in likely])
    loud = np.exp(3 * honest)
    loud /= loud.sum(axis=1, keepdims=True)
    assert best_temperature(loud, truth) == pytest.approx(3, rel=0.1)


def test_a_raised_logit_makes_a_class_likelier_against_all_others_alike() -> None:
    keras.utils.set_random_seed(1)
    network = build_model("edge", 7, {"size": "nano"})
    faces = np.random.default_rng(1).uniform(0, 255, (8, *FACE_SHAPE)).astype(np.float32)
    before = np.asarray(network(faces))
    adjust_logits(network, {"fear": 0.4, "happy": -0.2}, LABELS)
    odds = np.asarray(network(faces)) / before
    odds /= odds[:, [0]]
    expected = np.ones(7)
    expected[LABELS.index("fear")], expected[LABELS.index("happy")] = np.exp([0.4, -0.2])
    np.testing.assert_allclose(odds, np.tile(expected, (8, 1)), rtol=1e-4)


def test_logits_are_adjusted_by_head_and_for_classes_that_are_there() -> None:
    table = FitTable.model_validate({"logit_adjustment": {"fer2013": {"fear": 0.4}}})
    assert amounts_of(table, "votes") == {}
    assert amounts_of(table, "fer2013") == amounts_of(table, "") == {"fear": 0.4}
    check_classes(table, LABELS)
    with pytest.raises(
        FerEdgeError, match="names 'fear', and the classes are calm, furious"
    ) as found:
        check_classes(table, ["calm", "furious"])
    assert found.value.hint == "take none: --set 'fit.logit_adjustment={}'"
    text = 'name = "x"\n[model]\nname = "compact"\n[fit]\nlogit_adjustment={fer2013={fear=1}}'
    assert not override(parse_recipe(text, "x"), ["fit.logit_adjustment={}"]).fit.logit_adjustment


def test_a_damaged_record_of_an_adjustment_is_one_line(tmp_path: Path) -> None:
    roles = {"fingerprint": "0", "train": [], "validation": [], "test": [], "drop_leaks": False}
    described = {"path": "x", "labels": list(LABELS), "name": "x", **roles}
    (tmp_path / "data.json").write_text(json.dumps(described))
    (tmp_path / "model.keras").touch()
    (tmp_path / "metrics.json").write_text('{"logit_adjustment": 5}')
    with pytest.raises(FerEdgeError, match="is damaged: it has no usable 'logit_adjustment'"):
        find_subject(tmp_path)


def test_a_teachers_bundle_tells_how_far_its_logits_were_raised() -> None:
    subject = find_subject(find_shipped(Path("edge-base-fer2013")))
    assert subject.raised == {"fear": pytest.approx(0.4 / 0.934, abs=0.01)}
    assert find_subject(find_shipped(Path("edge-nano-fer2013"))).raised == {}


@pytest.mark.parametrize(
    ("lines", "what"),
    [
        ("[fit]\nlogit_adjustment = {votes = {fear = 0.4}}", "head votes, which is not there"),
        ("[fit]\nlogit_adjustment = {fer2013 = {fear = 40}}", "logit_adjustment"),
        ('[targets]\nheads = ["votes", "votes"]', "names a head twice"),
        ('[targets]\nheads = ["votes"]\nvotes = 0.5', "and there are heads"),
        ('[targets]\nheads = ["votes"]\nhead_weights = [1, 2]', "2 head_weights for 1 heads"),
        ("[fit]\ntemperature = true", "needs a validation split"),
        ("[camera]\nbluur = 2", "unknown key 'camera.bluur'"),
    ],
)
def test_settings_that_do_not_fit_are_refused(lines: str, what: str) -> None:
    with pytest.raises(FerEdgeError, match=what):
        parse_recipe(f'name = "x"\n[model]\nname = "compact"\n{lines}', "test")


def test_a_recipe_of_an_older_version_means_the_same() -> None:
    old = parse_recipe('name = "x"\n[model]\nname = "compact"', "test")
    assert parse_recipe(old.to_toml(), "test") == old
    assert not old.camera.used
    assert not old.targets.use_votes
    np.testing.assert_array_equal(
        goals_of_blobs := goals(_two(), old.targets).targets, one_hot(_two())
    )
    assert goals_of_blobs.dtype == np.float32


def _two() -> Dataset:
    faces = np.zeros((2, 48, 48), np.uint8)
    return Dataset("two", LABELS, faces, np.array([1, 4], np.uint8), np.array(["Training"] * 2))


ROLES = {
    "fingerprint": "0" * 64,
    "train": ["Training"],
    "validation": [],
    "test": ["PrivateTest"],
    "drop_leaks": False,
}
HEADS = """
name = "student"
[model]
name = "compact"
[targets]
heads = ["votes", "fer2013"]
[distill]
teachers = ["large"]
weight = 1.0
"""


def _brightness_model(sign: float) -> bytes:
    """Answers by brightness, with the first expression or the last, as ``sign`` is."""
    network = keras.Sequential(
        [
            keras.Input(batch_shape=(1, 48, 48, 1)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(len(LABELS), activation="softmax"),
        ]
    )
    network.layers[-1].set_weights([sign * np.linspace(-9, 9, 7)[None], np.zeros(7)])
    return to_int8(network)


def test_a_shipped_model_teaches_each_head_by_the_bundle_named_after_it(
    maker: Maker, voted: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fer_edge.shipped.FOLDER", tmp_path)
    for name, sign in (("large", 1.0), ("large-fer2013", -1.0)):
        made = replace(maker, folder=tmp_path, content=_brightness_model(sign))
        made.bundle(f"{name}.fer", dataset=ROLES)
    faces = voted.subset(np.arange(12))
    recipe = parse_recipe(HEADS, "student")
    goal = taught(goals(faces, recipe.targets), faces, recipe, tmp_path)
    for head, name in enumerate(("large", "large-fer2013")):
        model = load_model(open_bundle(tmp_path / f"{name}.fer").read(INT8_TFLITE))
        said = model.probabilities(faces.faces) + model.probabilities(faces.faces[..., ::-1])
        # the int8 model's answers are whole steps of 1/256, whose sum is not quite 1
        said /= said.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(goal.targets[:, head], said, atol=1e-6)
    assert np.abs(goal.targets[:, 0] - goal.targets[:, 1]).max() > 0.1
