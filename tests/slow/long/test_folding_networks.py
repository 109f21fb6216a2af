"""Folding is exact for every network of the package."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from fer_edge.batch_norm import estimate, with_moments
from fer_edge.chatter import import_keras
from fer_edge.labels import LABELS
from fer_edge.train.recipe import load_recipe, shipped_recipes

keras = import_keras()

from fer_edge.export.converters import tflite  # noqa: E402
from fer_edge.export.remedies.folding import fold_batch_norms  # noqa: E402
from fer_edge.train.models import build_model  # noqa: E402
from fer_edge.train.models.merging import merged  # noqa: E402

FACES = np.random.default_rng(5).integers(0, 256, (4, 48, 48, 1)).astype(np.float32)
LARGEST = 8_000_000
"""Parameters of the largest network that is converted as well as folded."""


def _networks() -> dict[str, tuple[str, dict[str, object]]]:
    """Every network of expressions that a shipped recipe trains, by the first recipe's name."""
    found: dict[str, tuple[str, dict[str, object]]] = {}
    for name in shipped_recipes():
        recipe = load_recipe(name)
        table = recipe.model.model_dump()
        builder = str(table.pop("name"))
        # a finished one from a file was folded as what it was
        ours = recipe.task == "classify" and builder != "pretrained"
        if ours and (builder, table) not in found.values():
            found[name] = (builder, table)
    return found


NETWORKS = _networks()


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """Many networks do not fit into memory at once."""
    yield
    keras.backend.clear_session()


def _trained(name: str, signs: tuple[float, ...]) -> keras.Model:
    """The network with batch norms as if trained, scales of these signs in turns."""
    keras.utils.set_random_seed(1)
    builder, options = NETWORKS[name]
    network = build_model(builder, len(LABELS), options)
    rng = np.random.default_rng(2)
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.gamma.assign(
                rng.uniform(0.5, 1.5, layer.gamma.shape) * np.resize(signs, layer.gamma.shape)
            )
            layer.beta.assign(rng.uniform(-0.5, 0.5, layer.beta.shape))
    # with drawn statistics nothing of a face would reach the end of a deep network
    seen = estimate(network, FACES[..., 0].astype(np.uint8), batch=len(FACES))
    return merged(with_moments(network, seen))


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("signs", [(1,), (1, 1, -1)], ids=["positive", "mixed"])
def test_a_folded_network_computes_what_the_original_does(
    name: str, signs: tuple[float, ...]
) -> None:
    network = _trained(name, signs)
    folded, _ = fold_batch_norms(network)
    expected = np.asarray(network(FACES, training=False))
    said = np.concatenate([np.asarray(folded(face[None], training=False)) for face in FACES])
    assert np.ptp(expected, axis=0).max() > 1e-6, "it must answer differently to be compared"
    np.testing.assert_allclose(said, expected, atol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_no_multiplication_of_a_batch_norm_is_left_in_the_flatbuffer(name: str) -> None:
    network = _trained(name, (1,))
    if network.count_params() > LARGEST:
        pytest.skip("its conversion takes a minute and shows what mondal-improved's does")
    folded, _ = fold_batch_norms(network)
    operators = tflite.operators(tflite.to_float32(folded))
    behind = operators[operators.index("CONV_2D") :]
    assert "MUL" not in behind
    # a shift before a convolution with a border cannot move on: two of paper T's three
    assert behind.count("ADD") == (2 if name == "triwijoyo" else 0)
