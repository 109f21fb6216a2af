"""How a command ends that cannot go on: one line what is wrong, one what to do, an exit code."""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress
from typing import Any

import typer

from fer_edge.printable import as_error

WrongUse: type[Exception] = typer.BadParameter.__mro__[2]
"""What a command line raises that cannot be understood: typer brings a click of its own, which has
no public name, and older ones take the installed one."""


_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}


def tell(message: str, hint: str) -> None:
    """Print both lines of an error to standard error, where that can be written."""
    with suppress(OSError):
        print(f"fer-edge: {as_error(message)}", file=sys.stderr)
        if hint:
            print(f"  → {as_error(hint)}", file=sys.stderr)


def tell_wrong_use(error: Any) -> int:
    """Say what is wrong with a command line; returns the exit code."""
    message: str = error.format_message().strip()
    if not message:
        return int(error.exit_code)  # no command was named, and the help is there already
    message = message[0].lower() + message[1:].removesuffix(".")
    found = getattr(error.__cause__, "errors", None)
    if found is not None:  # the message says what should be there, and not what is
        message = f"{message.partition(', unable')[0]}, got {found()[0]['input']!r}"
        message = message.replace(": Input", ": input")
    path = error.ctx.command_path if getattr(error, "ctx", None) else "fer-edge"
    tell(message, f"{path} --help shows what it takes")
    return int(error.exit_code)


def is_of_output(error: OSError) -> bool:
    """Whether an error is of standard output: of a disk, but of no file that has a name."""
    return error.filename is None and error.errno in _DISK


def flush_output() -> OSError | None:
    """Write out what was printed; what keeps it from being written, other than a reader that left.

    What is left then goes nowhere, or the interpreter would try again when it ends, and complain.
    """
    if sys.stdout is None:
        return None
    try:
        sys.stdout.flush()
    except OSError as error:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
        return None if isinstance(error, BrokenPipeError) else error
    return None


def tell_unwritten(error: OSError) -> int:
    """Say why standard output could not be written; returns the exit code."""
    reason = (error.strerror or str(error)).lower()
    tell(
        f"cannot write to standard output: {reason}",
        "free some space, or send standard output elsewhere",
    )
    return 2
