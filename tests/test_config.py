"""``--config`` and ``--print-config``: a TOML file whose keys are the options' names."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fer_edge.cli import app
from fer_edge.errors import FerEdgeError


def _resolved(*words: object) -> dict[str, Any]:
    done = CliRunner().invoke(app, ["run", "--print-config", *map(str, words)])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return tomllib.loads(done.output)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "run.toml"


def test_the_defaults_are_printed_with_what_they_mean():
    done = CliRunner().invoke(app, ["run", "--print-config"])
    assert (
        "# Smallest face, as a share of the frame's shorter side.\nmin-face = 0.15" in done.output
    )
    assert "# log =\n" in done.output


def test_every_option_is_a_key():
    options = CliRunner().invoke(app, ["run", "--print-config"]).output
    command = next(c for c in app.registered_commands if c.callback.__name__ == "run")
    about_files = {"ctx", "config", "print_config"}
    names = set(command.callback.__annotations__) - about_files - {"return", "as_json"} | {"json"}
    for name in names:
        assert f"{name.replace('_', '-')} =" in options


def test_a_file_gives_values_and_the_command_line_goes_before_it(config):
    config.write_text('camera = "/dev/video2"\nthreads = 3\njson = true\nmin-face = 1\n')
    found = _resolved("--config", config, "--threads", 4)
    assert (found["camera"], found["threads"], found["json"]) == ("/dev/video2", 4, True)
    assert found["min-face"] == 1.0


def test_what_is_printed_can_be_read_back(config):
    words = ["b.fer", "--key", "a.pub", "--key", "b.pub", "--smoothing", 1e-3, "--serve"]
    words += ["--log", "e.jsonl", "--video", 'a "clip".mp4']
    first = _resolved(*words)
    config.write_text(CliRunner().invoke(app, ["run", "--print-config", *map(str, words)]).output)
    assert _resolved("--config", config) == first
    assert first["video"] == 'a "clip".mp4'
    assert first["serve"] == "127.0.0.1:8080"
    assert first["key"] == ["a.pub", "b.pub"]


def test_a_shipped_model_is_printed_by_its_name():
    assert _resolved("edge-small")["bundle"] == "edge-small"


def test_a_source_on_the_command_line_stands_for_the_files(config):
    config.write_text("camera = 0\n")
    assert _resolved("--config", config)["camera"] == "0"
    found = _resolved("--config", config, "--video", "clip.mp4")
    assert found["video"] == "clip.mp4"
    assert "camera" not in found


def test_an_address_may_follow_serve_and_a_bundle_as_well():
    assert _resolved("--serve", "0.0.0.0:80", "b.fer")["serve"] == "0.0.0.0:80"
    assert _resolved("--serve", "localhost:x")["serve"] == "localhost:x"  # to be refused as such
    found = _resolved("--serve", "b.fer")
    assert (found["serve"], found["bundle"]) == ("127.0.0.1:8080", "b.fer")


@pytest.mark.parametrize(
    ("content", "message", "hint"),
    [
        ("min-fce = 0.2", "unknown key 'min-fce'", "did you mean 'min-face'?"),
        ("zzzzzz = 1", "unknown key 'zzzzzz'", "--print-config"),
        ("config = 'x'", "unknown key 'config'", ""),
        ("threads = 1.5", "threads is to be a whole number, got 1.5", ""),
        ("threads = true", "threads is to be a whole number, got true", ""),
        ("min-face = 'big'", 'min-face is to be a number, got "big"', ""),
        ("json = 1", "json is to be true or false, got 1", ""),
        ("log = true", "log is to be a text in quotes, got true", ""),
        ("[mqtt]\nurl = 'x'", "mqtt is to be a text in quotes", ""),
        ("key = 'a.pub'", "key is to be a list of texts in quotes", ""),
        ("key = [1]", "key is to be a list of texts in quotes", ""),
        ("camera =", "is not valid TOML", "camera ="),
    ],
)
def test_a_wrong_file_is_named_with_what_is_wrong_in_it(config, content, message, hint):
    config.write_text(content)
    with pytest.raises(FerEdgeError) as caught:
        _resolved("--config", config)
    assert str(config) in caught.value.message
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_a_password_in_a_file_is_not_shown(config):
    config.write_text('camera = "rtsp:/me:secret@host/x"\n')
    done = CliRunner().invoke(app, ["run", "--config", str(config)])
    assert isinstance(done.exception, FerEdgeError)
    assert done.exception.message == "no camera is called 'rtsp://host/x'"


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FerEdgeError, match=r"cannot read .*absent\.toml: no such file"):
        _resolved("--config", tmp_path / "absent.toml")


def test_the_example_is_right():
    example = Path(__file__).parents[1] / "device" / "fer-edge.toml"
    found = _resolved("--config", example)
    assert (found["camera"], found["serve"]) == ("0", "127.0.0.1:8080")
    assert found["log-faces"] is False, "a card does not last for ever"
    assert _resolved("--config", example, "--log-faces")["log-faces"] is True
    assert "bundle" not in found, "the installed one, or else the one that ships"
