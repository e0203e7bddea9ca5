"""Columns of values as array literals of PostgreSQL, so that a batch is sent as a few strings.

The driver's own way looks at every element for what it may need; here the type of a column is known.
"""

import uuid
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any


def _text(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _bytes(value: bytes) -> str:
    return '"\\\\x' + value.hex() + '"'


_WRITERS: dict[type, Callable[[Any], str]] = {
    uuid.UUID: str,
    int: str,
    float: repr,
    bool: str,
    datetime: datetime.isoformat,
    str: _text,
    bytes: _bytes,
}


def array(values: Iterable[Any]) -> str:
    """Return *values*, all of one type or None, as the literal of an array."""
    writers = _WRITERS
    return "{" + ",".join(["NULL" if value is None else writers[type(value)](value) for value in values]) + "}"


def arrays(rows: Sequence[Sequence[Any]], names: Sequence[str]) -> dict[str, str]:
    """Return the columns of *rows* by name, each as the literal of an array; *names* are those of the columns."""
    return {name: array(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}
