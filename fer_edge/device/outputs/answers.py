"""What was found in each picture, a line a face, for people."""

from __future__ import annotations

from typing import Any, TextIO

from fer_edge.device.outputs.stream import Lines
from fer_edge.device.pipeline import Face, Result
from fer_edge.device.smoothing import UNCERTAIN


class Answers(Lines):
    """Writes ``holiday/1.jpg  happy 93%``; of several faces also where each of them is."""

    def __init__(self, stream: TextIO, labels: tuple[str, ...]) -> None:
        super().__init__(stream)
        self._labels = labels

    def write(self, result: Result) -> None:
        """Write the answers of one picture."""
        several = len(result.faces) > 1
        found = [self._answer(face, several) for face in result.faces] or ["no face"]
        text = "".join(f"{result.frame.name}  {answer}\n" for answer in found)
        # a file's name need not be UTF-8
        self.put(text.encode("utf-8", "backslashreplace").decode())

    def finish(self, summary: dict[str, Any]) -> None:
        """Nothing to do: the table follows."""

    def _answer(self, face: Face, several: bool) -> str:
        answer = f"{face.label} {face.confidence:.0%}"
        if face.label == UNCERTAIN:
            best = self._labels[int(face.probabilities.argmax())]
            answer = f"{UNCERTAIN}, perhaps {best} {face.confidence:.0%}"
        x, y, width, height = face.box
        return f"{answer}  at {x},{y} {width}×{height}" if several else answer
