"""A run over time: one lane a step, its segments as bars; many steps are summarised so that the page stays fluent.

:func:`lanes_of` decides what is drawn and knows nothing of Plotly or Streamlit; :func:`draw` draws it. Colours are the
theme's, by the stand-ins that Streamlit replaces in the browser, so that light and dark need no second figure; each
kind has a pattern too.
"""

import html
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Any, Literal

import streamlit as st

from analytics.store.queries.timeline import Segment, Timeline
from dashboard import formats
from dashboard.zone import viewer_zone
from worker.workflow.definition import definition_id

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

Show = Literal["all", "critical", "slowest", "failed"]

MOST_LANES = 60
"""More lanes than this are folded: items of a fan-out into one lane, then the shortest steps into another."""
MOST_BARS_PER_LANE = 120
_SLOWEST = 20
_LEAST_STEP = timedelta(seconds=4)
_STEPS = 40
_LANE_PX = 24
_FRAME_PX = 86
_MOST_PX = 620
_LABEL_CHARACTERS = 30
_RUN = "The run"
"""Label of the lane of the run itself, its time in the queue."""
_TIMES = "\N{MULTIPLICATION SIGN}"
_FAILED = frozenset({"failed", "needs_attention"})


@dataclass(frozen=True, slots=True)
class _Look:
    word: str
    colour: str
    """A stand-in of Streamlit's for a colour of the theme."""
    pattern: str = ""


_BLUE, _GREEN, _ORANGE, _VIOLET, _RED, _GRAY = ("#000001", "#000002", "#000003", "#000004", "#000006", "#000008")
_LOOKS: Mapping[str, _Look] = {
    "queue": _Look("In the queue", _GRAY, "."),
    "wait": _Look("Waits for a slot", _GRAY, "/"),
    "run": _Look("Runs", _BLUE),
    "failed": _Look("Runs, and fails", _RED, "x"),
    "retry": _Look("Attempt that failed", _ORANGE, "\\"),
    "cache": _Look("From the cache", _GREEN),
    "parked": _Look("Parked", _VIOLET, "-"),
}


@dataclass(frozen=True, slots=True)
class Bar:
    """A stretch of time in which one thing was so, for one step or for several at once."""

    kind: str
    """A key of the looks: a kind of segment, or ``failed`` for an execution that failed."""
    began: datetime
    ended: datetime
    is_open: bool
    """Whether it still goes on; ``ended`` is then the present."""
    count: int = 1


@dataclass(frozen=True, slots=True)
class Lane:
    """One row: a step, the items of a fan-out together, or the steps that found no row of their own."""

    label: str
    node_id: str | None
    """None for the lane of the others."""
    map_index: int
    bars: Sequence[Bar]
    is_critical: bool = False

    @property
    def began(self) -> datetime:
        """Return when its first bar begins."""
        return min(bar.began for bar in self.bars)

    @property
    def busy(self) -> timedelta:
        """Return how long something of it was executed."""
        return sum((bar.ended - bar.began for bar in self.bars if bar.kind not in {"queue", "wait"}), timedelta())


@dataclass(frozen=True, slots=True)
class Picture:
    """What is drawn of a timeline."""

    lanes: Sequence[Lane]
    note: str | None
    """What the reader must know of it, for example that steps are summarised."""


_Key = tuple[str, int]


def lanes_of(
    timeline: Timeline,
    *,
    now: datetime,
    critical: Collection[str] = (),
    names: Mapping[str, str] | None = None,
    show: Show = "all",
) -> Picture:
    """Return the lanes of *timeline*, at most :data:`MOST_LANES` and the one of the others, in order of their begin.

    Args:
        timeline: The segments of the run.
        now: The present, at which open segments end.
        critical: Ids of the nodes on the critical path.
        names: Names of nodes where they have one beside their id.
        show: Which steps; ``slowest`` are the twenty that were executed longest.
    """
    by_step: dict[_Key, list[Segment]] = defaultdict(list)
    for segment in timeline.segments:
        by_step[segment.node_id, segment.map_index].append(segment)
    total = len(by_step)
    groups: dict[_Key, list[list[Segment]]] = {key: [segments] for key, segments in by_step.items()}
    folded = len(groups) > MOST_LANES
    if folded:
        groups = _by_definition(by_step)
    lanes = [_lane(key, steps, now, set(critical), names or {}) for key, steps in groups.items()]
    lanes = _chosen(lanes, show)
    others: Sequence[Lane] = ()
    if len(lanes) > MOST_LANES:
        ranked = sorted(lanes, key=_rank)
        lanes, others = ranked[: MOST_LANES - 1], ranked[MOST_LANES - 1 :]
    lanes = sorted(lanes, key=lambda lane: (lane.began, lane.label))
    if others:
        lanes.append(_together(others))
    return Picture(lanes, _note(total, len(lanes), others=len(others)) if folded or others else None)


def _by_definition(by_step: Mapping[_Key, list[Segment]]) -> dict[_Key, list[list[Segment]]]:
    found: dict[_Key, list[list[Segment]]] = defaultdict(list)
    for (node_id, _), segments in by_step.items():
        found[definition_id(node_id), -1].append(segments)
    return found


def _lane(
    key: _Key, steps: Sequence[Sequence[Segment]], now: datetime, critical: set[str], names: Mapping[str, str]
) -> Lane:
    node_id, map_index = key
    name = names.get(definition_id(node_id), node_id) or _RUN
    bars = [_bar(segment, now) for segments in steps for segment in segments]
    if len(steps) > 1:
        failed = sum(any(segment.status in _FAILED for segment in segments) for segments in steps)
        name = f"{name} {_TIMES}{len(steps):,}" + (f" ({failed:,} failed)" if failed else "")
        bars = merged(bars)
    elif map_index >= 0:
        name = f"{name} [{map_index}]"
    return Lane(name, node_id, map_index, bars, definition_id(node_id) in critical)


def _bar(segment: Segment, now: datetime) -> Bar:
    kind = "failed" if segment.kind == "run" and segment.status in _FAILED else segment.kind
    ended = max(segment.ended or now, segment.began)
    return Bar(kind, segment.began, ended, segment.ended is None)


def _chosen(lanes: list[Lane], show: Show) -> list[Lane]:
    match show:
        case "critical":
            return [lane for lane in lanes if lane.is_critical]
        case "failed":
            return [lane for lane in lanes if _has_failed(lane)]
        case "slowest":
            return sorted(lanes, key=lambda lane: -lane.busy)[:_SLOWEST]
        case _:
            return lanes


def _has_failed(lane: Lane) -> bool:
    return any(bar.kind in {"failed", "retry"} for bar in lane.bars)


def _rank(lane: Lane) -> tuple[bool, bool, bool, timedelta]:
    """Order lanes by how much a reader wants to see them: failures, what goes on, the critical path, the longest."""
    is_open = any(bar.is_open for bar in lane.bars)
    return (not _has_failed(lane), not is_open, not lane.is_critical, -lane.busy)


def _together(lanes: Sequence[Lane]) -> Lane:
    bars = merged(bar for lane in lanes for bar in lane.bars)
    return Lane(f"{formats.plural(len(lanes), 'other step')}", None, -1, bars)


def merged(bars: Iterable[Bar], most: int = MOST_BARS_PER_LANE) -> list[Bar]:
    """Return *bars* with those of one kind joined where they touch or overlap, and at gaps too small to see.

    Each says how many it stands for; there are at most about *most* of them.
    """
    by_kind: dict[str, list[Bar]] = defaultdict(list)
    for bar in bars:
        by_kind[bar.kind].append(bar)
    if not by_kind:
        return []
    first = min(bar.began for found in by_kind.values() for bar in found)
    last = max(bar.ended for found in by_kind.values() for bar in found)
    gap = (last - first) / max(1, most // len(by_kind))
    joined: list[Bar] = []
    for kind, found in by_kind.items():
        found.sort(key=lambda bar: bar.began)
        began, ended, is_open, count = found[0].began, found[0].ended, found[0].is_open, found[0].count
        for bar in found[1:]:
            if bar.began > ended + gap:
                joined.append(Bar(kind, began, ended, is_open, count))
                began, ended, is_open, count = bar.began, bar.ended, bar.is_open, bar.count
                continue
            ended, is_open, count = max(ended, bar.ended), is_open or bar.is_open, count + bar.count
        joined.append(Bar(kind, began, ended, is_open, count))
    return joined


def _note(total: int, lanes: int, *, others: int) -> str:
    words = f"{formats.plural(total, 'step')} in {formats.plural(lanes, 'lane')}: items of a fan-out share one"
    return f"{words}; the {others:,} shortest are drawn together." if others else f"{words}."


def figure(picture: Picture, timeline: Timeline, *, now: datetime, zone: tzinfo = UTC) -> "Figure":
    """Return the Plotly figure of *picture*; a bar's ``customdata`` begins with the place of its lane."""
    import plotly.graph_objects as go  # noqa: PLC0415 - heavy; other views do without

    figure = go.Figure(layout=_layout(picture))
    found: dict[str, list[tuple[int, Bar]]] = defaultdict(list)
    for place, lane in enumerate(picture.lanes):
        for bar in lane.bars:
            found[bar.kind].append((place, bar))
    for kind, look in _LOOKS.items():
        if found[kind]:
            figure.add_trace(_trace(go, look, found[kind], picture.lanes, begin=timeline.begin, zone=zone))
    if any(bar.is_open for lane in picture.lanes for bar in lane.bars):
        x = _local(now, zone)
        figure.add_shape(
            type="line", x0=x, x1=x, y0=0, y1=1, yref="paper", line={"color": _RED, "width": 1, "dash": "dot"}
        )
    return figure


def steady(now: datetime, begin: datetime) -> datetime:
    """Return *now*, a little later, so that it stays the same for a while.

    The drawing is mounted anew whenever anything of it changes; what goes on would change it at each look.
    """
    step = _LEAST_STEP
    while step * _STEPS < now - begin:
        step *= 2
    return begin + step * -(-(now - begin) // step)


def _trace(
    go: Any, look: _Look, bars: Sequence[tuple[int, Bar]], lanes: Sequence[Lane], *, begin: datetime, zone: tzinfo
) -> Any:
    seconds = [(bar.ended - bar.began).total_seconds() for _, bar in bars]
    ends = [_last(lane) for lane in lanes]
    return go.Bar(
        orientation="h",
        name=look.word,
        y=[place for place, _ in bars],
        base=[_local(bar.began, zone) for _, bar in bars],
        x=[max(1.0, length * 1000) for length in seconds],
        text=[
            formats.duration(lanes[place].busy) if lanes[place].busy and bar is ends[place] else ""
            for place, bar in bars
        ],
        textposition="outside",
        textfont={"size": 11},
        cliponaxis=False,
        customdata=[
            [
                place,
                html.escape(lanes[place].label),
                f"{look.word} {formats.duration(length)}" + (" so far" if bar.is_open else ""),
                f"from {formats.duration(max(0.0, (bar.began - begin).total_seconds()))} after the begin",
                f"{_TIMES}{bar.count:,}" if bar.count > 1 else "",
            ]
            for (place, bar), length in zip(bars, seconds, strict=True)
        ],
        hovertemplate="<b>%{customdata[1]}</b><br>%{customdata[2]} %{customdata[4]}<br>%{customdata[3]}<extra></extra>",
        marker={
            "color": look.colour,
            "pattern": {"shape": look.pattern, "size": 5, "solidity": 0.25},
            "line": {"color": look.colour, "width": 1},
        },
    )


def _last(lane: Lane) -> Bar:
    """Return the bar that ends last: how long the lane was busy stands beside it."""
    return max(lane.bars, key=lambda bar: bar.ended)


def _layout(picture: Picture) -> dict[str, Any]:
    labels = [_tick(lane) for lane in picture.lanes]
    return {
        "height": _FRAME_PX + _LANE_PX * max(2, len(picture.lanes)),
        "margin": {"l": 8, "r": 64, "t": 40, "b": 8},
        "barmode": "overlay",
        "bargap": 0.35,
        "hovermode": "closest",
        "clickmode": "event+select",
        "showlegend": True,
        "legend": {"orientation": "h", "yref": "container", "y": 1, "yanchor": "top", "x": 0},
        "xaxis": {"type": "date", "showgrid": True, "zeroline": False},
        "yaxis": {
            "tickmode": "array",
            "tickvals": list(range(len(labels))),
            "ticktext": labels,
            "range": [len(labels) - 0.4, -0.6],
            "automargin": True,
            "showgrid": False,
            "zeroline": False,
            "fixedrange": True,
        },
    }


def _tick(lane: Lane) -> str:
    text = lane.label if len(lane.label) <= _LABEL_CHARACTERS else f"{lane.label[: _LABEL_CHARACTERS - 1]}…"
    return f"<b>\N{BLACK DIAMOND SUIT} {html.escape(text)}</b>" if lane.is_critical else html.escape(text)


def draw(picture: Picture, timeline: Timeline, *, now: datetime, key: str) -> Lane | None:
    """Draw *picture*; return the lane that was clicked just now, or None."""
    shown = figure(picture, timeline, now=now, zone=viewer_zone())
    height = int(shown.layout.height)
    with st.container(height=_MOST_PX, border=False) if height > _MOST_PX else st.container():
        state: Any = st.plotly_chart(
            shown,
            key=key,
            alt=alt_of(picture),
            on_select="rerun",
            selection_mode="points",
            config={"displaylogo": False, "modeBarButtonsToRemove": ["lasso2d", "select2d", "autoScale2d"]},
        )
    return _clicked(state, picture, seen_key=f"{key}.seen")


def _clicked(state: Any, picture: Picture, *, seen_key: str) -> Lane | None:
    points = (state or {}).get("selection", {}).get("points", [])
    place = int(points[0]["customdata"][0]) if points and points[0].get("customdata") else None
    if place == st.session_state.get(seen_key):
        return None
    st.session_state[seen_key] = place
    return picture.lanes[place] if place is not None and place < len(picture.lanes) else None


def alt_of(picture: Picture) -> str:
    """Return what the drawing shows, in words."""
    kinds = Counter(bar.kind for lane in picture.lanes for bar in lane.bars)
    held = ", ".join(_LOOKS[kind].word.lower() for kind in _LOOKS if kinds[kind])
    longest = max(picture.lanes, key=lambda lane: lane.busy, default=None)
    words = f"Time line of {formats.plural(len(picture.lanes), 'lane')}: {held}."
    return words if longest is None else f"{words} The longest is {longest.label}, {formats.duration(longest.busy)}."


def _local(moment: datetime, zone: tzinfo) -> str:
    return moment.astimezone(zone).replace(tzinfo=None).isoformat(sep=" ", timespec="milliseconds")
