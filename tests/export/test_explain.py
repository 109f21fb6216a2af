"""Where int8 hurts: ``fer-edge export --explain``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from exported import Exported, listing

from fer_edge.chatter import import_keras
from fer_edge.cli import main

keras = import_keras()

from fer_edge.export.converters.isolating import Operator  # noqa: E402
from fer_edge.export.judging.layers import Explanation, LayerCost  # noqa: E402
from fer_edge.export.showing.explaining import print_explanation  # noqa: E402


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
