from __future__ import annotations

import pytest

from fer_edge.data.division import Division
from fer_edge.errors import FerEdgeError
from fer_edge.train.recipe import load_recipe, override, parse_recipe, shipped_recipes

SMALL = """
name = "small"
[data]
validation = ["PublicTest"]
[model]
name = "compact"
[fit]
epochs = 3
"""


@pytest.mark.parametrize("name", shipped_recipes())
def test_every_shipped_recipe_is_valid_and_bears_its_files_name(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.description


def test_paper_t_is_trained_as_the_paper_says() -> None:
    recipe = load_recipe("triwijoyo")
    assert recipe.data.train == ["Training", "PublicTest"]
    assert recipe.data.test == ["PrivateTest"]
    assert (recipe.fit.epochs, recipe.fit.optimizer, recipe.fit.learning_rate) == (20, "adam", 1e-3)
    assert recipe.fit.select == "last", "with no validation split nothing may be selected"


@pytest.mark.parametrize("number", range(1, 9))
def test_kusnos_ck48_recipes_divide_by_image_as_the_paper_did(number: int) -> None:
    recipe = load_recipe(f"kusno-{number}-ck48")
    assert recipe.model.options["model"] == number
    assert (recipe.fit.epochs, recipe.fit.learning_rate) == (50, 1e-4)
    assert recipe.data.division == Division("by-image", 0.3333, seed=1)


def test_kumars_two_recipes_differ_in_the_order_of_oversampling_alone() -> None:
    honest, leaky = load_recipe("kumar"), load_recipe("kumar-leaky")
    assert (honest.data.oversample, leaky.data.oversample) == ("training", "before-dividing")
    assert leaky.data.leaky
    assert not honest.data.leaky
    same = leaky.data.model_copy(update={"oversample": "training"})
    assert (same, honest.model, honest.fit) == (honest.data, leaky.model, leaky.fit)


@pytest.mark.parametrize(
    ("data", "message", "hint"),
    [
        ('oversample = "before-dividing"', "needs a division", "by-image"),
        ('divide = "by-image"', "the splits Training and Test alone", "data.test = ['Test']"),
        (
            'divide = "by-subject"\noversample = "before-dividing"\ntest = ["Test"]',
            "never stand on both sides",
            "'training'",
        ),
        ('divide = "by-image"\ntest_share = 0', "test_share is 0", "share of the faces"),
        ('divide = "by-person"', "data.divide", "docs/training.md"),
    ],
)
def test_a_division_that_makes_no_sense_is_refused(data: str, message: str, hint: str) -> None:
    text = f'name = "small"\n[data]\n{data}\n[model]\nname = "compact"\n'
    with pytest.raises(FerEdgeError) as caught:
        parse_recipe(text, "small.toml")
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_the_resolved_recipe_reads_back_as_the_same_recipe() -> None:
    recipe = parse_recipe(SMALL, "small")
    assert parse_recipe(recipe.to_toml(), "again") == recipe


@pytest.mark.parametrize(
    ("before", "after", "message", "hint"),
    [
        ("epochs = 3", "epoch = 3", "unknown key 'fit.epoch'", "did you mean 'epochs'?"),
        ("[fit]", "[fitt]", "unknown key 'fitt'", "did you mean 'fit'?"),
        ("epochs = 3", "epochs = 0", "or equal to 1, got 0", "give it such a value; docs/training"),
        ("epochs = 3", "epochs = 'many'", "fit.epochs", "docs/training.md"),
        ("epochs = 3", "mixed_precision = 'float16'", "fit.mixed_precision", "docs/training.md"),
        ("epochs = 3", "epochs =", "not valid TOML", "docs/training.md"),
        ("epochs = 3", "optimizer = 'adamm'", "fit.optimizer", "docs/training.md"),
        ('["PublicTest"]', '["PrivateTest"]', "'PrivateTest' is in both", "one purpose only"),
        ("epochs = 3", "restarts = [7]", "the schedule is constant", "schedule = 'cosine'"),
        (
            "epochs = 3",
            "epochs = 3\nschedule = 'cosine'\nrestarts = [3, 2]",
            "do not ascend",
            "[70] of 160",
        ),
        ('validation = ["PublicTest"]', "", "need a validation split", "select = 'last'"),
    ],
)
def test_a_wrong_recipe_is_refused_with_what_to_do(
    before: str, after: str, message: str, hint: str
) -> None:
    text = SMALL.replace(before, after)
    if after == "":
        text += 'select = "best"\n'
    with pytest.raises(FerEdgeError) as caught:
        parse_recipe(text, "small.toml")
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_an_unknown_recipe_suggests_the_nearest_shipped_one() -> None:
    with pytest.raises(FerEdgeError, match="did you mean 'triwijoyo'"):
        load_recipe("triwijojo")


def test_settings_change_the_recipe_and_are_validated_like_it() -> None:
    recipe = override(
        parse_recipe(SMALL, "small"),
        ["fit.epochs=7", "fit.optimizer=sgd", "model.width=8", 'data.train=["Training"]'],
    )
    assert (recipe.fit.epochs, recipe.fit.optimizer) == (7, "sgd")
    assert recipe.model.options == {"width": 8}
    with pytest.raises(FerEdgeError, match="did you mean 'epochs'"):
        override(recipe, ["fit.epoch=7"])
    with pytest.raises(FerEdgeError, match=r"--set fit\.epochs=5"):
        override(recipe, ["epochs"])
