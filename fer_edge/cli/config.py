"""A TOML file that gives a command's options; a key is an option's name without its dashes.

What the command line says goes before what the file says, and that before the defaults.
"""

from __future__ import annotations

import inspect
import json
import tomllib
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import typer

from fer_edge.errors import FerEdgeError, nearest

_ABOUT_FILES = frozenset({"config", "print-config", "help"})
_WANTED: dict[type, tuple[tuple[type, ...], str]] = {
    int: ((int,), "a whole number"),
    float: ((int, float), "a number"),
    bool: ((bool,), "true or false"),
    str: ((str, int), "a text in quotes"),  # a camera or a port may stand there as a number
    list: ((list,), "a list of texts in quotes"),
}


def read_config(ctx: typer.Context, path: Path | None) -> Path | None:
    """Take a file's values as the defaults of the command's options; an eager option's callback.

    Raises:
        FerEdgeError: the file cannot be read, or has a key or a value that is none of an option's.
    """
    if path is None or ctx.resilient_parsing:
        return path
    known = {_key(option): option for option in ctx.command.params}
    known = {key: option for key, option in known.items() if key not in _ABOUT_FILES}
    defaults: dict[str, Any] = {}
    for key, value in _read(path).items():
        if key not in known:
            hint = nearest(key, known) or "fer-edge run --print-config shows all keys"
            raise FerEdgeError(f"{path}: unknown key '{key}'", hint)
        kind = _kind(ctx, known[key])
        types, wanted = _WANTED[kind]
        # True is an int to Python, but not to a person
        wrong = not isinstance(value, types) or (isinstance(value, bool) and bool not in types)
        if wrong or (kind is list and not all(isinstance(entry, str) for entry in value)):
            given = json.dumps(value, ensure_ascii=False, default=str)
            raise FerEdgeError(f"{path}: {key} is to be {wanted}, got {given}", "correct it")
        name = known[key].name
        assert name is not None
        defaults[name] = str(value) if kind is str else value
    ctx.default_map = defaults
    return path


def config_text(ctx: typer.Context) -> str:
    """Return the options as they are, as such a file, each with what it means.

    An option without a value is commented out.
    """
    blocks = []
    for option in ctx.command.params:
        key = _key(option)
        if key in _ABOUT_FILES:
            continue
        value = ctx.params.get(option.name or "")
        line = f"# {key} =" if value is None or value == [] else f"{key} = {_toml(value)}"
        blocks.append(f"# {getattr(option, 'help', None) or ''}\n{line}\n")
    return "\n".join(blocks)


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        hint = "fer-edge run --print-config > FILE makes one"
        raise FerEdgeError(f"cannot read {path}: {reason}", hint) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise FerEdgeError(
            f"{path} is not valid TOML: {error}", 'a line looks like: camera = "/dev/video0"'
        ) from error


def _kind(ctx: typer.Context, option: Any) -> type:
    """What an option's value is; a path is a text."""
    assert ctx.command.callback is not None
    hint = get_type_hints(inspect.unwrap(ctx.command.callback))[option.name]
    kinds = [get_origin(kind) or kind for kind in get_args(hint) or (hint,)]
    return next((kind for kind in (bool, int, float, list) if kind in kinds), str)


def _key(option: Any) -> str:
    """An option's long name, or an argument's name."""
    words = [word for word in option.opts if word.startswith("--")]
    return str(words[0][2:] if words else option.name)


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    # a JSON text is a TOML text, but for one character that JSON lets through
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
