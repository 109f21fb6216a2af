"""A run folder becomes a bundle, or is refused with a reason and nothing written."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from exported import LEAKS, Exported, broken_run, copied_run, listing

from fer_edge.bundle import (
    DYNAMIC_TFLITE,
    FLOAT_TFLITE,
    GOLDEN,
    INT8_TFLITE,
    MODEL_CARD,
    open_bundle,
    verify_golden,
    write_bundle,
)
from fer_edge.chatter import import_keras
from fer_edge.cli import main
from fer_edge.errors import FerEdgeError, GateRefused
from fer_edge.metrics import Estimate
from fer_edge.runtime import load_model

keras = import_keras()

from fer_edge.export import exporter  # noqa: E402
from fer_edge.export.converters.isolating import Operator  # noqa: E402
from fer_edge.export.exporter import export  # noqa: E402
from fer_edge.export.formats import is_exact  # noqa: E402
from fer_edge.export.judging import measure  # noqa: E402
from fer_edge.export.judging.budget import Budget, load_budget  # noqa: E402
from fer_edge.export.judging.counting import count_instructions  # noqa: E402
from fer_edge.export.judging.gate import Check, Verdict  # noqa: E402
from fer_edge.export.judging.layers import Explanation, LayerCost  # noqa: E402
from fer_edge.export.material import prepare  # noqa: E402
from fer_edge.export.packing import check_replaces  # noqa: E402
from fer_edge.export.showing.explaining import print_explanation  # noqa: E402
from fer_edge.export.showing.model_card import model_card  # noqa: E402
from fer_edge.export.showing.report import instructions, unchecked, warnings  # noqa: E402
from fer_edge.export.source import Base, Source, in_float32, newest_run, open_run  # noqa: E402
from fer_edge.export.targets import TARGETS  # noqa: E402
from fer_edge.train.reproduce import exports  # noqa: E402
from fer_edge.train.reproduce.exports import extract  # noqa: E402
from fer_edge.train.reproduce.tables import markdown  # noqa: E402

# --- what an export gives -----------------------------------------------------------------------


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


def test_the_model_card_names_the_weaknesses_that_the_figures_show() -> None:
    from fer_edge.export.showing.model_card import weaknesses
    from fer_edge.metrics import report

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


def test_the_model_card_says_what_the_law_prohibits(exported: Exported) -> None:
    card = open_bundle(exported.bundle).read(MODEL_CARD).decode()
    for what in ("2024/1689, Article 5(1)(f)", "Annex III, 1(c)", "Article 50(3)", "consent"):
        assert what in card


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


# --- what is refused ----------------------------------------------------------------------------


def test_gate_refuses_a_network_that_int8_ruins_names_its_layers_and_exits_3(
    exported: Exported, tmp_path: Path
) -> None:
    run = broken_run(exported, tmp_path)
    before = listing(tmp_path)
    command = [sys.executable, "-m", "fer_edge", "export", str(run), "--int8", "--slim"]
    done = subprocess.run(
        [*command, "--no-ladder", "--calibration", "70", "-o", "out", "--report", "page", "--json"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 3, done.stderr
    told = json.loads(done.stdout)
    assert told["passed"] is False
    assert told["formats"][-1]["drop"]["accuracy"]["value"] > 0.01
    report = ["page", "page/report.html", "page/report.json"]
    assert listing(tmp_path) == sorted(before + report), "no bundle, nor a part of one"
    _check_page(tmp_path / "page")
    lines = done.stderr.splitlines()
    assert "fer-edge: the gate refused the int8 model; no bundle was written" in lines
    for what, limit in (("accuracy drop", "1"), ("agreement", "97")):
        line = rf"model\.int8\.tflite: {what} [-\d.]+ \(.*\) on all images, the budget is {limit}\n"
        assert re.search(line, done.stderr)
    layers = done.stderr.split("layers that lose the most")[1]
    assert re.search(r"^ +[\d.]+ dB  .*logits", layers, re.MULTILINE)
    assert lines[-1].startswith("  → leave out --no-ladder, without which remedies are tried; see ")
    assert "--explain" in lines[-1]
    assert "StatefulPartitionedCall" not in done.stderr
    assert "Traceback" not in done.stderr


def _check_page(folder: Path) -> None:
    """The page of a refused export: whole in itself, with its plots, and the same as its JSON."""
    page = (folder / "report.html").read_text()
    told = json.loads((folder / "report.json").read_text())
    assert told["passed"] is False
    assert "gate refused: no bundle" in page
    assert page.count("<svg") == 4
    linked = re.findall(r"""(?:src|href)=["'](?!#)([^"']+)""", page)
    assert not linked, "it must not need the network, nor another file"
    (int8,) = (each for each in told["formats"] if each["name"] == INT8_TFLITE)
    failed = [check for check in int8["verdict"]["checks"] if check["verdict"] == "fail"]
    assert page.count('class="dot fail" title="fail"') == len(failed) > 2
    assert f"<b>{100 * int8['drop']['agreement']:.2f}%</b>" in page
    layers = [layer["layer"] for layer in told["layers"]["layers"]]
    assert layers[-2:] == ["logits", "softmax"]


def test_an_arena_over_its_limit_is_refused_at_once_and_the_report_says_so(
    exported: Exported, tmp_path: Path
) -> None:
    pytest.importorskip("tflite_micro")
    said: list[str] = []
    with pytest.raises(GateRefused) as caught:
        export(
            exported.run,
            budget=Budget(max_arena_kilobytes=2),
            output=tmp_path / "out",
            calibration=70,
            formats=(INT8_TFLITE,),
            report=tmp_path / "page",
            say=said.append,
        )
    refused, *why = caught.value.message.splitlines()
    assert refused == "the gate refused the int8 model; no bundle was written"
    (arena,) = why
    assert arena.startswith("  model.int8.tflite: kilobytes of the arena ")
    assert arena.endswith(" on all images, the budget is 2")
    assert caught.value.hint.startswith("train a narrower network")
    assert not any("climbing on" in line for line in said), "no remedy makes it smaller"
    assert listing(tmp_path) == ["page", "page/report.html", "page/report.json"]
    assert json.loads((tmp_path / "page" / "report.json").read_text())["passed"] is False
    assert "kilobytes of the arena" in (tmp_path / "page" / "report.html").read_text()


def test_a_refused_dynamic_range_file_is_named_and_can_be_left_out(exported: Exported) -> None:
    failed = Check("agreement", Estimate(90, 88, 92), 97, "fail", "all images")
    formats = tuple(
        replace(each, verdict=Verdict((failed,))) if each.name == DYNAMIC_TFLITE else each
        for each in exported.result.formats
    )
    # neither a candidate nor images: what int8 layers lose is not asked
    with pytest.raises(GateRefused) as caught:
        exporter._refuse_if_failed(
            replace(exported.result, formats=formats),
            None,  # type: ignore[arg-type]
            None,  # type: ignore[arg-type]
        )
    refused, why = caught.value.message.splitlines()
    assert refused == "the gate refused model.dynamic.tflite; no bundle was written"
    assert why.startswith("  model.dynamic.tflite: agreement 90.00 (88.00 – 92.00) on all images, ")
    assert "leave out model.dynamic.tflite" in caught.value.hint


def test_a_float_export_that_computes_something_else_is_refused(
    exported: Exported, monkeypatch: pytest.MonkeyPatch
) -> None:
    held_out = measure.hold_out(open_run(exported.run))
    content = dict(open_bundle(exported.bundle).content)
    measure.check_parity(content, held_out)
    wrong = replace(held_out, reference=held_out.reference + np.float32(2e-4))
    with pytest.raises(
        FerEdgeError, match=r"float32\.\w+ does not compute what Keras does.* 0\.0002"
    ):
        measure.check_parity(content, wrong)
    no_number = held_out.reference.copy()
    no_number[5, 1] = np.nan
    with pytest.raises(FerEdgeError, match="differs by nan"):
        measure.check_parity(content, replace(held_out, reference=no_number))
    monkeypatch.setattr(measure, "PARITY", 1e-12)
    with pytest.raises(FerEdgeError, match="1e-12 is allowed"):
        measure.check_parity(content, held_out)


def test_the_newest_run_is_the_one_whose_model_was_written_last(tmp_path: Path) -> None:
    for age, name in enumerate(("b", "a", "c")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.keras").write_text("")
        os.utime(tmp_path / name / "model.keras", (1e9 - age, 1e9 - age))
    (tmp_path / "unfinished").mkdir()
    assert newest_run(tmp_path) == tmp_path / "b"


# --- remedies and explanations ------------------------------------------------------------------


def test_the_softmax_whose_cost_no_remedy_takes_back_is_never_what_costs_the_most(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def layer(name: str, kind: str, mean: float) -> LayerCost:
        return LayerCost(name, name, kind, 40.0, 0, 1, 0.0, None, 2.5, 0.9, mean, 2 * mean)

    found = Explanation((layer("a", "CONV_2D", 0.1), layer("softmax", "SOFTMAX", 0.2)), "", 9)
    assert [each.layer for each in found.worst_first] == ["a"]
    print_explanation(found)
    shown = capsys.readouterr().out
    assert "costs the most: a" in shown
    assert "+2.5" in shown
    named = Operator(0, "StatefulPartitionedCall_1:0", "SOFTMAX", 0, 1, None)
    assert named.layer == "softmax"


def test_explain_prints_and_draws_every_layer_and_writes_no_bundle(
    exported: Exported,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    options = ["--calibration", "70", "--explain", "--json", "--plot", "layers.png"]
    monkeypatch.setattr(sys, "argv", ["fer-edge", "export", str(exported.run), *options])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    found = json.loads(capfd.readouterr().out)
    kinds = [layer["kind"] for layer in found["layers"]]
    assert kinds.count("CONV_2D") == 4
    assert kinds[-1] == "SOFTMAX"
    assert all(layer["agreement"] > 0.9 for layer in found["layers"])
    assert all(abs(layer["accuracy_drop"]) < 10 for layer in found["layers"])
    assert listing(tmp_path) == ["layers.png"]
