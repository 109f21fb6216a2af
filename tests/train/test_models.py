from __future__ import annotations

import numpy as np
import pytest

from fer_edge.chatter import import_keras
from fer_edge.errors import FerEdgeError

keras = import_keras()

from fer_edge.macs import multiply_accumulates  # noqa: E402
from fer_edge.train.models import BUILDERS, build_model  # noqa: E402  (after Keras, quietly)
from fer_edge.train.models.detector import build_detector  # noqa: E402
from fer_edge.train.models.merging import merged  # noqa: E402


def test_paper_t_has_the_parameters_of_its_table() -> None:
    model = build_model("triwijoyo", 7, {})
    assert model.count_params() == 2_787_015
    assert sum(int(np.prod(w.shape)) for w in model.non_trainable_weights) == 1_152
    # the table's rows 2 to 17
    assert _layer_counts(model) == [
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


def _layer_counts(model: keras.Model) -> list[int]:
    return [layer.count_params() for layer in model.layers if layer.count_params()]


def test_mondals_shallow_network_has_the_parameters_of_figure_6() -> None:
    model = build_model("mondal_shallow", 7, {})
    assert _layer_counts(model) == [320, 18_496, 73_856, 147_584, 2_098_176, 7_175]
    assert model.count_params() == 2_345_607
    improved = build_model("mondal_shallow", 7, {"conv_dropout": 0.25, "dense_dropout": 0.5})
    assert improved.count_params() == 2_345_607


def test_mondals_deep_network_has_the_parameters_of_figure_8() -> None:
    model = build_model("mondal_deep", 7, {})
    assert model.count_params() == 20_552_775
    assert sum(int(np.prod(w.shape)) for w in model.non_trainable_weights) == 9_216
    convolutions = [c for c in _layer_counts(model) if c not in (256, 512, 2_048)]
    assert convolutions == [
        *(640, 36_928, 204_928, 409_728, 409_728, 590_336),
        *[2_359_808] * 7,
        *(2_359_808, 3_591),
    ]
    assert model.get_layer("pool4").output.shape[1:] == (3, 3, 512)


@pytest.mark.parametrize(
    ("number", "total"),
    [
        (1, 2_104_583),
        (2, 4_594_439),
        (3, 2_368_455),
        (4, 592_647),
        (5, 1_116_647),
        (6, 2_349_703),
        (7, 4_590_343),
        (8, 1_125_863),
    ],
)
def test_kusnos_eight_models_have_the_papers_totals(number: int, total: int) -> None:
    assert build_model("kusno", 7, {"model": number}).count_params() == total


@pytest.mark.parametrize(
    ("number", "convolutions", "hidden"),
    [
        (1, (320, 18_496, 73_856, 295_168, 1_180_160), 525_312),
        (2, (320, 18_496, 73_856, 295_168), 4_195_328),
        (3, (640, 36_928, 73_856, 147_584), 2_098_176),
        (4, (640, 18_464, 18_496, 18_464), 525_312),
        (5, (320, 18_496, 18_464, 18_496), 1_049_600),
        (6, (320, 18_496, 73_856, 147_584), 2_098_176),
        (7, (320, 18_496, 73_856, 295_168), 4_195_328),
        (8, (320, 9_248, 18_496, 36_928), 1_049_600),
    ],
)
def test_kusnos_models_have_their_parameters_layer_by_layer(
    number: int, convolutions: tuple[int, ...], hidden: int
) -> None:
    batch_norm = () if number == 7 else (4_096,)
    model = build_model("kusno", 7, {"model": number})
    assert _layer_counts(model) == [*convolutions, hidden, *batch_norm, 7_175]


@pytest.mark.parametrize("number", range(1, 9))
def test_kusnos_models_drop_out_where_the_printed_summaries_do(number: int) -> None:
    kinds = {"Conv2D": "conv", "MaxPooling2D": "pool", "Dropout": "drop", "Dense": "dense"}
    model = build_model("kusno", 7, {"model": number})
    said = [kinds.get(type(layer).__name__) for layer in model.layers]
    between = ["conv", "pool"] * (2 if number == 1 else 1)
    assert [kind for kind in said if kind] == [
        *("conv", "conv", "pool", "drop"),
        *between,
        *("conv", "pool", "drop"),
        *("dense", "drop", "dense"),
    ]


def test_kusnos_first_model_ends_in_one_pixel() -> None:
    model = build_model("kusno", 7, {"model": 1})
    assert model.get_layer("pool5").output.shape[1:] == (1, 1, 512)
    with pytest.raises(FerEdgeError, match="choose from 1 to 8"):
        build_model("kusno", 7, {"model": 9})


def test_kumars_network_has_its_parameters_layer_by_layer_as_it_is_trained() -> None:
    model = build_model("kumar", 7, {})
    assert model.count_params() == 690_055
    assert _layer_counts(model) == [
        *(320, 128, 18_496, 256, 36_928, 256, 73_856, 512, 147_584, 512),
        *(409_800, 1_407),
    ]


def test_kumars_network_has_the_papers_sizes_and_total() -> None:
    model = build_model("kumar", 7, {"batch_norm": False})
    assert model.count_params() == 688_391
    shapes = [model.get_layer(f"conv{i}").output.shape[1:] for i in range(1, 6)]
    assert shapes == [(46, 46, 32), (46, 46, 64), (21, 21, 64), (21, 21, 128), (8, 8, 128)]


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


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        ("compact", "dropout", 2),
        ("compact", "width", 0),
        ("compact", "width", "big"),
        ("compact", "width", True),
        ("compact", "momentum", float("nan")),
        ("triwijoyo", "batch_norm", False),
        ("triwijoyo", "batch_norm", "before_relu"),
        ("kumar", "batch_norm", "none"),
        ("kusno", "model", "2"),
    ],
)
def test_a_value_that_an_option_cannot_take_is_one_line(
    name: str, option: str, value: object
) -> None:
    with pytest.raises(FerEdgeError, match=f"model '{name}': {option}: ") as refused:
        build_model(name, 7, {option: value})
    assert repr(value) in refused.value.message
    assert "\n" not in refused.value.message


def test_what_keras_refuses_is_one_line() -> None:
    with pytest.raises(FerEdgeError, match="'compact' cannot be built: ") as refused:
        build_model("compact", 0, {})
    assert "\n" not in refused.value.message


def test_options_as_recipes_write_them_are_taken() -> None:
    build_model("compact", 7, {"width": 4, "dropout": 0})
    widths = {"widths": [4, 4, 4], "depths": [1, 1, 1]}
    build_detector({"stem": 4, "early": 4, "head": 4, **widths}, (96, 96))
    with pytest.raises(FerEdgeError, match="'detector': widths: "):
        build_detector({"widths": [4, 4]}, (96, 96))


@pytest.mark.parametrize(
    ("size", "parameters", "macs", "most_macs"),
    [
        ("nano", 86_135, 9.4e6, 10e6),
        ("small", 481_095, 37.3e6, 40e6),
        ("base", 1_516_855, 119.7e6, 120e6),
        ("large", 6_236_999, 244.5e6, 250e6),
    ],
)
def test_the_edge_family_keeps_to_its_sizes(
    size: str, parameters: int, macs: float, most_macs: float
) -> None:
    model = merged(build_model("edge", 7, {"size": size}))
    assert model.count_params() == parameters
    assert multiply_accumulates(model) == pytest.approx(macs, rel=0.01)
    assert multiply_accumulates(model) <= most_macs


def test_a_size_that_the_edge_family_lacks_suggests_the_nearest() -> None:
    with pytest.raises(FerEdgeError, match="did you mean 'small'"):
        build_model("edge", 7, {"size": "smal"})
    with pytest.raises(FerEdgeError, match="no size of separable blocks 'large'") as caught:
        build_model("edge", 7, {"size": "large", "block": "separable"})
    assert caught.value.hint == "choose from nano, small, base"
