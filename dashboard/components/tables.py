"""Tables: rows and a description of their columns; drawn as a grid that sorts, searches and scrolls."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, Literal, TypeVar

import pandas as pd
import streamlit as st

from dashboard.components.status import Look
from dashboard.formats import DASH
from dashboard.zone import viewer_zone

T = TypeVar("T")

Kind = Literal[
    "text", "number", "ratio", "seconds", "bytes", "usd", "moment", "state", "trend", "share", "json", "progress"
]
"""``share`` is a trend of shares, drawn from 0 to 1 in every row, so that rows can be compared."""
Width = Literal["small", "medium", "large"]


@dataclass(frozen=True, slots=True)
class Column(Generic[T]):
    """One column: its title, what it takes from a row (None is not known), and how it is drawn."""

    title: str
    take: Callable[[T], Any]
    kind: Kind = "text"
    help: str | None = None
    width: Width | None = None


def table(
    rows: Sequence[T],
    columns: Sequence[Column[T]],
    *,
    alt: str,
    key: str,
    height: int | Literal["auto", "content"] = "auto",
    selected: int | None = None,
    can_select: bool = False,
    can_open: bool = False,
) -> int | None:
    """Draw *rows*.

    Args:
        rows: What to draw, in order.
        columns: The columns, from the left.
        alt: What the table holds, for those who do not see it.
        key: The same for the same table on every run.
        height: Pixels, or as many as the rows need.
        selected: Index of the row that is selected at first.
        can_select: Whether a row can be marked, and stays so.
        can_open: Whether the first column is a button in each row, for going to what the row is about.

    Returns:
        Index of the row that is marked, or whose button was clicked just now; else None.
    """
    frame, config = _frame(rows, columns, open_key=f"{key}.open" if can_open else None)
    if not can_select:
        st.dataframe(frame, column_config=config, hide_index=True, alt=alt, key=key, height=height, placeholder=DASH)
        return _opened(f"{key}.open", len(rows)) if can_open else None
    state: Any = st.dataframe(
        frame,
        column_config=config,
        hide_index=True,
        alt=alt,
        key=key,
        height=height,
        placeholder=DASH,
        on_select="rerun",
        selection_mode="single-row",
        selection_default=None if selected is None else {"selection": {"rows": [selected]}},
    )
    chosen = state["selection"]["rows"]
    return int(chosen[0]) if chosen and chosen[0] < len(rows) else None


def choose(rows: Sequence[T], columns: Sequence[Column[T]], *, alt: str, key: str) -> T | None:
    """Draw *rows* and return the one that is marked; a single row is marked at first."""
    only = 0 if len(rows) == 1 else None
    index = table(rows, columns, alt=alt, key=key, can_select=True, selected=only, height="content")
    return None if index is None else rows[index]


def marking_table(
    rows: Sequence[T], columns: Sequence[Column[T]], *, alt: str, key: str
) -> tuple[int | None, list[int]]:
    """Draw *rows*, any of which can be marked; the first column is a button in each row.

    Returns:
        Index of the row whose button was clicked just now, or None; and the indexes of those marked, from the top.
    """
    frame, config = _frame(rows, columns, open_key=f"{key}.open")
    state: Any = st.dataframe(
        frame,
        column_config=config,
        hide_index=True,
        alt=alt,
        key=key,
        height="content",
        placeholder=DASH,
        on_select="rerun",
        selection_mode="multi-row",
    )
    marked = sorted(int(row) for row in state["selection"]["rows"] if row < len(rows))
    return _opened(f"{key}.open", len(rows)), marked


def _frame(
    rows: Sequence[T], columns: Sequence[Column[T]], *, open_key: str | None
) -> tuple[pd.DataFrame, dict[str, Any]]:
    frame = pd.DataFrame({column.title: _values(rows, column) for column in columns}, columns=_titles(columns))
    config = {column.title: _config(column, rows) for column in columns}
    if open_key is not None:
        first = columns[0]
        config[first.title] = st.column_config.ButtonColumn(
            first.title, type="tertiary", alignment="left", key=open_key, help=first.help, width=first.width
        )
    return frame, config


def _opened(key: str, count: int) -> int | None:
    click: Any = st.session_state.get(key)
    return None if click is None or not 0 <= click["row"] < count else int(click["row"])


def _titles(columns: Sequence[Column[T]]) -> list[str]:
    return [column.title for column in columns]


def _values(rows: Sequence[T], column: Column[T]) -> Any:
    values = [column.take(row) for row in rows]
    if column.kind == "moment":
        return pd.Series(pd.to_datetime(values, utc=True)) if values else pd.Series([], dtype="datetime64[ns, UTC]")
    if column.kind == "state":
        return [[value.word] if isinstance(value, Look) else [] for value in values]
    if column.kind in {"trend", "share"}:
        return [_trend(value) for value in values]
    if column.kind in _FORMATS or column.kind == "progress":
        scale = 100.0 if column.kind == "ratio" else 1.0
        return pd.Series([None if value is None else scale * float(value) for value in values], dtype="float64")
    return values


def _trend(values: Sequence[float | None]) -> list[float]:
    """Return what is known of a trend; nothing when that is less than a line."""
    known = [float(value) for value in values if value is not None]
    return known if len(known) > 1 else []


_FORMATS: Mapping[Kind, str] = {
    "number": "localized",
    "ratio": "%.1f %%",
    "seconds": "%.2f s",
    "bytes": "bytes",
    "usd": "$%.2f",
}


def _config(column: Column[T], rows: Sequence[T]) -> Any:
    shared: dict[str, Any] = {"help": column.help, "width": column.width}
    make = st.column_config
    if column.kind in _FORMATS:
        return make.NumberColumn(column.title, format=_FORMATS[column.kind], **shared)
    if column.kind == "progress":
        return make.ProgressColumn(column.title, format="percent", min_value=0.0, max_value=1.0, **shared)
    if column.kind == "moment":
        return make.DatetimeColumn(column.title, format="DD MMM HH:mm:ss", timezone=viewer_zone().key, **shared)
    if column.kind == "state":
        looks = {look.word: look for look in map(column.take, rows) if isinstance(look, Look)}
        colours = [look.colour for look in looks.values()] or None
        return make.MultiselectColumn(column.title, options=list(looks), color=colours, **shared)
    if column.kind in {"trend", "share"}:
        low, high = (0.0, 1.0) if column.kind == "share" else (None, None)
        return make.LineChartColumn(column.title, y_min=low, y_max=high, **shared)
    plain = make.JsonColumn if column.kind == "json" else make.TextColumn
    return plain(column.title, **shared)


def latest(moments: Sequence[datetime | None]) -> datetime | None:
    """Return the latest of *moments* that is known, or None."""
    known = [moment for moment in moments if moment is not None]
    return max(known, default=None)
