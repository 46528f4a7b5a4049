"""docs/interop.md: what a run of the matrix saw."""

from __future__ import annotations

import dataclasses
import pathlib
import re

BEGIN, END = "<!-- matrix -->\n", "<!-- /matrix -->"
Row = tuple[str, str, str]


@dataclasses.dataclass
class Cell:
    """One viewer of one publisher: pictures decoded in a second, and how soon the first one came to a viewer who joined and rejoined."""

    rate: float
    first_ms: float
    again_ms: float

    def text(self) -> str:
        return f"{self.rate:.0f}/s, {self.first_ms:.0f} ms, {self.again_ms:.0f} ms"


def video_of(codec: str, layers: int) -> str:
    return f"{codec}, {layers} layers" if layers else codec


class Table:
    """Rows of this run over those that the file has from earlier ones."""

    def __init__(self, file: pathlib.Path, viewers: list[str]):
        self._file, self._viewers = file, viewers
        self._before, rest = file.read_text().split(BEGIN)
        old, self._after = rest.split(END)
        self._rows: dict[Row, list[str]] = {}
        for line in old.splitlines()[2:]:
            cells = [cell.strip() for cell in re.split(r"\|", line)[1:-1]]
            self._rows[tuple(cells[:3])] = cells[3:]

    def put(self, row: Row, cells: dict[str, str], messages: str) -> None:
        self._rows[row] = [*(cells.get(viewer, "") for viewer in self._viewers), messages]

    def write(self, order: list[Row]) -> None:
        """Puts the rows in their order into the file; rows that the matrix no longer has are left out."""
        head = ["publisher", "video", "sound", *self._viewers, "messages"]
        lines = [head, ["---"] * len(head), *([*row, *self._rows[row]] for row in order if row in self._rows)]
        body = "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
        self._file.write_text(self._before + BEGIN + body + END + self._after)
