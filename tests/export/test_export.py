"""A run folder becomes a bundle: what is in it, and what it replaces."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from exported import LEAKS, Exported, broken_run, copied_run

from fer_edge.bundle import (
    FLOAT_TFLITE,
    GOLDEN,
    INT8_TFLITE,
    MODEL_CARD,
    open_bundle,
    verify_golden,
    write_bundle,
)
from fer_edge.chatter import import_keras
from fer_edge.errors import FerEdgeError
from fer_edge.runtime import load_model

keras = import_keras()

from fer_edge.export import exporter  # noqa: E402
from fer_edge.export.exporter import export  # noqa: E402
from fer_edge.export.formats import is_exact  # noqa: E402
from fer_edge.export.judging.budget import Budget, load_budget  # noqa: E402
from fer_edge.export.judging.counting import count_instructions  # noqa: E402
from fer_edge.export.judging.gate import Verdict  # noqa: E402
from fer_edge.export.judging.layers import Explanation, LayerCost  # noqa: E402
from fer_edge.export.judging.rehearsal import rehearse  # noqa: E402
from fer_edge.export.material import prepare  # noqa: E402
from fer_edge.export.packing import check_replaces  # noqa: E402
from fer_edge.export.remedies.calibration import calibration_images  # noqa: E402
from fer_edge.export.showing.model_card import model_card  # noqa: E402
from fer_edge.export.showing.page import write_page  # noqa: E402
from fer_edge.export.showing.report import (  # noqa: E402
    instructions,
    print_export,
    unchecked,
    warnings,
)
from fer_edge.export.source import Base, Source, in_float32, newest_run, open_run  # noqa: E402
from fer_edge.export.targets import TARGETS  # noqa: E402
from fer_edge.train.reproduce import exports  # noqa: E402
from fer_edge.train.reproduce.exports import extract  # noqa: E402
from fer_edge.train.reproduce.tables import markdown  # noqa: E402


def test_a_bundle_holds_no_time_no_place_and_no_latency(exported: Exported) -> None:
    manifest = open_bundle(exported.bundle).manifest.to_json()
    for word in ('"p50"', "latency", "seconds", "timestamp", str(exported.run.parent)):
        assert word not in manifest


def test_the_manifest_holds_the_figures_that_the_export_measured(exported: Exported) -> None:
    manifest = open_bundle(exported.bundle).manifest
    result = exported.result
    int8 = next(each for each in result.formats if each.name == INT8_TFLITE)
    metrics = manifest.metrics
    assert metrics["splits"] == ["PrivateTest"]
    assert metrics["float"]["accuracy"]["value"] == result.reference.accuracy.value
    assert metrics["int8"]["accuracy"]["value"] == int8.whole.accuracy.value
    assert metrics["int8_unleaked"]["images"] == 96 - LEAKS
    assert metrics["drop"][INT8_TFLITE]["agreement"] == int8.drop.agreement.value
    assert manifest.gate["budget"] == Budget().model_dump()
    assert manifest.export["calibration_images"] == 70
    recipe = (exported.run / "recipe.toml").read_bytes()
    assert manifest.recipe["sha256"] == hashlib.sha256(recipe).hexdigest()


def test_every_format_is_measured_and_all_but_float32_are_judged(exported: Exported) -> None:
    by_name = {each.name: each for each in exported.result.formats}
    assert len(by_name) == 6
    for name, each in by_name.items():
        assert (each.verdict is None) == is_exact(name) == ("float32" in name)
        assert 0 < each.latency.p50 <= each.latency.p90 <= each.latency.p99
        assert each.size == len(open_bundle(exported.bundle).read(name))
    assert by_name[FLOAT_TFLITE].drop.agreement.value == 1
    assert by_name[FLOAT_TFLITE].drop.largest_difference.value < 1e-4
    assert json.loads(json.dumps(exported.result.to_dict()))["bundle"] == str(exported.bundle)


def test_a_bundle_for_a_microcontroller_holds_one_model_that_tflite_micro_was_seen_to_run(
    exported: Exported, tmp_path: Path
) -> None:
    pytest.importorskip("tflite_micro")
    said: list[str] = []
    target = TARGETS["mcu"]
    slim = export(
        exported.run,
        budget=load_budget(target.budget),
        output=tmp_path,
        calibration=70,
        formats=target.formats,
        target=target,
        say=said.append,
    )
    bundle = open_bundle(slim.bundle)
    assert set(bundle.content) == {INT8_TFLITE, GOLDEN, MODEL_CARD}
    assert bundle.read(INT8_TFLITE) == open_bundle(exported.bundle).read(INT8_TFLITE)
    verify_golden(bundle, load_model(bundle.read(INT8_TFLITE)))
    assert {each.name for each in slim.formats} == {FLOAT_TFLITE, INT8_TFLITE}
    recorded = bundle.manifest.export
    assert recorded["target"] == "mcu"
    arena = recorded["micro"]["arena_bytes"]
    assert slim.to_dict()["micro"]["arena_bytes"] == arena
    assert f"model.int8.tflite takes an arena of {arena / 1000:.1f} kB in TFLite Micro" in said
    assert "TFLite Micro answers as LiteRT's reference kernels do, on 32 golden faces" in said


def test_a_bundle_of_another_network_is_kept_and_one_of_the_same_run_replaced(
    exported: Exported, tmp_path: Path
) -> None:
    path, run = tmp_path / "blobs.fer", copied_run(exported, tmp_path)
    options: dict[str, Any] = {"calibration": 70, "formats": (INT8_TFLITE,), "ladder": False}
    shutil.copy(exported.bundle, path)
    check_replaces(path, run)
    export(run, budget=Budget(), output=tmp_path, **options)
    assert path.read_bytes() != exported.bundle.read_bytes(), "without a flag"
    other = broken_run(exported, _made(tmp_path / "other"), offset=0.1)
    with pytest.raises(FerEdgeError, match=r"blobs\.fer holds another network") as caught:
        export(other, budget=Budget(), output=tmp_path, **options)
    assert caught.value.hint == "-o FOLDER keeps both, --replace overwrites it"
    # which a bundle of earlier versions does not tell: it is known by its recipe
    manifest = open_bundle(path).manifest
    earlier = {key: value for key, value in manifest.recipe.items() if key != "network"}
    content = {name: open_bundle(path).read(name) for name in open_bundle(path).content}
    write_bundle(path, replace(manifest, recipe=earlier), content)
    check_replaces(path, run)
    write_bundle(path, replace(manifest, recipe=earlier | {"sha256": "0" * 64}), content)
    with pytest.raises(FerEdgeError, match="another network"):
        check_replaces(path, run)
    export(other, budget=load_budget("prototype"), output=tmp_path, replace=True, **options)
    assert open_bundle(path).manifest.recipe["network"] != manifest.recipe["network"]


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def test_recalls_that_few_images_measured_are_warned_of_in_one_line_a_scope(
    exported: Exported,
) -> None:
    int8 = exported.result.int8
    assert int8.verdict is not None
    recalls = [line for line in warnings(int8.verdict) if line.startswith("recall may drop on ")]
    assert [line.split(", of ")[0].removeprefix("recall may drop on ") for line in recalls] == [
        "all images",
        "images not in the training splits",
    ]
    for label in exported.dataset.labels:
        assert f"{label} by up to" in recalls[0]
    assert "over the budget of 3" in recalls[0]


def test_instructions_are_given_of_the_very_network_that_was_counted(exported: Exported) -> None:
    source = open_run(exported.run)
    model = {"name": "kusno", "model": 4, "conv_dropout": 0.25, "dense_dropout": 0.5}
    kusno = replace(source, recipe={"name": "kusno-4-ck48", "model": model})
    counts = count_instructions(kusno, mixed=False)
    assert list(counts) == ["A72", "A76"]
    assert counts["A76"]["int8"] < counts["A72"]["int8"] < counts["A72"]["float32"]
    assert set(count_instructions(kusno, mixed=True)["A72"]) == {"float32"}
    other = replace(kusno, recipe=kusno.recipe | {"model": model | {"model": 5}})
    assert count_instructions(other, mixed=False) == {}
    assert count_instructions(source, mixed=False) == {}
    assert instructions(exported.result) == ""
    shown = instructions(replace(exported.result, instructions=counts))
    assert shown.startswith("million instructions for one face, float32 / int8, in emulation: A72 ")


def test_expressions_that_no_unseen_image_shows_are_named(exported: Exported) -> None:
    verdict = Verdict((), ("angry",), ("disgust", "fear"))
    assert unchecked(verdict) == [
        "no held-out image shows angry: that recall was not checked",
        "no held-out image that is not in the training splits too shows disgust, fear: that "
        "recall was not checked",
    ]
    assert unchecked(Verdict(())) == []


def test_an_export_becomes_a_row_among_the_reproduced_networks(exported: Exported) -> None:
    result = extract(json.loads(json.dumps(exported.result.to_dict())))
    entry = {"recipe": "tiny", "dataset": "synthetic", "variant": "by image", "result": result}
    counts = {"tiny.int8": {"cortex-a72": 2.4e6, "cortex-a76": 1.1e6}}
    (row,) = (line for line in markdown([], [entry], {}, counts).splitlines() if "| tiny |" in line)
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    (int8,) = (each for each in exported.result.formats if each.name == INT8_TFLITE)
    lost = 100 * int8.drop.accuracy.value
    assert cells[2] == f"{exported.result.reference.accuracy.value:.1%}"
    assert cells[4].startswith(f"{lost:.2f} (")
    assert cells[-3:] == ["– / 2", "– / 1", exported.result.climb.needed]


def test_figures_of_a_refused_export_are_not_taken_for_those_of_one_that_passed(
    exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = SimpleNamespace(base="tiny", variant="by image")
    source = SimpleNamespace(dataset=exported.dataset)
    record = SimpleNamespace(folder=tmp_path / "tiny", experiment=experiment, source=source)
    monkeypatch.setattr(exports, "_representatives", lambda records: [record])
    for folder in ("exports", "logs"):
        (tmp_path / folder).mkdir()
    told = exported.result.to_dict()
    (tmp_path / "exports" / "tiny.json").write_text(json.dumps(told))
    (entry,) = exports.read_exports([], tmp_path)
    assert entry["result"]["needed"] == exported.result.climb.needed
    (tmp_path / "exports" / "tiny.json").write_text(json.dumps(told | {"passed": False}))
    log = "converting\nfer-edge: the gate refused the int8 model; no bundle was written\n"
    (tmp_path / "logs" / "export-tiny.log").write_text(log)
    (entry,) = exports.read_exports([], tmp_path)
    assert entry["refused"] == "the gate refused the int8 model; no bundle was written"
    assert "result" not in entry


def test_calibration_sees_training_images_only_and_none_that_were_dropped_as_leaks(
    exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = copied_run(exported, tmp_path)
    recorded = json.loads((run / "data.json").read_text())
    (run / "data.json").write_text(json.dumps(recorded | {"drop_leaks": True}))
    seen: list[np.ndarray] = []

    def stop(network: Any, images: np.ndarray) -> bytes:
        seen.append(images)
        raise FerEdgeError("enough seen")

    monkeypatch.setattr(exporter.tflite, "calibratable", stop)
    with pytest.raises(FerEdgeError, match="enough seen"):
        export(run, budget=Budget(), output=tmp_path / "out", calibration=448)
    training, test = (exported.dataset.select(split) for split in ("Training", "PrivateTest"))
    given = {image.tobytes() for image in seen[0]}
    assert given <= {face.tobytes() for face in training.faces}
    assert not given & {face.tobytes() for face in test.faces}
    assert len(given) > 300


def test_no_image_calibrates_trains_or_rehearses_that_stands_in_the_test_split(
    exported: Exported, tmp_path: Path
) -> None:
    source = open_run(exported.run)
    faces = source.dataset.faces.copy()
    splits = source.dataset.splits
    validation, test = (np.flatnonzero(splits == name) for name in ("PublicTest", "PrivateTest"))
    faces[validation[:20]] = faces[test[:20]]
    source = replace(source, dataset=replace(source.dataset, faces=faces))
    tested = {face.tobytes() for face in faces[test]}
    training = [face for face in faces[splits == "Training"] if face.tobytes() not in tested]
    assert len(training) == 448 - LEAKS
    made = prepare(source, Budget(), calibration=448, balance=False)
    assert len(made.training) == len(made.calibration) == len(training)
    assert len(made.rehearsal.faces) == 96 - 20
    for images in (made.calibration, made.training, made.rehearsal.faces):
        assert not {image.tobytes() for image in images} & tested


def _few(exported: Exported, count: int) -> Source:
    """The run as if it had been trained on ``count`` pictures of three labels, all it has."""
    source = open_run(exported.run)
    training = source.dataset.select("Training").subset(np.arange(count))
    few = replace(training, targets=(np.arange(count) % 3).astype(np.uint8))
    return replace(source, dataset=few, roles=source.roles | {"validation": []})


@pytest.mark.parametrize(
    ("count", "rehearsed", "origin"),
    [
        (348, 348, "of training, mirrored, those that calibrate among them"),
        (351, 351, "of training, mirrored, those that calibrate among them"),
        (448, 100, "of training, mirrored, none of which calibrate"),
    ],
)
def test_a_handful_of_images_that_did_not_calibrate_rehearses_nothing_alone(
    count: int, rehearsed: int, origin: str, exported: Exported
) -> None:
    source = _few(exported, count)
    images = calibration_images(source.dataset, ["Training"], 350)
    assert len(images) == 348
    made = rehearse(source, open_bundle(exported.bundle).read(FLOAT_TFLITE), images)
    assert (len(made.faces), made.origin) == (rehearsed, origin)


def test_the_report_does_not_deny_that_the_images_of_its_rehearsal_calibrated(
    exported: Exported, tmp_path: Path
) -> None:
    source = _few(exported, 135)
    images = calibration_images(source.dataset, ["Training"], 350)
    made = rehearse(source, open_bundle(exported.bundle).read(FLOAT_TFLITE), images)
    climb = replace(exported.result.climb, origin=made.origin, images=len(made.faces))
    layer = LayerCost("a", "a", "CONV_2D", 40.0, 0, 1, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0)
    layers = Explanation((layer,), made.origin, 100)
    page = write_page(replace(exported.result, climb=climb), layers, tmp_path).read_text()
    calibrated = "images of training, mirrored, those that calibrate among them"
    assert f"Compared on 135 {calibrated}; the gate judges on others." in page
    assert f"on 100 {calibrated}" in page
    assert "neither calibrated" not in page
    assert "did not calibrate" not in page


def test_a_fine_tuned_network_says_what_it_began_as_and_what_that_was_trained_on(
    exported: Exported, tmp_path: Path
) -> None:
    run = copied_run(exported, tmp_path)
    known = {key: exported.result.dataset[key] for key in ("name", "fingerprint")}

    def opened(file: Path, sha256: str) -> Source:
        text = (exported.run / "recipe.toml").read_text().replace('"blobs"', '"fine-tune"')
        model = f'[model]\nfile = "{file}"\nsha256 = "{sha256}"\n'
        (run / "recipe.toml").write_text(text.replace("[model]\n", model))
        return open_run(run)

    for file in (exported.bundle, exported.run / "model.keras"):
        sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
        source = opened(file, sha256)
        assert source.base == Base("blobs", sha256, known)
        assert source.description == "blobs, fine-tuned on blobs"
    card = model_card(source, replace(exported.result, base=source.base))
    assert "blobs, fine-tuned on blobs. It takes" in card
    assert f"It began as blobs (SHA-256 {sha256[:16]}), trained on blobs" in card
    assert "| not seen in fine-tuning |" in card
    assert "Fine-tuned on Training of blobs" in card
    assert opened(tmp_path / "gone" / "model.keras", "0" * 64).base == Base("gone", "0" * 64, {})
    # trained on since
    assert opened(exported.bundle, "0" * 64).base == Base("blobs", "0" * 64, {})
    assert open_run(exported.run).base is None


def test_a_network_of_mixed_precision_is_exported_in_float32(exported: Exported) -> None:
    network = load_model(exported.run / "model.keras").network
    mixed = keras.models.clone_model(
        network,
        clone_function=lambda layer: type(layer).from_config(
            {**layer.get_config(), "dtype": "mixed_bfloat16"}
        ),
    )
    mixed.set_weights(network.get_weights())
    rebuilt, policy = in_float32(mixed)
    assert policy == "mixed_bfloat16"
    assert {layer.compute_dtype for layer in rebuilt.layers} == {"float32"}
    faces = exported.dataset.faces[:4, ..., None]
    np.testing.assert_allclose(
        rebuilt.predict(faces, verbose=0), network.predict(faces, verbose=0), atol=1e-6
    )


def test_a_label_in_brackets_is_named_as_it_is_called(
    exported: Exported, capsys: pytest.CaptureFixture[str]
) -> None:
    formats = tuple(
        replace(each, verdict=each.verdict and replace(each.verdict, unchecked=("[bored]", "[/x]")))
        for each in exported.result.formats
    )
    print_export(replace(exported.result, formats=formats))
    assert "no held-out image shows [bored], [/x]" in " ".join(capsys.readouterr().out.split())


def test_the_newest_run_is_the_one_whose_model_was_written_last(tmp_path: Path) -> None:
    for age, name in enumerate(("b", "a", "c")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.keras").write_text("")
        (tmp_path / name / "metrics.json").write_text('{"interrupted": false}')
        os.utime(tmp_path / name / "model.keras", (1e9 - age, 1e9 - age))
    for name, metrics in (("begun", ""), ("interrupted", '{"interrupted": true}')):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.keras").write_text("")
        (tmp_path / name / "metrics.json").write_text(metrics)
    (tmp_path / "without a network").mkdir()
    assert newest_run(tmp_path) == tmp_path / "b"
