from __future__ import annotations

import numpy as np

from fer_edge.chatter import import_keras
from fer_edge.data.dataset import Dataset

import_keras()

from fer_edge.train.batches import EpochBatches, inverse_frequency  # noqa: E402


def _epoch(batches: EpochBatches, epoch: int) -> np.ndarray:
    batches.epoch = epoch
    return np.concatenate([batches[i][0] for i in range(len(batches))])


def test_an_epoch_shows_every_image_once_in_an_order_of_its_own(blob_dataset: Dataset) -> None:
    batches = EpochBatches(blob_dataset, batch_size=100, seed=1)
    first, second = _epoch(batches, 0), _epoch(batches, 1)
    assert len(first) == len(blob_dataset)
    key = {face.tobytes() for face in blob_dataset.faces}
    assert {face.tobytes() for face in first} == key
    assert not np.array_equal(first, second)


def test_the_order_depends_on_seed_and_epoch_alone(blob_dataset: Dataset) -> None:
    a = EpochBatches(blob_dataset, batch_size=64, seed=5)
    b = EpochBatches(blob_dataset, batch_size=64, seed=5)
    _epoch(a, 0), _epoch(a, 1)
    np.testing.assert_array_equal(_epoch(a, 2), _epoch(b, 2))
    assert not np.array_equal(_epoch(b, 2), _epoch(EpochBatches(blob_dataset, 64, seed=6), 2))


def test_targets_stay_with_their_images(blob_dataset: Dataset) -> None:
    batches = EpochBatches(blob_dataset, batch_size=32, seed=1)
    known = {f.tobytes(): t for f, t in zip(blob_dataset.faces, blob_dataset.targets, strict=True)}
    for index in range(len(batches)):
        faces, targets, _ = batches[index]
        assert [known[face.tobytes()] for face in faces] == targets.argmax(axis=1).tolist()


def test_class_weights_give_every_class_the_same_total(blob_dataset: Dataset) -> None:
    few = blob_dataset.subset(np.flatnonzero((blob_dataset.targets != 1) | (np.arange(640) < 90)))
    weights = inverse_frequency(few)
    totals = weights * np.bincount(few.targets, minlength=7)
    np.testing.assert_allclose(totals, totals[0], rtol=1e-5)
    np.testing.assert_allclose(weights[few.targets].mean(), 1, rtol=1e-5)


def test_every_batch_divides_among_the_devices_and_others_are_left_out_each_time(
    blob_dataset: Dataset,
) -> None:
    batches = EpochBatches(blob_dataset, batch_size=99, seed=1, devices=9)
    assert {len(batches[i][0]) % 9 for i in range(len(batches))} == {0}
    epochs = [{face.tobytes() for face in _epoch(batches, epoch)} for epoch in (0, 1)]
    assert [len(epoch) for epoch in epochs] == [639, 639]
    assert epochs[0] != epochs[1]
