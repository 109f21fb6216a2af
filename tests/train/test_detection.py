"""What a detector's cells are taught, and what their answers cost."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fer_edge.chatter import import_keras

keras = import_keras()

import tensorflow as tf  # noqa: E402

from fer_edge.data.detection.backgrounds import Backgrounds  # noqa: E402
from fer_edge.data.detection.frames import Composer, Composition, Truth  # noqa: E402
from fer_edge.data.detection.photos import load_photos  # noqa: E402
from fer_edge.detection import PARTS, decode, grid, logit  # noqa: E402
from fer_edge.errors import FerEdgeError  # noqa: E402
from fer_edge.train.averaging import Statistics  # noqa: E402
from fer_edge.train.detection.assigning import BACKGROUND, FACE, LEFT_ALONE, targets  # noqa: E402
from fer_edge.train.detection.batches import FrameBatches  # noqa: E402
from fer_edge.train.detection.losses import DetectionLoss, TaughtOverlap, overlaps  # noqa: E402
from fer_edge.train.detection.mining import HardNegatives  # noqa: E402
from fer_edge.train.models.detector import PRIOR, build_detector  # noqa: E402
from fer_edge.train.recipe import load_recipe, override, parse_recipe  # noqa: E402

SIZE = (320, 240)
SMALL = {"stem": 4, "early": 4, "widths": [4, 4, 4], "depths": [1, 1, 1], "head": 4}


def _truth(*boxes: list[float], ignored: list[float] | None = None) -> Truth:
    landmarks = [[[x + w * a, y + h * b] for a, b in _PLACES] for x, y, w, h in boxes]
    return Truth(
        np.float32(boxes).reshape(-1, 4),
        np.float32(landmarks).reshape(-1, 5, 2),
        np.float32(ignored or []).reshape(-1, 4),
    )


_PLACES = ((0.3, 0.4), (0.7, 0.4), (0.5, 0.55), (0.35, 0.75), (0.65, 0.75))


def _as_said(taught: np.ndarray) -> np.ndarray:
    """Answers that say exactly what was taught."""
    corners = taught[:, 1:5]
    sides = np.maximum(corners[:, 2:] - corners[:, :2], 1e-3)
    middle = (corners[:, :2] + corners[:, 2:]) / 2
    score = np.where(taught[:, :1] == FACE, logit(0.999), logit(0.001))
    return np.concatenate([score, middle, np.log(sides), taught[:, 5:]], axis=1).astype(np.float32)


@pytest.mark.parametrize(
    ("height", "strides"), [(24, {8}), (48, {8, 16}), (80, {16}), (100, {16, 32}), (230, {32})]
)
def test_a_face_is_taught_at_the_strides_made_for_its_size(height: int, strides: set) -> None:
    taught = targets(_truth([90, 5, 0.8 * height, height]), SIZE)
    assert {*grid(SIZE)[taught[:, 0] == FACE, 2].tolist()} == strides


def test_what_is_taught_decodes_to_the_faces_that_were_there() -> None:
    truth = _truth([40, 30, 30, 38], [200, 60, 70, 90])
    taught = targets(truth, SIZE)
    cells = taught[:, 0] == FACE
    said = _as_said(taught)[cells]
    found = decode(grid(SIZE)[cells], said[:, 0], said[:, 1:5], said[:, 5:])
    for box, points in zip(found.boxes, found.landmarks, strict=True):
        face = int(box[0] > 120)
        np.testing.assert_allclose(box, truth.boxes[face], atol=0.01)
        np.testing.assert_allclose(points, truth.landmarks[face], atol=0.01)


def test_a_half_hidden_face_is_neither_face_nor_background() -> None:
    taught = targets(_truth(ignored=[100, 100, 64, 64]), SIZE)
    cells = grid(SIZE)
    inside = ((cells[:, :2] >= 100) & (cells[:, :2] <= 164)).all(axis=1)
    assert (taught[inside, 0] == LEFT_ALONE).all()
    assert (taught[~inside, 0] == BACKGROUND).all()


def test_the_right_answer_costs_nearly_nothing_and_each_wrong_one_more() -> None:
    taught = targets(_truth([200, 60, 70, 90]), SIZE)
    right = _as_said(taught)
    loss = DetectionLoss()

    def cost(said: np.ndarray) -> float:
        return float(loss(taught[None], said[None]))

    assert cost(right) < 0.02
    for columns, change in ((slice(0, 1), -12.0), (slice(1, 3), 1.0), (slice(5, None), 1.0)):
        wrong = right.copy()
        wrong[taught[:, 0] == FACE, columns] += change
        assert cost(wrong) > cost(right) + 0.1
    surprised = right.copy()
    surprised[taught[:, 0] == BACKGROUND, 0] += 12
    assert cost(surprised) > cost(right) + 1
    ignored = taught.copy()
    ignored[taught[:, 0] == BACKGROUND, 0] = LEFT_ALONE
    assert float(loss(ignored[None], surprised[None])) == pytest.approx(cost(right), abs=1e-3)


ON_TWO_DEVICES = """
import sys
import tensorflow as tf
(processor,) = tf.config.list_physical_devices("CPU")
half = tf.config.LogicalDeviceConfiguration()
tf.config.set_logical_device_configuration(processor, [half, half])
import numpy as np
from fer_edge.train.detection.losses import DetectionLoss
from fer_edge.train.devices import placed_on

taught, said = (tf.constant(array) for array in np.load(sys.argv[1]).values())

def step(share):
    own = said[share::2]
    with tf.GradientTape() as tape:
        tape.watch(own)
        loss = DetectionLoss()(taught[share::2], own)
    return loss, tf.norm(tape.gradient(loss, own))

with placed_on(("cpu:0", "cpu:1")):
    strategy = tf.distribute.get_strategy()
    share = strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(context.replica_id_in_sync_group)
    )
    losses, gradients = strategy.run(tf.function(step), args=(share,))
    parts = [strategy.experimental_local_results(each) for each in (losses, gradients)]
print(sum(map(float, parts[0])), sum(float(each) ** 2 for each in parts[1]) ** 0.5)
"""


def test_devices_that_share_a_batch_take_together_the_loss_and_step_of_one(tmp_path: Path) -> None:
    frames = [_truth([200, 60, 70, 90]), _truth(), _truth([40, 30, 30, 38], [200, 60, 70, 90])]
    taught = np.stack([targets(frame, SIZE) for frame in [*frames, _truth()]])
    said = np.random.default_rng(1).normal(0, 0.5, taught.shape).astype(np.float32)
    np.savez(tmp_path / "batch.npz", taught=taught, said=said)
    command = [sys.executable, "-c", ON_TWO_DEVICES, str(tmp_path / "batch.npz")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    loss, step = map(float, done.stdout.split())
    assert loss == pytest.approx(float(DetectionLoss()(taught, said)), rel=1e-4)
    answers = tf.convert_to_tensor(said)
    with tf.GradientTape() as tape:
        tape.watch(answers)
        whole = DetectionLoss()(taught, answers)
    assert step == pytest.approx(float(tf.norm(tape.gradient(whole, answers))), rel=1e-4)


def test_an_empty_frame_has_a_finite_loss() -> None:
    taught = targets(_truth(), SIZE)
    said = np.zeros((len(taught), 15), np.float32)
    assert np.isfinite(float(DetectionLoss()(taught[None], said[None])))


def test_generalized_overlap_is_that_of_the_definition() -> None:
    one, other = np.float32([[0, 0, 2, 2]]), np.float32([[1, 0, 3, 2]])
    shared, general = overlaps(one, other)
    assert float(shared[0]) == pytest.approx(1 / 3, abs=1e-5)
    assert float(general[0]) == pytest.approx(1 / 3, abs=1e-5)
    _, apart = overlaps(one, np.float32([[4, 0, 6, 2]]))
    assert float(apart[0]) == pytest.approx(-1 / 3, abs=1e-5)
    metric = TaughtOverlap()
    taught = targets(_truth([200, 60, 70, 90]), SIZE)
    metric.update_state(taught[None], _as_said(taught)[None])
    assert float(metric.result()) == pytest.approx(1, abs=1e-3)


def test_one_set_of_weights_sees_the_same_in_frames_of_both_sizes() -> None:
    keras.utils.set_random_seed(0)
    large, small = build_detector(SMALL, (320, 240)), build_detector(SMALL, (160, 120))
    small.set_weights(large.get_weights())
    part = np.random.default_rng(0).integers(0, 256, (1, 120, 160, 1)).astype(np.float32)
    whole = np.zeros((1, 240, 320, 1), np.float32)
    whole[:, :120, :160] = part
    # the first cells see neither what is beyond the smaller frame nor where it ends
    for one, other in zip(large(whole), small(part), strict=True):
        np.testing.assert_allclose(one[:, :1, :1], other[:, :1, :1], atol=1e-5)
    assert [each.shape[-1] for each in small.outputs] == [*PARTS.values()] * 3
    assert 1 / (1 + np.exp(-np.asarray(small(part * 0)[0]).mean())) == pytest.approx(PRIOR, rel=0.5)


def test_a_batch_depends_on_seed_epoch_and_number_alone() -> None:
    composer = Composer(load_photos("synthetic"), Backgrounds(), Composition(size=(160, 120)))
    batches, others = (FrameBatches(composer, 9, 4, seed=1) for _ in range(2))
    assert len(batches) == 2
    batches.epoch = others.epoch = 3
    frames, taught = batches[1]
    assert frames.shape == (4, 120, 160, 1)
    assert taught.shape == (4, len(grid((160, 120))), 15)
    np.testing.assert_array_equal(others[1][0], frames)
    others.epoch = 4
    assert (others[1][0] != frames).any()


def test_empty_frames_that_the_network_takes_for_faces_are_shown_again() -> None:
    composer = Composer(load_photos("synthetic"), Backgrounds(), Composition(size=(160, 120)))
    batches = FrameBatches(composer, 16, 8, seed=1, mined=0.25)
    inputs = keras.Input((120, 160, 1))
    light = keras.layers.GlobalAveragePooling2D(keepdims=True)(inputs)
    sees_light = keras.Model(inputs, [keras.layers.Identity()(light) for _ in range(9)])
    negatives = HardNegatives(
        batches, Statistics(lambda trainer: sees_light, np.zeros((8, 120, 160), np.uint8), 8)
    )
    negatives.set_model(sees_light)
    negatives.on_epoch_begin(0)
    assert not len(batches.mined), "nothing is learned yet"
    batches.epoch = 1
    negatives.on_epoch_begin(1)
    brightest = sorted(range(8), key=lambda n: -batches.empty_frame(1, n).mean())
    assert batches.mined.tolist() == brightest[:2]
    for index in range(2):
        frames, taught = batches[index]
        for place in range(2):
            shown = batches.empty_frame(1, brightest[place])
            np.testing.assert_array_equal(frames[place, ..., 0], shown)
            assert (taught[place, :, 0] == BACKGROUND).all()
        usual = composer.frame(np.random.default_rng([1, 1, 8 * index + 2]))[0]
        np.testing.assert_array_equal(frames[2, ..., 0], usual)


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ("fit.select=best", "validation accuracy"),
        ("frames.smallest=900", "smallest"),
        ("frames.widht=320", "width"),
        ("model.name=edge", "detector"),
        ("data.validation=[]", "Training, PublicTest"),
    ],
)
def test_a_detector_recipe_that_cannot_work_is_refused(setting: str, named: str) -> None:
    with pytest.raises(FerEdgeError) as refused:
        override(load_recipe("detector"), [setting])
    assert named in str(refused.value)


def test_a_classifier_takes_no_detector_for_its_model() -> None:
    with pytest.raises(FerEdgeError, match="task = 'classify'"):
        parse_recipe('name = "x"\n[model]\nname = "detector"\n', "x.toml")
    with pytest.raises(FerEdgeError, match="no option 'with'"):
        build_detector({"with": 3}, SIZE)
