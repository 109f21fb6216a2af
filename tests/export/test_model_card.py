"""What the model card says, and what it leaves out."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
from exported import LEAKS, Exported

from fer_edge.bundle import (
    MODEL_CARD,
    open_bundle,
)
from fer_edge.chatter import import_keras
from fer_edge.evaluation.metrics import Estimate, report

keras = import_keras()

from fer_edge.export.showing.model_card import model_card  # noqa: E402
from fer_edge.export.source import open_run  # noqa: E402


def test_the_model_card_says_what_was_measured(exported: Exported) -> None:
    card = open_bundle(exported.bundle).read(MODEL_CARD).decode()
    int8 = exported.result.int8
    assert card.startswith("# blobs\n")
    assert "Bright blobs. It takes" in card
    assert f"{int8.whole.accuracy.value:.1%}" in card
    assert "| all held-out images | 96 |" in card
    assert f"| not seen in training | {96 - LEAKS} |" in card
    assert f"Of the held-out images, {LEAKS} were seen in training as well" in card
    assert "by bootstrap, or Wilson's where a share is 0% or 100%" in card
    known = model_card(open_run(exported.run), replace(exported.result, persons=39))
    assert "by bootstrap over the 39 persons, or Wilson's" in known
    for label in exported.dataset.labels:
        assert f"\n| {label} | " in card
        assert f"**{label}**: measured on " in card, "every expression has few images here"


def test_the_model_card_gives_no_figure_of_copies_of_training_images_as_the_models_own(
    exported: Exported,
) -> None:
    result, source = exported.result, open_run(exported.run)
    own = result.int8.own
    missed = np.array(own.confusion)
    missed[1], missed[2] = 0, [5, 0, 0, 0, 0, 0, 0]
    recall = own.recall | {"disgust": None, "fear": Estimate(0.0, 0.0, 0.4)}
    own = replace(
        own,
        recall=recall,
        confusion=tuple(map(tuple, missed.tolist())),
        calibration_error=Estimate(0.258, 0.2, 0.3),
    )
    int8 = replace(result.int8, unleaked=own)
    division = {"how": "by-image", "test_share": 0.2, "seed": 1, "leaky": True}
    source = replace(source, roles=source.roles | {"division": division})
    card = model_card(source, replace(result, formats=(int8,)))
    assert "**disgust**: no held-out image shows it" in card
    assert "| fear | 5 | 0.0% (0.0% – 40.0%) |" in card
    assert "It knows **fear** worst: it finds 0% of it." in card
    assert "off by 25.8% on average" in card
    assert "LEAKY: oversampled before dividing" in card
    assert f"of {own.images}: " in card.split("What int8 cost")[1]


def test_the_model_card_says_what_training_did_to_a_logit(exported: Exported) -> None:
    source, result = open_run(exported.run), exported.result
    assert "to its logit" not in model_card(source, result)
    raised = model_card(source, replace(result, logit_adjustment={"fear": 0.4}))
    assert "Training added 0.4 to its logit of fear" in raised
    assert "to find more of it" in raised


def test_the_model_card_names_the_weaknesses_that_the_figures_show() -> None:
    from fer_edge.export.showing.model_card import weaknesses

    labels = ("angry", "happy", "sad")
    targets = np.repeat([0, 1, 2], [200, 200, 20]).astype(np.uint8)
    said = np.eye(3, dtype=np.float32)[targets]
    said[:130] = [0, 0, 1]
    text = weaknesses(report(said, targets, labels))
    assert "- It knows **angry** worst: it finds 35% of it." in text
    assert "**angry** is taken for sad in 65% of its images." in text
    assert "When it says **sad**, it is right 13% of the time." in text
    assert "**sad**: measured on 20 images only." in text
    assert "**happy**" not in text
    perfect = np.eye(3, dtype=np.float32)[targets]
    assert "worst" not in weaknesses(report(perfect, targets, labels))


def test_the_model_card_shows_labels_of_ones_own_as_they_are(exported: Exported) -> None:
    labels = ("a|b", "*c*", "<d>_e_")
    wrong = np.eye(3, dtype=np.float32)[[1, 1, 0]]
    found = report(wrong, np.array([0, 1, 2], np.uint8), labels)
    int8 = replace(exported.result.int8, whole=found, unleaked=None)
    shown = replace(exported.result, formats=(int8,), logit_adjustment={"*c*": 1})
    card = model_card(open_run(exported.run), shown)
    assert r"each of a|b, \*c\*, \<d\>\_e\_." in card
    assert r"**\*c\***: measured on 1 images" in card
    assert r"**\<d\>\_e\_** is taken for a|b in" in card
    assert r"its logit of \*c\*, chosen" in card
    table = card.split("most often taken for |\n")[1].split("\n\n")[0].splitlines()
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in table} == {6}


def test_the_model_card_says_what_the_law_prohibits(exported: Exported) -> None:
    card = open_bundle(exported.bundle).read(MODEL_CARD).decode()
    for what in ("2024/1689, Article 5(1)(f)", "Annex III, 1(c)", "Article 50(3)", "consent"):
        assert what in card
