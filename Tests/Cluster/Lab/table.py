"""The table of what faults do, as it stands in cluster/README.md."""

from __future__ import annotations

import pathlib

BEGIN, END = "<!-- faults: begin -->", "<!-- faults: end -->"
HEAD = ("fault", "publishing", "watching", "joining meanwhile", "recording", "playing back", "two publishers")


class Table:
    def __init__(self):
        self.rows: list[tuple[str, ...]] = []

    def add(self, *cells: str) -> None:
        self.rows.append(cells)

    @property
    def text(self) -> str:
        lines = [HEAD, tuple("---" for _ in HEAD), *self.rows]
        return "\n".join(f"| {' | '.join(cells)} |" if cells[0] != "---" else "|" + "|".join(cells) + "|" for cells in lines)

    def write(self, path: pathlib.Path) -> None:
        """Puts the rows of this run in the place of those of the same name; others stay."""
        text = path.read_text()
        before, rest = text.split(BEGIN)
        old, after = rest.split(END)
        earlier = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in old.strip().splitlines()[2:]]
        fresh = {row[0]: row for row in self.rows}
        if not all(row[0] in fresh for row in earlier):
            self.rows = [*(fresh.pop(row[0], row) for row in earlier), *fresh.values()]
        path.write_text(f"{before}{BEGIN}\n{self.text}\n{END}{after}")
