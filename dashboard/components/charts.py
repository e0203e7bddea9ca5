"""Charts: one description, one Plotly figure; the description knows nothing of Plotly or Streamlit.

Plotly is imported when the first figure is built: first screens, which draw native sparklines, do not wait for it.
"""

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import streamlit as st

from analytics.core.clock import Interval
from dashboard import formats
from dashboard.zone import viewer_zone

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

Tone: TypeAlias = Literal["critical", "warning", "target", "note"]

MOST_POINTS = 1_500
"""More points than a screen has columns are thinned, keeping the lowest and highest of each step."""
_FEW = 5
"""Up to so many, things are counted one by one on the axis; half a thing is nothing."""
_FILL = "rgba(74,144,226,0.16)"
_BAND_FILL = "rgba(128,144,160,0.28)"
_GRID = "rgba(128,144,160,0.25)"
TONES: Mapping[Tone, str] = {"critical": "#D64545", "warning": "#B9770E", "target": "#1F8A5B", "note": "#7A8899"}


@dataclass(frozen=True, slots=True)
class Series:
    """One line, area or row of bars; a value of None is a gap, never drawn as zero."""

    name: str
    points: Sequence[tuple[datetime, float | None]]
    kind: Literal["line", "area", "bar", "step"] = "line"
    tone: Tone | None = None
    """A colour with a meaning; None takes the next of the theme."""
    is_dashed: bool = False


@dataclass(frozen=True, slots=True)
class Band:
    """An area between two lines, such as what a forecast holds possible."""

    name: str
    points: Sequence[tuple[datetime, float, float]]
    """Time, lower and upper value."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """A horizontal line that a value is measured against."""

    value: float
    label: str
    tone: Tone = "target"


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened: a deployment at one moment, an incident over a span of time."""

    at: datetime
    label: str
    """Empty where the mark alone says enough."""
    until: datetime | None = None
    tone: Tone = "note"


@dataclass(frozen=True, slots=True)
class Chart:
    """What a chart shows."""

    alt: str
    """What a reader should take away, for those who do not see it."""
    unit: str
    series: Sequence[Series]
    interval: Interval | None = None
    thresholds: Sequence[Threshold] = ()
    marks: Sequence[Mark] = ()
    bands: Sequence[Band] = ()
    height: int = 280
    from_zero: bool = False
    is_stacked: bool = False
    """Whether bars stand on each other, as parts of a whole."""


def is_empty(chart: Chart) -> bool:
    """Return whether no series has a value."""
    return all(value is None for series in chart.series for _, value in series.points)


def thinned(
    points: Sequence[tuple[datetime, float | None]], most: int = MOST_POINTS
) -> list[tuple[datetime, float | None]]:
    """Return at most about *most* of *points*, keeping gaps and the extremes of each step."""
    if len(points) <= most:
        return list(points)
    step = -(-len(points) // (most // 2))
    kept: list[tuple[datetime, float | None]] = []
    for start in range(0, len(points), step):
        chunk = points[start : start + step]
        known = [(value, index) for index, (_, value) in enumerate(chunk) if value is not None]
        if not known:
            kept.append(chunk[0])
            continue
        kept.extend(chunk[index] for index in sorted({min(known)[1], max(known)[1]}))
    return kept


def figure(chart: Chart, zone: tzinfo = UTC) -> "Figure":
    """Return the Plotly figure of *chart*, its times in *zone*."""
    import plotly.graph_objects as go  # noqa: PLC0415 - heavy; first screens do without

    figure = go.Figure(layout=_layout(chart, zone))
    for place, series in enumerate(chart.series):
        points = thinned(series.points)
        times = [_local(at, zone) for at, _ in points]
        values = [value for _, value in points]
        figure.add_trace(_trace(go, series, times, values, chart.unit))
        lonely = [] if series.kind == "bar" else _lonely(values)
        if lonely:
            colour = TONES[series.tone] if series.tone else _theme_colour(figure, place)
            figure.add_trace(_dots(go, [times[n] for n in lonely], [values[n] for n in lonely], colour))
    for band in chart.bands:
        times = [_local(at, zone) for at, _, _ in band.points]
        edge: dict[str, Any] = {"x": times, "mode": "lines", "line": {"width": 0}, "hoverinfo": "skip", "zorder": -1}
        figure.add_trace(go.Scatter(**edge, y=[low for _, low, _ in band.points], showlegend=False))
        figure.add_trace(
            go.Scatter(
                **edge, y=[high for _, _, high in band.points], name=band.name, fill="tonexty", fillcolor=_BAND_FILL
            )
        )
    for line in chart.thresholds:
        figure.add_hline(
            y=line.value,
            line={"color": TONES[line.tone], "width": 1.2, "dash": "dash"},
            annotation={"text": line.label, "font": {"size": 11, "color": TONES[line.tone]}},
            annotation_position="bottom left" if _is_lowest(line, chart) else "top left",
        )
    for mark in chart.marks:
        _add_mark(figure, mark, zone, chart.interval)
    return figure


def draw(chart: Chart, *, key: str) -> None:
    """Draw *chart*, or say that nothing was measured."""
    if is_empty(chart):
        with st.container(border=True, height=chart.height, horizontal_alignment="center", vertical_alignment="center"):
            st.caption(":material/help: Nothing was measured in this time range.")
        return
    st.plotly_chart(
        figure(chart, viewer_zone()),
        key=key,
        alt=chart.alt,
        config={"displaylogo": False, "modeBarButtonsToRemove": ["lasso2d", "select2d", "autoScale2d"]},
    )


def _trace(go: Any, series: Series, times: list[str], values: list[float | None], unit: str) -> Any:
    hover = [formats.quantity(value, unit) for value in values]
    colour = {"color": TONES[series.tone]} if series.tone else {}
    shared = {"x": times, "y": values, "name": series.name, "customdata": hover}
    template = "%{customdata}<extra>" + series.name + "</extra>"
    if series.kind == "bar":
        return go.Bar(**shared, marker=colour, hovertemplate=template)
    return go.Scatter(
        **shared,
        mode="lines",
        line={"width": 1.8, "shape": "hv" if series.kind == "step" else "linear", **colour}
        | ({"dash": "dot"} if series.is_dashed else {}),
        fill="tozeroy" if series.kind == "area" else None,
        fillcolor=_FILL if series.kind == "area" else None,
        connectgaps=False,
        hovertemplate=template,
    )


def _lonely(values: Sequence[float | None]) -> list[int]:
    """Return the places of values that have none beside them, which a line would not show."""
    return [
        index
        for index, value in enumerate(values)
        if value is not None
        and (index == 0 or values[index - 1] is None)
        and (index + 1 == len(values) or values[index + 1] is None)
    ]


def _dots(go: Any, times: Sequence[str], values: Sequence[float | None], colour: str | None) -> Any:
    """Return dots for the lonely points of a line; apart, since a browser draws a mark for every point of a trace."""
    return go.Scatter(
        x=times, y=values, mode="markers", marker={"size": 5, "color": colour}, showlegend=False, hoverinfo="skip"
    )


def _theme_colour(figure: "Figure", place: int) -> str | None:
    """Return the colour that the theme gives the line at *place*."""
    colours = figure.layout.template.layout.colorway
    return colours[place % len(colours)] if colours else None


def _layout(chart: Chart, zone: tzinfo) -> dict[str, Any]:
    x_axis: dict[str, Any] = {"type": "date", "showgrid": False, "zeroline": False}
    if chart.interval is not None:
        x_axis["range"] = [_local(chart.interval.since, zone), _local(chart.interval.until, zone)]
    has_labels = any(mark.label for mark in chart.marks)
    y_axis: dict[str, Any] = {"gridcolor": _GRID, "zeroline": False, "rangemode": "tozero" if chart.from_zero else None}
    if chart.unit == "count" and _highest(chart) <= _FEW:
        y_axis["dtick"] = 1
    return {
        "height": chart.height,
        "margin": _margin(has_labels=has_labels, has_legend=len(chart.series) > 1),
        "hovermode": "x unified",
        "showlegend": len(chart.series) > 1,
        "legend": {
            "orientation": "h",
            "traceorder": "normal",
            "yanchor": "bottom",
            "y": 1.08 if has_labels else 1.02,
            "x": 0,
        },
        "xaxis": x_axis,
        "yaxis": y_axis | _ticks(chart.unit),
        "bargap": 0.15,
        "barmode": "stack" if chart.is_stacked else "group",
    }


def _margin(*, has_labels: bool, has_legend: bool) -> dict[str, int]:
    """Return room for what stands beside the lines. Where it is too little, Plotly makes more, by drawing twice."""
    above = (62 if has_labels else 44) if has_legend else (48 if has_labels else 24)
    return {"l": 44, "r": 8, "t": above, "b": 44}


def _highest(chart: Chart) -> float:
    return max((value for series in chart.series for _, value in series.points if value is not None), default=0.0)


def _is_lowest(line: Threshold, chart: Chart) -> bool:
    """Return whether *line* is the lowest of several; its label then stands below it, out of the others' way."""
    return len(chart.thresholds) > 1 and line.value == min(other.value for other in chart.thresholds)


def _ticks(unit: str) -> dict[str, Any]:
    match unit:
        case "ratio":
            return {"tickformat": "~%"}
        case "s" | "seconds":
            return {"ticksuffix": " s"}
        case "usd" | "USD":
            return {"tickprefix": "$"}
        case "bytes":
            return {"tickformat": "~s", "ticksuffix": "B"}
        case _:
            return {"tickformat": ",~s"}


def _add_mark(figure: "Figure", mark: Mark, zone: tzinfo, interval: Interval | None) -> None:
    tone = TONES[mark.tone]
    is_late = interval is not None and mark.at > interval.since + interval.length / 2
    side = "right" if is_late else "left"
    # Plotly reads tags in it, and people write titles.
    label = {"text": html.escape(mark.label, quote=False), "font": {"size": 11, "color": tone}, "textangle": 0}
    if mark.until is None:
        # A shape and its annotation apart: Plotly cannot average two date strings to place a label.
        x = _local(mark.at, zone)
        figure.add_shape(
            type="line", x0=x, x1=x, y0=0, y1=1, yref="paper", line={"color": tone, "width": 1, "dash": "dot"}
        )
    else:
        x, end = _local(mark.at, zone), _local(mark.until, zone)
        figure.add_shape(
            type="rect", x0=x, x1=end, y0=0, y1=1, yref="paper", fillcolor=tone, opacity=0.16, line={"width": 0}
        )
    if mark.label:
        figure.add_annotation(x=x, y=1, yref="paper", showarrow=False, yanchor="bottom", xanchor=side, **label)


def _local(moment: datetime, zone: tzinfo) -> str:
    """Return *moment* in *zone* as Plotly wants it: without an offset, which it would ignore."""
    return moment.astimezone(zone).replace(tzinfo=None).isoformat(sep=" ", timespec="milliseconds")
