"""``fer-edge bundle show``: what a bundle says of itself, also a hostile one."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from commands import fer_edge
from keys import Signer
from maker import Maker
from repacked import with_manifest

pytest.importorskip("cryptography")


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_show_says_what_a_bundle_is(
    maker: Maker,
    ours: Signer,
    form: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = maker.bundle("shown.fer", name="[red]x[/red]", description="Small, for tests")
    signed = ours.sign(path, tmp_path / "shown.fer", version=4)
    assert fer_edge(monkeypatch, "bundle", "show", signed, *form) == 0
    shown = capsys.readouterr().out
    for text in ("[red]x[/red]", "Small, for tests", "disgust", ours.key.public.id):
        assert text in shown
    if form:
        assert json.loads(shown)["signature"]["version"] == 4
        assert not json.loads(shown)["signature"]["checked"]
    else:
        assert "version 4 (not checked" in shown


def test_show_says_what_was_seen_in_training_how_it_was_divided_and_what_it_began_as(
    maker: Maker, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "200")

    def report(images: int, accuracy: float) -> dict[str, Any]:
        estimate = {"value": accuracy, "low": accuracy, "high": accuracy}
        return {"images": images, "accuracy": estimate, "macro_f1": estimate}

    def shown(recipe: dict[str, Any], dataset: dict[str, Any], *own: Any) -> str:
        metrics = dict(zip(("int8", "int8_unleaked"), own, strict=True)) | {"splits": ["Test"]}
        path = maker.bundle("seen.fer", metrics=metrics, recipe=recipe, dataset=dataset)
        assert fer_edge(monkeypatch, "bundle", "show", path) == 0
        return capsys.readouterr().out

    division = {"how": "by-image", "leaky": True}
    text = shown({"name": "x"}, {"division": division}, report(90, 0.8), report(20, 0.5))
    assert "accuracy 80.0% (80.0% – 80.0%), macro-F1 80.0%, 90 images on Test, 70 of them" in text
    assert "70 of them seen in training" in text
    assert "20 images on Test, without these" in text
    assert "LEAKY: oversampled before dividing" in text
    text = shown({"name": "x"}, {"division": None}, report(90, 0.8), report(90, 0.8))
    assert text.count("int8 ") == 1
    assert "seen in" not in text
    assert "divi" not in text
    base = {"name": "edge-nano", "sha256": "ab" * 32, "dataset": {"name": "fer2013"}}
    text = shown({"name": "x", "base": base}, {}, report(90, 0.8), None)
    assert "90 images on Test, 90 of them seen in fine-tuning" in text
    assert "fine-tuned from  edge-nano abababababababab, trained on fer2013" in text


@pytest.mark.parametrize(
    "change",
    [
        lambda stored: stored["tools"].update({"\x1b[2J\x1b[1;1Hsignature": "checked"}),
        lambda stored: stored["metrics"].update(detection={"x": 1}),
        lambda stored: stored["metrics"]["int8"]["accuracy"].update(value=10**400),
    ],
)
def test_show_prints_one_line_of_a_manifest_that_would_deceive_or_break_it(
    packed: bytes,
    place: Path,
    change: Callable[[dict[str, Any]], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    place.write_bytes(with_manifest(packed, change))
    assert fer_edge(monkeypatch, "bundle", "show", place) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    wrong, _ = shown.err.splitlines()
    assert "is damaged: its manifest." in wrong
    assert wrong.isprintable()


def test_an_unsigned_bundle_is_shown_without_cryptography(bundle: Path) -> None:
    code = (
        "import sys; sys.argv = ['fer-edge', 'bundle', 'show', sys.argv[1]]\n"
        "from fer_edge.cli import app; app(standalone_mode=False)\n"
        "sys.exit('cryptography' in sys.modules or 'ai_edge_litert' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, bundle], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "none" in done.stdout
