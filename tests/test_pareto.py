"""The Pareto plot of accuracy against instructions: which networks are in it, and on the front."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from maker import Maker
from pareto import Point, draw, front, points

PROCESSORS = ("cortex-a72", "cortex-a76")


def _estimate(value: float) -> dict[str, float]:
    return {"value": value, "low": value - 0.02, "high": value + 0.02}


def _instructions(**millions: float) -> dict[str, Any]:
    return {
        "counts": [
            {
                "model": f"{name.replace('__', '-')}.{kind}",
                "processor": processor,
                "all": 1e6 * count,
            }
            for name, count in millions.items()
            for kind in ("int8", "float32")
            for processor in PROCESSORS
        ]
    }


def _run(recipe: str, accuracy: float, **others: Any) -> dict[str, Any]:
    test = {"splits": ["PrivateTest"], "whole": {"accuracy": _estimate(accuracy)}}
    run = {"recipe": recipe, "dataset": "fer2013", "variant": "as given", "state": "done"}
    return run | {"leaky": False, "test": test} | others


def _bundle(maker: Maker, name: str, accuracy: float, truth: str) -> Path:
    metrics = {
        "splits": ["PrivateTest"],
        "int8": {
            "images": 3589,
            "accuracy": _estimate(accuracy),
            "macro_f1": _estimate(accuracy),
        },
    }
    dataset = {"name": "fer2013", "truth": truth}
    return maker.bundle(f"{name}-pareto.fer", name=name, metrics=metrics, dataset=dataset)


def test_networks_with_accuracy_by_labels_and_instructions_are_in_the_plot(maker: Maker) -> None:
    bundles = [
        _bundle(maker, "edge-nano", 0.82, "FER+ majority"),
        _bundle(maker, "edge-nano-fer2013", 0.68, "labels"),
        _bundle(maker, "uncounted", 0.9, "labels"),
    ]
    results = {
        "runs": [
            _run("kusno-1", 0.6),
            _run("triwijoyo", 0.59),
            _run("kumar", 0.95, leaky=True),
            _run("kusno-2", 0.99, dataset="ck+48"),
            _run("kusno-3", 0.6, state="epoch 3 of 50"),
        ],
        "exports": [
            {
                "recipe": "triwijoyo",
                "dataset": "fer2013",
                "result": {"formats": {"model.int8.tflite": {"accuracy": _estimate(0.58)}}},
            }
        ],
    }
    counted = _instructions(
        edge__nano=1, kusno__1=9, triwijoyo=60, kumar=9, kusno__2=8, kusno__3=11
    )
    peers = {"fer 25": {"accuracy": _estimate(0.66), "instructions": {PROCESSORS[0]: 6e6}}}
    found = {point.name: point for point in points(counted, results, bundles, peers)}
    assert set(found) == {"edge-nano", "kusno-1", "triwijoyo", "fer 25"}
    assert (found["fer 25"].accuracy, found["fer 25"].origin) == (0.66, "peer")
    assert found["edge-nano"].accuracy == 0.68
    assert (found["edge-nano"].origin, found["kusno-1"].origin) == ("own", "paper")
    assert found["triwijoyo"].accuracy == 0.58, "int8 where there is one"
    assert found["kusno-1"].instructions == dict.fromkeys(PROCESSORS, 9e6)


def test_networks_judged_on_other_images_or_refused_by_the_gate_are_not_in_the_plot() -> None:
    both = {"splits": ["PublicTest", "PrivateTest"], "whole": {"accuracy": _estimate(0.6)}}
    results = {
        "runs": [_run("kusno-1", 0.6, test=both), _run("mondal", 0.6), _run("triwijoyo", 0.6)],
        "exports": [
            {"recipe": "kusno-1", "dataset": "fer2013", "refused": "the gate refused it"},
            {"recipe": "mondal", "dataset": "fer2013", "refused": "the gate refused it"},
            {"recipe": "triwijoyo", "dataset": "ck+48", "refused": "the gate refused it"},
        ],
    }
    counted = _instructions(kusno__1=9, mondal=8, triwijoyo=60)
    assert [point.name for point in points(counted, results, [], {})] == ["triwijoyo"]


def test_the_front_holds_what_nothing_cheaper_or_as_cheap_beats(tmp_path: Path) -> None:
    named = {"a": (1, 0.6), "b": (2, 0.55), "c": (3, 0.7), "d": (3, 0.65), "e": (4, 0.7)}
    found = [
        Point(name, accuracy, accuracy, accuracy, dict.fromkeys(PROCESSORS, count * 1e6), "paper")
        for name, (count, accuracy) in named.items()
    ]
    assert [point.name for point in front(found, "cortex-a72")] == ["a", "c"]
    draw(found, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
