"""The command line: each command is a few lines that call one function of one stage.

A file a stage. Nothing heavy is imported outside of a command's function, so that ``--help``
answers at once.
"""

from __future__ import annotations

import io
import os
import sys
import threading
from typing import Annotated, Any

import typer

from fer_edge import __version__
from fer_edge.cli import bench, bundle, data, demo, device, export, models, train
from fer_edge.cli.ending import (
    WrongUse,
    flush_output,
    is_of_output,
    tell,
    tell_unwritten,
    tell_wrong_use,
)
from fer_edge.errors import FerEdgeError
from fer_edge.signals import end_as_by_ctrl_c

app = typer.Typer(
    name="fer-edge",
    help="Facial expression recognition for embedded devices: train, quantize with proof, run.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"fer-edge {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Version.")
    ] = False,
) -> None:
    pass


app.add_typer(data.data_app, name="data")
app.add_typer(bundle.bundle_app, name="bundle")
app.command()(train.train)
app.command()(train.reproduce)
app.command()(train.evaluate)
app.command()(export.export)
app.command()(models.models)
app.command(cls=device.RunCommand)(device.run)
app.command()(bench.bench)
app.command()(device.doctor)
app.command()(demo.demo)


def _reopen(name: str, number: int) -> None:
    """Let standard output or error lead nowhere if closed: the next file opened would be it."""
    if getattr(sys, name) is not None:
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    if nowhere != number:
        os.dup2(nowhere, number)
        os.close(nowhere)
    setattr(sys, name, os.fdopen(number, "w", closefd=False))


def main() -> None:
    """Run the command line; a FerEdgeError becomes one line and its exit code.

    SIGTERM and a terminal that hangs up end a command as Ctrl-C does, so that what it has begun is
    finished properly.
    """
    code: Any
    _reopen("stdout", 1)
    _reopen("stderr", 2)
    end_as_by_ctrl_c()
    if isinstance(sys.stdout, io.TextIOWrapper):
        # a file's name need not be UTF-8; standard error takes any already
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code = app(standalone_mode=False)
    except FerEdgeError as error:
        tell(error.message, error.hint)
        code = error.exit_code
    except WrongUse as error:
        code = tell_wrong_use(error)
    except OSError as error:
        if error.filename is not None:
            reason = (error.strerror or "").lower()
            tell(f"{error.filename}: {reason}", "check the path and its permissions")
            code = 2
        elif is_of_output(error):
            code = tell_unwritten(error)
        else:
            raise
    except typer.Abort:
        tell("standard input ended before a question was answered", "answer it in a terminal")
        code = 2
    except KeyboardInterrupt:
        code = 130
    except SystemExit as ended:
        code = ended.code
    if (unwritten := flush_output()) and not code:
        code = tell_unwritten(unwritten)
    if isinstance(code, int) and any(t.name.startswith("camera:") for t in threading.enumerate()):
        # a camera's thread is stuck in its driver; OpenCV aborts a process that ends around it
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
