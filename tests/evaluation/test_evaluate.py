"""A model of any kind against held-out pictures, and what is refused."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from exported import LEAKS, MISLABELLED, Exported

from fer_edge.bundle import FLOAT_ONNX, FLOAT_TFLITE, INT8_TFLITE, open_bundle
from fer_edge.chatter import import_keras
from fer_edge.cli import main
from fer_edge.data.dataset import Dataset
from fer_edge.data.ferplus import how_to_join
from fer_edge.data.packed import write_packed
from fer_edge.errors import FerEdgeError
from fer_edge.evaluation import classifier, robustness
from fer_edge.evaluation.classifier import (
    Evaluation,
    evaluate_path,
    plot_confusion,
    print_evaluation,
)
from fer_edge.evaluation.metrics import Report, report
from fer_edge.evaluation.robustness import print_robustness, robustness_path
from fer_edge.export.showing.plots import as_svg, confusion_change_plot, recall_plot
from fer_edge.runtime import load_model
from fer_edge.shipped import FOLDER
from fer_edge.subject import find_subject


@pytest.fixture(scope="module")
def models(exported: Exported, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    bundle = open_bundle(exported.bundle)
    paths = {name: folder / name for name in (FLOAT_TFLITE, FLOAT_ONNX, INT8_TFLITE)}
    for name, path in paths.items():
        path.write_bytes(bundle.read(name))
    return paths | {"run": exported.run, "model.keras": exported.run / "model.keras"}


@pytest.fixture(scope="module")
def of_run(exported: Exported) -> Any:
    """The evaluation of the run folder on its own dataset."""
    return evaluate_path(exported.run, None)


def _same(one: Report, other: Report) -> None:
    assert one.confusion == other.confusion
    assert one.accuracy == other.accuracy
    assert one.calibration_error.value == pytest.approx(other.calibration_error.value, abs=1e-4)


def test_a_run_is_measured_on_its_test_split_and_on_what_training_never_saw(of_run: Any) -> None:
    assert of_run.splits == ("PrivateTest",)
    assert of_run.whole.images == 96
    assert of_run.leaked == LEAKS
    assert of_run.unleaked.images == 96 - LEAKS
    wrong = of_run.whole.images * (1 - of_run.whole.accuracy.value)
    assert wrong == pytest.approx(MISLABELLED, abs=3)
    assert of_run.unleaked.accuracy.value < of_run.whole.accuracy.value, "the leaks are all right"


@pytest.mark.parametrize("kind", ["model.keras", FLOAT_TFLITE, FLOAT_ONNX])
def test_every_float_form_of_a_model_gives_the_same_figures(
    kind: str, models: dict[str, Path], exported: Exported, of_run: Any
) -> None:
    result = evaluate_path(models[kind], str(exported.data))
    _same(result.whole, of_run.whole)
    _same(result.unleaked, of_run.unleaked)
    assert result.leaked == LEAKS


def test_a_bundle_gives_the_figures_of_its_int8_model_and_those_in_its_manifest(
    models: dict[str, Path], exported: Exported
) -> None:
    of_bundle = evaluate_path(exported.bundle, str(exported.data))
    _same(of_bundle.whole, evaluate_path(models[INT8_TFLITE], str(exported.data)).whole)
    metrics = open_bundle(exported.bundle).manifest.metrics
    assert of_bundle.whole.accuracy.value == metrics["int8"]["accuracy"]["value"]
    assert of_bundle.unleaked is not None
    assert of_bundle.unleaked.images == metrics["int8_unleaked"]["images"]


def test_other_splits_can_be_named(exported: Exported) -> None:
    both = evaluate_path(exported.run, None, ["PublicTest", "PrivateTest"])
    assert both.whole.images == 192
    assert both.leaked == LEAKS
    trained = evaluate_path(exported.run, None, ["Training"])
    assert trained.leaked == trained.whole.images == 448
    assert trained.unleaked is None


def test_nothing_is_claimed_about_leaks_on_a_dataset_that_was_not_trained_on(
    exported: Exported, tmp_path: Path
) -> None:
    other = replace(exported.dataset, faces=255 - exported.dataset.faces)
    write_packed(other, tmp_path / "other.npz")
    result = evaluate_path(exported.run, str(tmp_path / "other.npz"))
    assert result.leaked is None
    assert result.unleaked is None


def test_another_copy_of_fer2013_is_no_other_dataset(
    exported: Exported,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(classifier, "SIZES", {"Training": 448, "PublicTest": 96, "PrivateTest": 96})
    faces = exported.dataset.faces.copy()
    faces[0, 0, 0] += 1  # stands in Training, and as it was in PrivateTest
    copy, run = tmp_path / "copy.npz", _copied(exported, tmp_path, name="fer2013")
    write_packed(replace(exported.dataset, faces=faces), copy)
    result = evaluate_path(run, str(copy))
    assert result.leaked == LEAKS - 1
    assert result.unleaked is not None
    assert result.unleaked.images == 96 - result.leaked
    assert result.to_dict()["copy"].startswith("trained on another copy of FER2013 (fingerprint ")
    print_evaluation(result)
    shown = " ".join(capfd.readouterr().out.split())
    assert "11 held-out images stand in the training splits" in shown
    assert result.copy in shown
    assert evaluate_path(run, None).copy == ""
    assert evaluate_path(exported.run, str(copy)).leaked is None, "of another name"


def test_a_run_that_dropped_leaks_saw_none_of_its_test_images(
    exported: Exported, tmp_path: Path
) -> None:
    run = _copied(exported, tmp_path, drop_leaks=True)
    result = evaluate_path(run, None)
    assert result.leaked == 0
    assert result.unleaked is not None
    assert result.unleaked.images == 96


def test_where_persons_are_known_intervals_are_theirs(
    exported: Exported,
    of_run: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    dataset = exported.dataset
    said = load_model(exported.run / "model.keras").probabilities(dataset.faces).argmax(axis=1)
    # two pictures of a person in each split, as many persons with none named rightly as can be
    persons = np.empty(len(dataset), "<U20")
    for split in dataset.split_names:
        places = np.flatnonzero(dataset.splits == split)
        places = places[np.argsort((said == dataset.targets)[places], kind="stable")]
        persons[places] = [f"{split} {number // 2}" for number in range(len(places))]
    write_packed(replace(dataset, subjects=persons), tmp_path / "known.npz")
    known = evaluate_path(exported.run, str(tmp_path / "known.npz"))
    assert (of_run.persons, known.persons) == (None, 48)
    for scope in ("whole", "unleaked"):
        wide, narrow = getattr(known, scope).accuracy, getattr(of_run, scope).accuracy
        assert wide.value == narrow.value
        assert wide.high - wide.low > 1.15 * (narrow.high - narrow.low)
    assert "persons" not in of_run.to_dict()
    assert _fer_edge(monkeypatch, "evaluate", exported.run, "--data", tmp_path / "known.npz") == 0
    shown = " ".join(capfd.readouterr().out.split())
    assert "intervals are 95%, bootstrap over the 48 persons;" in shown


def _copied(exported: Exported, folder: Path, **changes: Any) -> Path:
    """A copy of the run folder with another record of its dataset."""
    run = folder / "run"
    run.mkdir()
    for name in ("model.keras", "recipe.toml", "data.json"):
        shutil.copy(exported.run / name, run / name)
    recorded = json.loads((run / "data.json").read_text()) | changes
    (run / "data.json").write_text(json.dumps(recorded))
    return run


@pytest.mark.parametrize(
    "changes",
    [
        {"train": None},
        {"test": "PrivateTest"},
        {"labels": [1, 2]},
        {"drop_leaks": "no"},
        {"path": 7},
        {"validation": [["PublicTest"]]},
    ],
)
def test_a_damaged_record_of_the_dataset_is_named(
    exported: Exported, tmp_path: Path, changes: dict[str, Any]
) -> None:
    run = _copied(exported, tmp_path, **changes)
    with pytest.raises(FerEdgeError, match=f"no usable '{next(iter(changes))}'") as caught:
        find_subject(run)
    assert "data.json" in caught.value.message


@pytest.mark.parametrize("content", ["", "7", "[]", "null", '{"path": "x"}', "{"])
def test_a_record_that_is_none_is_refused(exported: Exported, tmp_path: Path, content: str) -> None:
    run = _copied(exported, tmp_path)
    (run / "data.json").write_text(content)
    with pytest.raises(FerEdgeError):
        find_subject(run)


def test_an_unfinished_run_says_how_to_go_on(exported: Exported, tmp_path: Path) -> None:
    run = _copied(exported, tmp_path)
    (run / "model.keras").unlink()
    with pytest.raises(FerEdgeError, match="its training has not ended") as caught:
        evaluate_path(run, None)
    assert f"--resume -o {run}" in caught.value.hint


def test_figures_of_a_run_that_was_stopped_early_are_said_not_to_be_final(
    exported: Exported,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    run = _copied(exported, tmp_path)
    (run / "metrics.json").write_text('{"interrupted": true}')
    for model, note in ((run, f"note: {run} is not finished"), (exported.run, "")):
        assert _fer_edge(monkeypatch, "evaluate", model) == 0
        shown = capfd.readouterr()
        assert "PrivateTest" in shown.out
        assert shown.err.partition(",")[0] == note


def test_a_dataset_with_other_labels_is_refused(exported: Exported, tmp_path: Path) -> None:
    labels = exported.dataset.labels
    shuffled = replace(exported.dataset, labels=labels[::-1])
    write_packed(shuffled, tmp_path / "shuffled.npz")
    with pytest.raises(FerEdgeError, match=r"the model gives angry, .* has neutral, sur"):
        evaluate_path(exported.run, str(tmp_path / "shuffled.npz"))
    three = exported.dataset.subset(exported.dataset.targets < 3)
    write_packed(replace(three, labels=labels[:3]), tmp_path / "three.npz")
    with pytest.raises(FerEdgeError, match="gives 7 classes; dataset blobs has angry, disg"):
        evaluate_path(exported.run / "model.keras", str(tmp_path / "three.npz"))


def test_a_model_is_judged_on_the_labels_that_it_shares_with_another_dataset(
    exported: Exported, tmp_path: Path
) -> None:
    dataset = exported.dataset
    others = ("fearful", "contempt", "anger")
    chosen = dataset.subset(np.isin(dataset.targets, [0, 1, 2]))
    # under names and numbers of its own: fear, something unknown to the model, angry
    foreign = replace(chosen, labels=others, targets=2 - chosen.targets)
    write_packed(foreign, tmp_path / "foreign.npz")
    result = evaluate_path(exported.bundle, str(tmp_path / "foreign.npz"), shared_labels=True)
    assert result.splits == dataset.split_names
    assert result.leaked is None
    assert result.whole.labels == dataset.labels
    own = [
        evaluate_path(exported.bundle, str(exported.data), [split]).whole.confusion
        for split in dataset.split_names
    ]
    expected = np.sum(own, axis=0)
    expected[[1, 3, 4, 5, 6]] = 0
    np.testing.assert_array_equal(result.whole.confusion, expected)
    write_packed(replace(chosen, labels=("fear", "b", "c")), tmp_path / "one.npz")
    with pytest.raises(FerEdgeError, match=r"the model gives angry, .* blobs has fear, b, c"):
        evaluate_path(exported.bundle, str(tmp_path / "one.npz"), shared_labels=True)
    with pytest.raises(FerEdgeError, match="does not say what its outputs are called"):
        evaluate_path(
            exported.run / "model.keras", str(tmp_path / "foreign.npz"), shared_labels=True
        )


def test_a_folder_that_is_no_label_of_the_model_is_left_out_where_that_is_asked_for(
    exported: Exported, tmp_path: Path
) -> None:
    face = cv2.imencode(".png", exported.dataset.faces[0])[1].tobytes()
    for folder in ("happy", "sad", "bored"):
        (tmp_path / "test" / folder).mkdir(parents=True)
        (tmp_path / "test" / folder / "1.png").write_bytes(face)
    whole = evaluate_path(exported.bundle, str(tmp_path), skip_bad=True).whole
    assert (whole.images, whole.labels) == (2, exported.dataset.labels)
    shared = evaluate_path(exported.bundle, str(tmp_path), skip_bad=True, shared_labels=True)
    assert shared.whole.images == 2
    with pytest.raises(FerEdgeError, match=r"dataset .* has bored, happy, sad"):
        evaluate_path(exported.bundle, str(tmp_path))


def test_an_unknown_split_and_a_missing_dataset_are_refused(exported: Exported) -> None:
    with pytest.raises(FerEdgeError, match="has no split 'Test'") as caught:
        evaluate_path(exported.run, None, ["Test"])
    assert "PrivateTest" in caught.value.hint
    with pytest.raises(FerEdgeError, match="no dataset given"):
        evaluate_path(exported.bundle, None)
    with pytest.raises(FerEdgeError, match=r"gone\.npz"):
        evaluate_path(exported.run, "gone.npz")


def test_a_model_that_gives_no_numbers_is_refused_in_one_line(
    exported: Exported, tmp_path: Path
) -> None:
    keras = import_keras()
    network = keras.models.load_model(exported.run / "model.keras", compile=False)
    network.get_layer("logits").bias.assign([float("nan")] * len(exported.dataset.labels))
    network.save(tmp_path / "broken.keras")
    for measured in (evaluate_path, robustness_path):
        with pytest.raises(FerEdgeError, match="gives no numbers for 96 of 96 images") as caught:
            measured(tmp_path / "broken.keras", str(exported.data))
        assert "train again" in caught.value.hint


def test_a_model_of_votes_that_is_judged_by_labels_says_so(
    exported: Exported,
    voted: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    run = _copied(exported, tmp_path, heads=["votes"])
    result = evaluate_path(run, None)
    assert (result.truth, result.to_dict()["note"]) == ("labels", result.note)
    assert (
        "learned FER+'s votes and is judged by the labels here: blobs has no votes" in result.note
    )
    assert result.note.endswith("has no votes"), "FER+ has votes of FER2013 alone"
    with pytest.raises(FerEdgeError, match=r"has no FER\+ votes") as caught:
        evaluate_path(run, None, votes=True)
    assert caught.value.hint == "judge by the labels: --labels"
    assert "pack --votes" in how_to_join(replace(voted, name="fer2013"))
    assert evaluate_path(exported.run, None).note == ""
    print_evaluation(result)
    shown = " ".join(capfd.readouterr().out.split())
    assert "judged by the labels" in shown
    assert result.note in shown
    write_packed(voted, tmp_path / "voted.npz")
    by_votes = evaluate_path(run, str(tmp_path / "voted.npz"))
    assert (by_votes.truth, by_votes.note) == ("FER+ majority", "")
    by_labels = evaluate_path(run, str(tmp_path / "voted.npz"), votes=False)
    assert by_labels.note == "it has learned FER+'s votes and is judged by the labels here"
    monkeypatch.setattr(robustness, "distortions", list)
    found = robustness_path(run, None)
    print_robustness(found)
    assert result.note in " ".join(capfd.readouterr().out.split())


def test_the_table_shows_labels_and_splits_of_ones_own_as_they_are(
    capfd: pytest.CaptureFixture[str],
) -> None:
    found = report(np.eye(2), np.array([0, 1], np.uint8), ("[bored]", "[/x]"))
    print_evaluation(Evaluation("LiteRT", ("[red]a",), 0.1, 0, 0.1, found, None))
    shown = capfd.readouterr().out
    for words in ("[red]a, LiteRT", "recall [bored]", "precision [/x]"):
        assert words in shown


def test_a_plot_bears_labels_of_any_letters_and_is_quiet(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    found = report(np.eye(3), np.array([0, 1, 2], np.uint8), ("$\\frac$", "喜び", "böse"))
    plot_confusion(found, "runs/$x$y on 喜: 100%", tmp_path / "confusion.png")
    for plot in (recall_plot, confusion_change_plot):
        svg = as_svg(plot(found, found))
        assert "喜び" in svg
        assert "$\\frac$" in svg
    assert not recwarn.list


# --- the command --------------------------------------------------------------------------------


def _fer_edge(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int:
    monkeypatch.setattr(sys, "argv", ["fer-edge", *map(str, arguments)])
    try:
        main()
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


def test_json_holds_every_figure_and_nothing_else_is_on_standard_output(
    exported: Exported,
    of_run: Any,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert _fer_edge(monkeypatch, "evaluate", exported.run, "--json") == 0
    printed = json.loads(capfd.readouterr().out)
    assert printed["whole"] == json.loads(json.dumps(of_run.whole.to_dict()))
    assert printed["leaked"] == LEAKS


def test_the_table_shows_both_scopes_and_the_plot_is_a_picture(
    exported: Exported,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    import cv2

    plot = tmp_path / "plots" / "confusion"
    arguments = ("evaluate", exported.bundle, "--data", exported.data, "--plot", plot)
    assert _fer_edge(monkeypatch, *arguments) == 0
    shown = capfd.readouterr().out
    for words in ("never seen in", "84 images", "96 images", "recall disgust", "12 held-out"):
        assert words in shown
    assert [path.name for path in plot.parent.iterdir()] == ["confusion"]
    picture = cv2.imdecode(np.fromfile(plot, np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape[0] > 300


def test_a_plot_that_is_called_a_jpeg_is_refused_before_anything_is_measured(
    exported: Exported,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    plot = tmp_path / "c.jpg"
    assert _fer_edge(monkeypatch, "evaluate", exported.run, "--plot", plot) == 2
    shown = capfd.readouterr()
    assert "a plot is called *.png, got 'c.jpg'" in shown.err
    assert shown.out == ""
    assert not plot.exists()


def test_the_figures_are_the_same_every_time(exported: Exported, of_run: Any) -> None:
    again = evaluate_path(exported.run, None)
    assert again.whole == of_run.whole
    assert again.unleaked == of_run.unleaked


@pytest.mark.parametrize(
    ("model", "option"),
    [
        ("detector", ["--head", "votes"]),
        ("detector", ["--votes"]),
        ("detector", ["--labels"]),
        ("detector", ["--skip-bad"]),
        ("detector", ["--shared-labels"]),
        ("detector", ["--robustness"]),
        ("edge-nano", ["--backgrounds", "photos"]),
        ("edge-nano", ["--frames", "3"]),
    ],
)
def test_an_option_of_another_kind_of_model_is_refused(
    model: str,
    option: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = FOLDER / f"{model}.fer"
    assert _fer_edge(monkeypatch, "evaluate", path, "--data", "synthetic", *option) == 2
    assert f"for which there is no {option[0]}\n  → leave it out" in capsys.readouterr().err
