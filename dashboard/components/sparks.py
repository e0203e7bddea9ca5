"""Small trends under a figure, as pictures: the browser shows an image instead of computing a chart for each card."""

import base64
import html
import math
from collections.abc import Iterator, Sequence
from typing import Literal, TypeAlias

import streamlit as st

from dashboard import formats
from dashboard.components.charts import TONES, Tone

Kind: TypeAlias = Literal["line", "bar"]

_WIDTH, _HEIGHT = 100, 52
_EDGE = 2
"""Pixels above and below, so that a line at the top is not cut in half."""
_GAP = 0.25
"""Share of a step between two bars."""


def draw(values: Sequence[float] | None, *, title: str, unit: str, kind: Kind = "line", tone: Tone = "note") -> None:
    """Draw the trend of *title*, or nothing where there is none; a gap is not a number."""
    known = [value for value in values or () if not math.isnan(value)]
    if len(known) < 2:  # noqa: PLR2004 - a single point is no trend
        return
    words = html.escape(in_words(known, title, unit))
    source = base64.b64encode(picture(values or (), kind, TONES[tone]).encode()).decode()
    st.html(
        f'<img src="data:image/svg+xml;base64,{source}" alt="{words}" title="{words}"'
        f' style="display:block;width:100%;height:{_HEIGHT}px">'
    )


def in_words(known: Sequence[float], title: str, unit: str) -> str:
    """Return what the picture shows, for those who do not see it and for those who ask it for numbers."""
    first, last, low, high = (formats.quantity(value, unit) for value in (known[0], known[-1], min(known), max(known)))
    return f"{title}: from {first} to {last}, lowest {low}, highest {high}"


def picture(values: Sequence[float], kind: Kind, colour: str) -> str:
    """Return the trend as SVG that stretches to any width."""
    drawn = "".join(_bars(values) if kind == "bar" else _lines(values))
    look = (
        f'fill="{colour}"'
        if kind == "bar"
        else f'fill="none" stroke="{colour}" stroke-width="2" stroke-linecap="round" stroke-linejoin="round"'
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" preserveAspectRatio="none">'
        f'<path d="{drawn}" {look} vector-effect="non-scaling-stroke"/></svg>'
    )


def _lines(values: Sequence[float]) -> Iterator[str]:
    """Yield the line through *values*, broken at gaps; what stands alone is a dot."""
    known = [value for value in values if not math.isnan(value)]
    low, extent = min(known), (max(known) - min(known)) or 1.0
    flat = max(known) == min(known)
    step = (_WIDTH - 2 * _EDGE) / max(1, len(values) - 1)
    is_down = False
    for place, value in enumerate(values):
        if math.isnan(value):
            is_down = False
            continue
        height = 0.5 if flat else (value - low) / extent
        x, y = _EDGE + place * step, _HEIGHT - _EDGE - height * (_HEIGHT - 2 * _EDGE)
        yield f"{'L' if is_down else 'M'}{x:.1f} {y:.1f}"
        if not is_down and (place + 1 == len(values) or math.isnan(values[place + 1])):
            yield "h0"
        is_down = True


def _bars(values: Sequence[float]) -> Iterator[str]:
    """Yield a bar from zero for each of *values*."""
    most = max((value for value in values if not math.isnan(value)), default=0.0) or 1.0
    step = _WIDTH / len(values)
    for place, value in enumerate(values):
        if value > 0:
            height = max(1.0, value / most * (_HEIGHT - _EDGE))
            yield f"M{(place + _GAP / 2) * step:.2f} {_HEIGHT}v{-height:.1f}h{(1 - _GAP) * step:.2f}v{height:.1f}z"
