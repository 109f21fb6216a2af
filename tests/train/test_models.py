from __future__ import annotations

import numpy as np
import pytest

from fer_edge.chatter import import_keras
from fer_edge.errors import FerEdgeError

keras = import_keras()

from fer_edge.train.models import BUILDERS, build_model  # noqa: E402  (after Keras, quietly)


def test_paper_t_has_the_parameters_of_its_table() -> None:
    model = build_model("triwijoyo", 7, {})
    assert model.count_params() == 2_787_015
    assert sum(int(np.prod(w.shape)) for w in model.non_trainable_weights) == 1_152
    counts = [layer.count_params() for layer in model.layers if layer.count_params()]
    # the table's rows 2 to 17
    assert counts == [
        *(1_664, 102_464, 256),
        *(204_928, 409_728, 512),
        *(295_168, 590_080, 1_024),
        *(1_179_776, 512, 903),
    ]


def test_paper_t_halves_the_picture_at_each_pool() -> None:
    model = build_model("triwijoyo", 7, {})
    shapes = [model.get_layer(f"pool{i}").output.shape[1:] for i in (1, 2, 3)]
    assert shapes == [(24, 24, 64), (12, 12, 128), (6, 6, 256)]


def test_paper_t_without_batch_norm_has_none() -> None:
    model = build_model("triwijoyo", 7, {"batch_norm": "none"})
    assert model.count_params() == 2_787_015 - (256 + 512 + 1_024 + 512)
    assert not model.non_trainable_weights


def test_equation_11_puts_batch_norm_before_every_relu_and_drops_the_bias() -> None:
    model = build_model("triwijoyo", 7, {"batch_norm": "before-relu"})
    names = [layer.name for layer in model.layers]
    for conv in ("conv1a", "conv2b", "conv3b"):
        position = names.index(conv)
        assert names[position : position + 3] == [conv, f"{conv}_bn", f"{conv}_relu"]
        assert not model.get_layer(conv).use_bias


@pytest.mark.parametrize("name", BUILDERS)
def test_every_network_gives_probabilities_for_raw_pixels(name: str) -> None:
    model = build_model(name, 8, {})
    faces = np.random.default_rng(0).integers(0, 256, (3, 48, 48, 1)).astype(np.uint8)
    probabilities = model.predict(faces, verbose=0)
    assert probabilities.shape == (3, 8)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert probabilities.dtype == np.float32


def test_an_option_that_a_network_does_not_take_suggests_the_nearest() -> None:
    with pytest.raises(FerEdgeError, match="did you mean 'batch_norm'"):
        build_model("triwijoyo", 7, {"batchnorm": "none"})
    with pytest.raises(FerEdgeError, match="did you mean 'compact'"):
        build_model("compakt", 7, {})
