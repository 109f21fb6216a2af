"""train/release.sh: from a dataset to signed bundles, and nothing done twice."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from releasing import SCRIPT, release

from fer_edge.bundle import INT8_TFLITE, open_bundle
from fer_edge.bundle.minisign import read_public_key
from fer_edge.bundle.signing import make_keys
from fer_edge.data.dataset import Dataset
from fer_edge.data.packed import write_packed
from fer_edge.subject import BY_LABEL, BY_MAJORITY

RECIPE = """
name = "tiny"
[data]
validation = ["PublicTest"]
[model]
name = "compact"
width = 4
[targets]
heads = ["votes", "fer2013"]
[fit]
epochs = 3
batch_size = 16
learning_rate = 0.02
ema = 0.8
select = "best"
temperature = true
mixed_precision = "off"
"""

PUPIL = (
    RECIPE.replace("tiny", "pupil")
    + """
[distill]
teachers = ["tiny"]
"""
)


@pytest.mark.timeout(400)
def test_a_release_is_made_of_two_signed_bundles_a_run_and_again_of_the_same(
    voted: Dataset, tmp_path: Path
) -> None:
    write_packed(voted, tmp_path / "voted.npz")
    (tmp_path / "tiny.toml").write_text(RECIPE)
    make_keys(tmp_path / "release.key", tmp_path / "release.pub", "")
    first = release(tmp_path, "--data", "voted.npz", "tiny.toml")
    assert first.returncode == 0, first.stderr
    key = read_public_key(tmp_path / "release.pub")
    before = {}
    for name, truth in (("tiny", BY_MAJORITY), ("tiny-fer2013", BY_LABEL)):
        path = tmp_path / "shipped" / f"{name}.fer"
        bundle = open_bundle(path, keys=(key,))
        assert set(bundle.content) & {INT8_TFLITE, "model.float32.tflite"} == {INT8_TFLITE}
        assert bundle.manifest.name == name
        assert bundle.manifest.dataset["truth"] == truth
        assert bundle.manifest.min_confidence is not None
        assert bundle.signer == key
        assert (tmp_path / "cards" / f"{name}.md").read_text().startswith(f"# {name}\n")
        before[path] = path.read_bytes(), path.stat().st_mtime_ns
    again = release(tmp_path, "--data", "voted.npz", "tiny.toml")
    assert again.returncode == 0, again.stderr
    assert {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in before} == before
    assert "quantizing" not in again.stderr
    (tmp_path / "pupil.toml").write_text(PUPIL)
    taught = release(tmp_path, "--data", "voted.npz", "pupil.toml")
    assert taught.returncode == 0, taught.stderr
    recipe = (tmp_path / "runs" / "pupil" / "recipe.toml").read_text()
    assert str(tmp_path / "shipped" / "tiny.fer") in recipe


def test_what_a_release_needs_is_asked_for(tmp_path: Path) -> None:
    done = subprocess.run([SCRIPT, "--data", tmp_path], capture_output=True, text=True)
    assert done.returncode == 2
    assert "needs --data or --photos, and --key" in done.stderr
