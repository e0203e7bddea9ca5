"""Tables as nodes hand them on, a list of objects: what is in them, and as a CSV file."""

import csv
import io
import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from analytics.core.errors import InputError
from worker.workflow.node_kind import NodeCall

MAX_ROWS = 1_000_000
_TOP = 5


def profile(call: NodeCall, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what each column of *rows* holds: how many values, of which type, how they spread.

    A number column has ``min``, ``max``, ``mean`` and ``median``, the others their most frequent values. A value that
    is absent or null counts as missing.

    Raises:
        InputError: If *rows* is not a list of objects.
    """
    _check(rows)
    names = list(dict.fromkeys(name for row in rows for name in row))
    call.log.info(f"{len(rows)} rows with {len(names)} columns")  # noqa: G004 - the log of the node
    return {"rows": len(rows), "columns": [_column(name, [row.get(name) for row in rows]) for name in names]}


def to_csv(call: NodeCall, rows: Sequence[Mapping[str, Any]], name: str = "table.csv") -> dict[str, Any]:
    """Save *rows* as a CSV file with a line of names, and return the artifact and how many rows it has.

    A text that a spreadsheet would take for a formula gets an apostrophe before it.

    Raises:
        InputError: If *rows* is not a list of objects, or the file is too large.
    """
    _check(rows)
    names = list(dict.fromkeys(key for row in rows for key in row))
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow([_cell(key) for key in names])
    writer.writerows([_cell(row.get(key)) for key in names] for row in rows)
    saved = call.save(name, out.getvalue().encode(), "text/csv")
    call.log.info(f"{len(rows)} rows written to {name}, {saved['size_bytes']} bytes")  # noqa: G004 - the log of the node
    return {"file": saved, "rows": len(rows)}


def _check(rows: Any) -> None:
    if not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
        raise InputError("`rows` has to be a list of objects; nothing was done.")
    if len(rows) > MAX_ROWS:
        raise InputError(f"{len(rows)} rows are more than {MAX_ROWS}; nothing was done.")


def _column(name: str, values: Sequence[Any]) -> dict[str, Any]:
    present = [value for value in values if value is not None]
    kinds = Counter(_type(value) for value in present)
    column: dict[str, Any] = {
        "name": name,
        "type": next(iter(kinds)) if len(kinds) == 1 else ("mixed" if kinds else "empty"),
        "values": len(present),
        "missing": len(values) - len(present),
    }
    if set(kinds) == {"number"}:
        finite = [value for value in present if math.isfinite(value)]
        if finite:
            column |= {
                "min": min(finite),
                "max": max(finite),
                "mean": statistics.fmean(finite),
                "median": statistics.median(finite),
            }
    else:
        counts = Counter(str(value) for value in present)
        column |= {
            "distinct": len(counts),
            "most_frequent": [{"value": value[:200], "count": count} for value, count in counts.most_common(_TOP)],
        }
    return column


def _type(value: Any) -> str:
    match value:
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return "text"
        case list():
            return "list"
        case _:
            return "object"


def _cell(value: Any) -> Any:
    if isinstance(value, str) and value[:1] in {"=", "+", "-", "@", "\t", "\r"}:
        return f"'{value}"
    return value
