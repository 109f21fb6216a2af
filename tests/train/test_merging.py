"""What is trained in branches computes the same as the one chain that is exported."""

from __future__ import annotations

import numpy as np
import pytest

from fer_edge.chatter import import_keras

keras = import_keras()

from fer_edge.export.remedies.folding import chain  # noqa: E402
from fer_edge.train.models import build_model  # noqa: E402
from fer_edge.train.models.merging import merged  # noqa: E402

FACES = np.random.default_rng(5).integers(0, 256, (4, 48, 48, 1)).astype(np.float32)
FACES *= np.array([0.1, 0.4, 0.7, 1.0], np.float32)[:, None, None, None]
FACES[:, :20] += 80


def _as_if_trained(block: str, branches: bool) -> keras.Model:
    """Batch norms with the statistics of some images, some scales negative."""
    keras.utils.set_random_seed(1)
    options = {"size": "nano", "block": block, "branches": branches, "momentum": 0.1}
    network = build_model("edge", 7, options)
    rng = np.random.default_rng(2)
    norms = [each for each in network.layers if isinstance(each, keras.layers.BatchNormalization)]
    for norm in norms:
        size = norm.gamma.shape
        norm.gamma.assign(rng.uniform(0.5, 1.5, size) * rng.choice([1, 1, -1], size))
        norm.beta.assign(rng.uniform(-0.5, 0.5, size))
    for _ in range(3):
        network(FACES, training=True)
    return network


@pytest.mark.parametrize("branches", [True, False])
@pytest.mark.parametrize("block", ["plain", "separable"])
def test_merged_blocks_compute_the_same_as_one_chain_of_convolutions(
    block: str, branches: bool
) -> None:
    network = _as_if_trained(block, branches)
    single = merged(network)
    expected = np.asarray(network(FACES, training=False))
    assert np.ptp(expected, axis=0).max() > 0.01, "it must answer differently to be compared"
    np.testing.assert_allclose(np.asarray(single(FACES, training=False)), expected, atol=1e-5)
    steps = chain(single)
    assert steps is not None
    kinds = {type(step).__name__ for step in steps}
    assert not kinds & {"Add", "BatchNormalization", "Rescaling"}


@pytest.mark.parametrize("name", ["mini_xception", "compact"])
def test_other_networks_stay_as_they_are(name: str) -> None:
    network = build_model(name, 7, {})
    assert merged(network) is network
