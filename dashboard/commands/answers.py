"""What commands answer: lines for people, the same as JSON for programs, and how it ended; tables in plain text."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_OPEN = 4
"""What was waited for has not ended."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command has to say."""

    lines: Sequence[str]
    data: Any
    """The same as JSON."""
    exit_code: int = EXIT_DONE


@dataclass(slots=True)
class Table:
    """Rows of text in columns as wide as they need; the last one is cut to what is left of the line."""

    head: Sequence[str]
    rows: list[Sequence[str]] = field(default_factory=list)

    def lines(self, width: int | None = None) -> Iterator[str]:
        """Yield the table's lines.

        Args:
            width: Characters of a line; None: the terminal's, or as wide as it takes when there is none.
        """
        if width is None:
            width = shutil.get_terminal_size((10_000, 24)).columns
        rows = [[_one_line(cell) for cell in row] for row in (self.head, *self.rows)]
        sizes = [max(len(row[place]) for row in rows) for place in range(len(self.head))]
        for row in rows:
            cells = [cell.ljust(size) for cell, size in zip(row, sizes, strict=True)]
            line = "  ".join(cells).rstrip()
            yield line if len(line) <= width else f"{line[: max(1, width - 1)]}…"


def _one_line(text: str) -> str:
    return " ".join(text.split())
