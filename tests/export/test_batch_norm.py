"""Batch norms that do not know the training images are noticed, and repaired on request."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from exported import Exported

from fer_edge.bundle import open_bundle
from fer_edge.chatter import import_keras
from fer_edge.errors import FerEdgeError

keras = import_keras()

from fer_edge import batch_norm  # noqa: E402
from fer_edge.export.remedies.batch_norm import check_batch_norms  # noqa: E402
from fer_edge.export.source import Source, open_run  # noqa: E402


@pytest.fixture(scope="module")
def source(exported: Exported) -> Source:
    """A run whose batch norms know its images, whatever so few epochs left in them."""
    opened = open_run(exported.run)
    faces = opened.dataset.select("Training").faces[:384]
    moments = batch_norm.estimate(opened.network, faces)
    return replace(opened, network=batch_norm.with_moments(opened.network, moments))


def _norms(network: Any) -> list[Any]:
    return [each for each in network.layers if isinstance(each, keras.layers.BatchNormalization)]


def _spoilt(source: Source) -> Source:
    """As after a few steps with a high momentum: the statistics are what they began with."""
    network = keras.models.clone_model(source.network)
    network.set_weights(source.network.get_weights())
    for norm in _norms(network):
        norm.moving_mean.assign(np.zeros(norm.moving_mean.shape))
        norm.moving_variance.assign(np.ones(norm.moving_variance.shape))
    return replace(source, network=network)


def _accuracy(source: Source, split: str) -> float:
    chosen = source.dataset.select(split)
    said = source.network.predict(chosen.faces[..., None], verbose=0).argmax(axis=1)
    return float((said == chosen.targets).mean())


def test_statistics_that_are_off_get_one_line_with_the_figures_and_the_remedy(
    source: Source,
) -> None:
    said: list[str] = []
    spoilt = _spoilt(source)
    same, found = check_batch_norms(spoilt, recalibrate=False, say=said.append)
    assert same is spoilt
    assert found is not None
    assert found.images == 384
    assert found.batch - found.inference > 0.2
    (line,) = said
    assert line.startswith("warning: batch norms hold other statistics: accuracy ")
    assert f"{found.inference:.1%} in inference, {found.batch:.1%} with batch" in line
    assert line.endswith("try --recalibrate-bn")


def test_recalibrating_estimates_them_on_training_images_and_says_what_it_bought(
    source: Source,
) -> None:
    said: list[str] = []
    spoilt = _spoilt(source)
    # other images than those of training and validation would be noticed
    test = spoilt.dataset.splits == "PrivateTest"
    faces = spoilt.dataset.faces.copy()
    faces[test] = 255
    blind = replace(spoilt, dataset=replace(spoilt.dataset, faces=faces))
    repaired, found = check_batch_norms(blind, recalibrate=True, say=said.append)
    assert found is not None
    assert found.estimated_on == 384
    assert found.splits == ("PublicTest",)
    assert found.before == pytest.approx(_accuracy(spoilt, "PublicTest"))
    assert found.after == pytest.approx(_accuracy(repaired, "PublicTest"))
    assert found.after > found.before + 0.2
    assert f"accuracy on PublicTest {found.before:.1%} before, {found.after:.1%}" in said[-1]
    for ours, known in zip(_norms(repaired.network), _norms(source.network), strict=True):
        np.testing.assert_allclose(ours.moving_mean, known.moving_mean, rtol=0.05, atol=0.02)
        np.testing.assert_allclose(ours.gamma, known.gamma)


def test_statistics_that_agree_are_left_alone(source: Source, exported: Exported) -> None:
    said: list[str] = []
    same, found = check_batch_norms(source, recalibrate=True, say=said.append)
    assert same is source
    assert found is not None
    assert found.sound
    assert (found.estimated_on, found.before, found.after) == (0, None, None)
    assert "nothing to recalibrate" in said[0]
    assert check_batch_norms(source, recalibrate=False, say=said.append)[1] == found
    assert len(said) == 1, "nobody asked"
    recorded = open_bundle(exported.bundle).manifest.export["batch_norms"]
    assert recorded["images"] == 384
    assert recorded["inference"] <= 1


def test_new_statistics_are_those_of_all_images_together() -> None:
    keras.utils.set_random_seed(2)
    network = keras.Sequential(
        [
            keras.Input((48, 48, 1)),
            keras.layers.AveragePooling2D(8),
            keras.layers.Dropout(0.5),
            keras.layers.BatchNormalization(name="first"),
            keras.layers.Flatten(),
            keras.layers.Dense(5),
            keras.layers.BatchNormalization(name="second"),
        ]
    )
    faces = np.random.default_rng(0).integers(0, 256, (256, 48, 48)).astype(np.uint8)
    # the batches differ, so that the variance between them counts
    faces[:128] //= 2
    mean, variance = batch_norm.estimate(network, faces)["first"]
    pooled = faces.reshape(256, 6, 8, 6, 8).mean(axis=(2, 4))
    assert mean == pytest.approx(pooled.mean(), rel=1e-4)
    assert variance == pytest.approx(pooled.var(), rel=1e-3)
    assert float(network.get_layer("first").moving_mean[0]) == 0, "the network is unchanged"


def test_a_network_without_batch_norms_has_nothing_to_recalibrate(source: Source) -> None:
    said: list[str] = []
    dense = keras.Sequential([keras.Input((48, 48, 1)), keras.layers.Flatten()])
    plain = replace(source, network=dense)
    assert check_batch_norms(plain, recalibrate=False, say=said.append) == (plain, None)
    assert said == []
    assert check_batch_norms(plain, recalibrate=True, say=said.append) == (plain, None)
    assert said == ["batch norms: there are none, nothing to recalibrate"]


def test_a_handful_of_training_images_has_no_statistics(source: Source) -> None:
    tiny = replace(source, dataset=source.dataset.subset(np.arange(60)))
    assert check_batch_norms(tiny, recalibrate=False, say=print) == (tiny, None)
    with pytest.raises(FerEdgeError, match="has 60 training images, statistics take 64"):
        check_batch_norms(tiny, recalibrate=True, say=print)
