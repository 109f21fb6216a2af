"""What outputs have in common that write lines to standard output."""

from __future__ import annotations

import errno
import os
import stat
from typing import TextIO

from fer_edge.device.outputs.base import Output, OutputClosed
from fer_edge.errors import FerEdgeError


class Lines(Output):
    """Writes to a stream, flushed each time, so that a reader is never behind."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._abandoned = False

    def open(self) -> None:
        """Nothing to do: the stream is open."""

    def close(self) -> None:
        """Nothing to do: the stream is somebody else's."""

    def put(self, text: str) -> None:
        """Write whole lines; nothing once the reader has gone.

        Raises:
            OutputClosed: the reader has gone now.
            FerEdgeError: the lines cannot be written, as on a full disk.
        """
        if self._abandoned or not text:
            return
        try:
            self._stream.write(text)
            self._stream.flush()
        except OSError as error:
            if isinstance(error, BrokenPipeError) or self._hung_up(error):
                self._abandon()
                raise OutputClosed(unread=True) from error
            raise FerEdgeError(
                f"cannot write to standard output: {(error.strerror or str(error)).lower()}",
                "free some space, or send standard output elsewhere",
            ) from error

    def _hung_up(self, error: OSError) -> bool:
        """Whether the stream is a terminal that is gone; SIGHUP may come a moment later."""
        return error.errno == errno.EIO and stat.S_ISCHR(os.fstat(self._stream.fileno()).st_mode)

    def _abandon(self) -> None:
        """Point the stream to nowhere, or the interpreter would complain when it ends."""
        self._abandoned = True
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)
