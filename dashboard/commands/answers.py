"""What commands answer: lines for people, the same as JSON for programs, and how it ended; tables in plain text."""

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import typer

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


def tell(answer: Answer, *, as_json: bool) -> None:
    """Print what a command answers, and end as it ended."""
    if as_json:
        typer.echo(to_json(answer.data, indent=2))
    else:
        for line in answer.lines:
            typer.echo(line)
    if answer.exit_code:
        raise typer.Exit(answer.exit_code)


def to_json(data: Any, *, indent: int | None = None) -> str:
    """Return *data* as JSON; times as ISO 8601, what else JSON cannot say as text."""
    return json.dumps(data, indent=indent, default=_plain)


def _plain(value: Any) -> str:
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


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
