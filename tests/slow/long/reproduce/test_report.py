"""Which runs count, and RESULTS.md and results.json, which keep what was measured elsewhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from reproducing import as_source

from fer_edge.chatter import import_keras
from fer_edge.data.dataset import Dataset
from fer_edge.evaluation.classifier import evaluate_path, print_evaluation

keras = import_keras()

from fer_edge.instructions import read_instructions  # noqa: E402
from fer_edge.train.report import print_run  # noqa: E402
from fer_edge.train.reproduce.exports import extract  # noqa: E402
from fer_edge.train.reproduce.plan import find_run, plan  # noqa: E402
from fer_edge.train.reproduce.results import look, with_those_elsewhere  # noqa: E402
from fer_edge.train.reproduce.run import write_results  # noqa: E402
from fer_edge.train.reproduce.tables import markdown  # noqa: E402
from fer_edge.train.run import train  # noqa: E402


def test_a_run_trained_by_hand_counts_and_is_reported_as_leaky(
    trained: Path, faces: Dataset, tmp_path: Path
) -> None:
    experiments = plan(["kumar"], epochs_scale=1 / 32)
    records = look(experiments, {"fer2013": as_source(faces)}, trained)
    state = {record.experiment.base: record.state for record in records}
    assert state == {"kumar": "not started", "kumar-leaky": "done"}
    write_results(records, tmp_path / "report", trained, 1 / 32)
    page = (tmp_path / "report" / "RESULTS.md").read_text()
    (row,) = (line for line in page.splitlines() if line.startswith("| kumar-leaky (**leaky**)"))
    leaked = json.loads((trained / "by-hand" / "metrics.json").read_text())["test"]
    twins = leaked["leaked"] / leaked["whole"]["images"]
    assert twins > 0.3
    assert "**leaky**" in row
    assert "83.0% test" in row
    assert "**1 of 32**" in row
    assert f"{leaked['whole']['accuracy']['value']:.1%} (" in row
    assert f"{twins:.0%} of the test images stand in training" in row
    assert "fer-edge train kumar-leaky --data faces.npz --set fit.epochs=1" in page
    assert f"## blobs, in the place of FER2013 ({faces.fingerprint()[:12]})" in page
    assert "Kumar: confusion; the leaky protocol" in page
    assert (tmp_path / "report" / "figures" / "kumar.png").stat().st_size > 5000
    content = json.loads((tmp_path / "report" / "results.json").read_text())
    measured = next(run for run in content["runs"] if run["recipe"] == "kumar-leaky")
    assert measured["reported"]["test_accuracy"] == 0.83
    assert measured["test"] == leaked
    assert measured["environment"]["board"]["cores"] >= 1


def test_a_leaky_run_says_so_wherever_its_figures_are_printed(
    by_hand: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    print_run(train(None, None, output=by_hand, resume=True))
    result = evaluate_path(by_hand, None)
    print_evaluation(result)
    said = "LEAKY: oversampled before dividing, copies of one picture stand on both sides"
    assert capsys.readouterr().out.splitlines().count(said) == 2
    assert result.to_dict()["division"] == said


def test_a_report_keeps_the_runs_of_another_machine(
    trained: Path, faces: Dataset, tmp_path: Path
) -> None:
    experiments = plan(["kumar"], epochs_scale=1 / 32)
    sources, report = {"fer2013": as_source(faces)}, tmp_path / "report"
    write_results(look(experiments, sources, trained), report, trained, 1 / 32)
    before = json.loads((report / "results.json").read_text())["runs"]
    (measured,) = (run for run in before if run["state"] == "done")
    assert measured["history"]["accuracy"] == pytest.approx(
        [measured["training"]["accuracy"]], rel=1e-4
    )
    (tmp_path / "here").mkdir()
    only_shallow = plan(["mondal-shallow"], epochs_scale=1 / 32)
    write_results(look(only_shallow, sources, tmp_path / "here"), report, tmp_path / "here", 1 / 32)
    after = json.loads((report / "results.json").read_text())["runs"]
    assert [run["recipe"] for run in after] == ["mondal-shallow", "kumar-leaky"]
    assert measured in after
    page = (report / "RESULTS.md").read_text()
    assert f"{measured['test']['whole']['accuracy']['value']:.1%} (" in page
    assert "| mondal-shallow |" in page


def test_of_trainings_that_differ_in_epochs_alone_a_report_keeps_the_longest(
    trained: Path, faces: Dataset, tmp_path: Path
) -> None:
    sources, report = {"fer2013": as_source(faces)}, tmp_path / "report"
    results, page = report / "results.json", report / "RESULTS.md"
    shorter = look(plan(["kumar-leaky"], epochs_scale=1 / 32), sources, trained)
    write_results(shorter, report, trained, 1 / 32)
    nothing = tmp_path / "nothing"
    write_results(look(plan(["kumar-leaky"]), sources, nothing), report, nothing)
    assert "**1 of 32**" in page.read_text()
    (entry,) = json.loads(results.read_text())["runs"]
    (longer,) = plan(["kumar-leaky"], epochs_scale=2 / 32)
    entry |= {"recipe_fingerprint": longer.fingerprint, "epochs": 2, "epochs_of_recipe": 2}
    results.write_text(json.dumps({"runs": [entry]}))
    write_results(shorter, report, trained, 1 / 32)
    assert "**2 of 32**" in page.read_text()


def test_runs_elsewhere_of_another_dataset_or_recipe_are_not_kept(
    trained: Path, faces: Dataset, tmp_path: Path
) -> None:
    experiments = plan(["kumar-leaky"], epochs_scale=1 / 32)
    report, nothing = tmp_path / "report", tmp_path / "nothing"
    write_results(
        look(experiments, {"fer2013": as_source(faces)}, trained), report, trained, 1 / 32
    )
    earlier = json.loads((report / "results.json").read_text())
    others = {"fer2013": as_source(replace(faces, faces=255 - faces.faces))}
    recipe = {**earlier["runs"][0], "recipe_fingerprint": "0" * 64}
    for sources, runs in ((others, earlier["runs"]), ({"fer2013": as_source(faces)}, [recipe])):
        (report / "results.json").write_text(json.dumps({"runs": runs}))
        write_results(look(experiments, sources, nothing), report, nothing, 1 / 32)
        (left,) = json.loads((report / "results.json").read_text())["runs"]
        assert left["state"] == "not started"


@pytest.mark.parametrize(
    "change",
    [
        lambda run: _edit(run / "recipe.toml", "learning_rate = 0.0003", "learning_rate = 0.002"),
        lambda run: _edit(run / "data.json", '"fingerprint": "', '"fingerprint": "0'),
        lambda run: (run / "recipe.toml").write_text("no recipe"),
    ],
)
def test_a_run_of_another_recipe_or_dataset_does_not_count(
    trained: Path, faces: Dataset, change: Callable[[Path], None]
) -> None:
    (experiment,) = plan(["kumar-leaky"], epochs_scale=1 / 32)
    assert find_run(experiment, faces.fingerprint(), trained) == (trained / "by-hand", 1)
    change(trained / "by-hand")
    assert find_run(experiment, faces.fingerprint(), trained) is None


def _edit(path: Path, before: str, after: str) -> None:
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after, 1))


@pytest.mark.parametrize("counted", ["kusno-2-ck48", "kusno-2"])
def test_instructions_are_those_of_the_bundle_or_else_of_the_network(
    tmp_path: Path, counted: str
) -> None:
    counts = [
        {"model": f"{name}.{kind}", "processor": "cortex-a72", "all": millions * 1e6}
        for name, kind, millions in (
            (counted, "float32", 321),
            (counted, "int8", 87),
            ("kusno-20", "int8", 5),
        )
    ]
    (tmp_path / "instructions.json").write_text(json.dumps({"counts": counts}))
    measured = {"value": 0.5, "low": 0.4, "high": 0.6}
    format_ = {
        "bytes": 9000,
        "accuracy": measured,
        "drop": measured,
        "agreement": 0.9,
        "latency": {"p50": 1.0},
    }
    names = ("model.int8.tflite", "model.float32.tflite")
    export = {
        "recipe": "kusno-2-ck48",
        "dataset": "ck+48",
        "variant": "by image",
        "result": {
            "accuracy": measured,
            "needed": "rewrites",
            "float_layers": [],
            "formats": dict.fromkeys(names, format_),
        },
    }
    page = markdown([], [export], {}, read_instructions(tmp_path / "instructions.json"))
    (row,) = (line for line in page.splitlines() if line.startswith("| kusno-2-ck48"))
    assert "| 321 / 87 | – / – |" in row


def test_an_export_whose_interval_is_of_persons_has_their_number() -> None:
    share = {"value": 0.9, "low": 0.8, "high": 1.0}
    names = ("model.int8.tflite", "model.float32.tflite")
    lost = {
        "accuracy": share,
        "agreement": 1.0,
        "mean_difference": 0.0,
        "largest_difference": 0.0,
    }
    measured: dict[str, Any] = {
        "reference": {"accuracy": share},
        "ladder": {"needed": "rewrites", "float_layers": []},
        "formats": [
            {
                "name": name,
                "size": 1,
                "whole": {"accuracy": share},
                "drop": lost,
                "latency": {"p50": 1.0},
            }
            for name in names
        ],
    }
    entry = {"recipe": "kusno-2-ck48", "dataset": "ck+48", "variant": "by image"}
    entries = [entry | {"result": extract(each)} for each in (measured, measured | {"persons": 39})]
    page = markdown([], entries, {}, {})
    rows = [line for line in page.splitlines() if line.startswith("| kusno-2-ck48")]
    assert [row.split(" | ")[1] for row in rows] == [
        "ck+48, by image",
        "ck+48, by image, 39 persons",
    ]


def test_a_refused_export_takes_one_line_of_the_table() -> None:
    reasons = [
        "model.int8.tflite: accuracy drop 2.48 (1.70 – 3.25) on all images, the budget is 1",
        "model.int8.onnx: accuracy drop 2.54 (1.76 – 3.30) on all images, the budget is 1",
        "model.int8.onnx: agreement 81.23 (80.27 – 82.14) on all images, the budget is 97",
    ]
    said = ["the gate refused the int8 model; no bundle was written", *reasons, "34.2 dB  conv1"]
    entry = {"recipe": "kumar", "dataset": "fer2013", "variant": "by image"}
    page = markdown([], [entry | {"refused": "\n  ".join(said)}], {}, {})
    (row,) = [line for line in page.splitlines() if line.startswith("| kumar")]
    assert row.endswith(f"| **refused**: {reasons[0]}; 2 more in results.json |")


def test_a_claim_in_words_stands_beside_what_was_measured_at_its_epoch() -> None:
    (experiment,) = plan(["triwijoyo"])[:1]
    columns = {"epoch": [*range(1, 11)], "loss": [0.5] * 9 + [0.206], "accuracy": [0.932] * 10}
    entry = {
        "paper": "triwijoyo",
        "recipe": "triwijoyo",
        "recipe_fingerprint": experiment.fingerprint,
        "state": "done",
        "dataset": "fer2013",
        "dataset_fingerprint": "b8c7c51efe273263",
        "epochs": 20,
        "epochs_of_recipe": 20,
        "cost": {"parameters": 1, "macs": 1, "training_macs": 1},
        "history": columns,
        "seconds": 60,
        "environment": None,
        "command": "fer-edge train triwijoyo",
    }
    page = markdown(with_those_elsewhere([], [experiment], [entry]), [], {}, {})
    assert "by epoch 10. Measured at epoch 10: training accuracy 93.2%, loss 0.206." in page
    assert "## FER2013 (b8c7c51efe27)" in page
