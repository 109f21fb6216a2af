"""What the gate and its forerunners refuse: exit 3 or 2, a reason, nothing written."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from exported import Exported, broken_run, listing

from fer_edge.bundle import (
    DYNAMIC_TFLITE,
    FLOAT16_TFLITE,
    INT8_TFLITE,
    open_bundle,
)
from fer_edge.chatter import import_keras
from fer_edge.errors import FerEdgeError, GateRefused
from fer_edge.evaluation.metrics import Estimate

keras = import_keras()

from fer_edge.export import exporter  # noqa: E402
from fer_edge.export.exporter import export  # noqa: E402
from fer_edge.export.judging import measure  # noqa: E402
from fer_edge.export.judging.budget import Budget  # noqa: E402
from fer_edge.export.judging.gate import Check, Verdict  # noqa: E402
from fer_edge.export.source import open_run  # noqa: E402


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


def _refusal(exported: Exported, member: str, target: str | None = None) -> GateRefused:
    """What is said where one file of another format than int8 agrees too little with float."""
    failed = Check("agreement", Estimate(90, 88, 92), 97, "fail", "all images")
    formats = tuple(
        replace(each, verdict=Verdict((failed,))) if each.name == member else each
        for each in exported.result.formats
    )
    # neither a candidate nor images: what int8 layers lose is not asked
    with pytest.raises(GateRefused) as caught:
        exporter._refuse_if_failed(
            replace(exported.result, formats=formats, target=target),
            None,  # type: ignore[arg-type]
            None,  # type: ignore[arg-type]
        )
    return caught.value


def test_a_refused_dynamic_range_file_is_named_and_can_be_left_out(exported: Exported) -> None:
    told = _refusal(exported, DYNAMIC_TFLITE)
    refused, why = told.message.splitlines()
    assert refused == "the gate refused model.dynamic.tflite; no bundle was written"
    assert why.startswith("  model.dynamic.tflite: agreement 90.00 (88.00 – 92.00) on all images, ")
    assert "leave out model.dynamic.tflite" in told.hint


def test_a_targets_refused_file_is_left_out_with_the_target(exported: Exported) -> None:
    told = _refusal(exported, FLOAT16_TFLITE, "pi-4")
    assert told.message.startswith("the gate refused model.float16.tflite; no bundle was written")
    assert told.hint == (
        "the int8 TFLite passed: ship it alone, with --slim in place of --target pi-4"
    )


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
