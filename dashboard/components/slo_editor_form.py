"""The form of an objective: each field is a place in its text, and changing one writes the text anew."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import streamlit as st

from analytics.core.source import plain_scalar
from analytics.slo.model import CalendarUnit, CompositeMode
from dashboard import formats
from dashboard.components.slo_editor import NEVER

Change = Callable[[str, Any], None]
"""Puts a value at a place in the text; None takes it out."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field: where it stands in the document, and how it is asked for."""

    path: str
    """Keys with dots between them."""
    label: str
    kind: Literal["line", "lines", "query", "value", "wait", "count", "words"] = "line"
    """Text, several lines of it, a query, text or number, a time or never, a whole number, or a list of words."""
    hint: str | None = None
    empty: str | None = None
    """What counts when nothing is given."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One way to count events."""

    title: str
    start: Mapping[str, Any]
    """What stands in the text when it is chosen."""
    fields: Sequence[Field]


_WINDOW_HINT = "Write {window} where the length of a bucket belongs."
_MATCHERS = Field("matchers", "Only series with", hint='Label matchers without braces, such as group="api".')
_LATENCY = (
    Field("histogram", "Histogram", hint="Name of the metric without _bucket and _count."),
    Field("threshold", "Good when not slower than", "value", hint="500ms, 2s, or a number in the histogram's unit."),
    _MATCHERS,
)
_EVENTS = {
    "total": "sum(increase(http_requests_total[{window}]))",
    "bad": 'sum(increase(http_requests_total{code=~"5.."}[{window}]))',
}
KINDS: Mapping[str, Kind] = {
    "events": Kind(
        "Events counted by Prometheus",
        _EVENTS,
        (Field("total", "All events", "query", hint=_WINDOW_HINT),),
    ),
    "latency": Kind(
        "Latency, classic histogram",
        {"histogram": "http_request_duration_seconds", "threshold": "500ms"},
        _LATENCY,
    ),
    "native_latency": Kind(
        "Latency, native histogram",
        {"histogram": "http_request_duration_seconds", "threshold": "500ms"},
        _LATENCY,
    ),
    "boolean": Kind(
        "Up or down (a gauge of 1 or 0)",
        {"metric": "probe_success"},
        (Field("metric", "Gauge"), _MATCHERS),
    ),
    "raw": Kind(
        "A ratio that Prometheus computes",
        {"query": "avg(some:error:ratio)", "kind": "error"},
        (
            Field("query", "Ratio, 0 to 1", "query", hint=_WINDOW_HINT),
            Field("kind", "It is the share of", hint="error or success"),
        ),
    ),
    "sql": Kind(
        "Rows of PostgreSQL",
        {"rows": "SELECT finished_at AS at, status = 'completed' AS good\nFROM run\nWHERE status <> 'cancelled'"},
        (Field("rows", "One SELECT with at and good", "query"),),
    ),
    "composite": Kind(
        "Other objectives together",
        {"mode": "weighted", "members": []},
        (),
    ),
}

_PROMISE = (
    Field("title", "Title"),
    Field("service", "Service"),
    Field("target", "Target", "value", hint="Share of events that must be good, such as 99.9%."),
    Field("owner", "Owner", empty="nobody"),
)
_ALERTS = (
    Field(
        "alerting.min_bad",
        "Bad events at least",
        "count",
        hint="Fewer in the long window never alert: noise of quiet services. 0 for no guard.",
        empty="3",
    ),
    Field("alerting.no_data_after", "No data alerts after", "wait", hint="Such as 30m, or never.", empty="30m"),
)
_SIDES = {"bad": "Bad events", "good": "Good events"}
_NEVER_WORD = "never"
_ROLLING, _CALENDAR = "rolling", "calendar"
_SLICED = {"timeslices": "Slices of time, good or bad", "ratio_timeslices": "Slices of time, each with its share"}
_BUDGETS = {"occurrences": "Events", **_SLICED}
_MODES = {
    CompositeMode.WEIGHTED: "Weighted mean",
    CompositeMode.WORST_OF: "The worst of them",
    CompositeMode.BURN_SUM: "Sum of their burn rates",
}


class Form:
    """Draws the fields of one document; *key* changes whenever the text was changed by anything but the form."""

    def __init__(
        self, document: Mapping[str, Any], *, key: str, problems: Sequence[Mapping[str, Any]], change: Change
    ) -> None:
        self._document = document
        self._key = key
        self._problems = problems
        self._change = change

    def draw(self, *, is_new: bool, others: Mapping[str, str]) -> None:
        """Draw all fields; *others* are the objectives a composite can be made of, titles by id."""
        with st.container(border=True):
            st.markdown("**What is promised**")
            with st.grid(2, min_column_width=200, gap="small"):
                if is_new:
                    self._field(Field("id", "Id", hint="Lower-case letters, digits, _, - and .; it never changes."))
                for field in _PROMISE:
                    self._field(field)
            self._field(Field("description", "What counts as good", "lines"))
            self._draw_window()
        with st.container(border=True):
            st.markdown("**How it is measured**")
            self._draw_indicator(others)
            self._draw_budget()
            self._field(Field("group_by", "Judged for each value of", "words", hint="Labels, such as region."))
        with st.container(border=True):
            st.markdown("**When it alerts**")
            with st.grid(2, min_column_width=200, gap="small"):
                for field in _ALERTS:
                    self._field(field)
            st.caption(
                "Pairs of burn windows follow from target and window. Pairs, labels and routing of your own are"
                " written under Text, below alerting."
            )

    # ---- Fields that change what other fields there are ----

    def _draw_window(self) -> None:
        window = self._value("window")
        kind = _CALENDAR if isinstance(window, Mapping) and _CALENDAR in window else _ROLLING
        with st.grid(3, min_column_width=140, gap="small"):
            self._choice(
                "Window",
                {_ROLLING: "Rolling", _CALENDAR: "Calendar"},
                kind,
                put=lambda chosen: self._change(
                    "window", {_ROLLING: "30d"} if chosen == _ROLLING else {_CALENDAR: "month", "zone": "UTC"}
                ),
            )
            if kind == _ROLLING:
                self._field(Field("window.rolling", "The last", "value", hint="30d, 28d, 7d, 24h …", empty="30d"))
                return
            unit = str(self._value("window.calendar"))
            units = {str(unit): str(unit).capitalize() for unit in CalendarUnit}
            self._choice("Each", units, unit, put=lambda chosen: self._change("window.calendar", chosen))
            self._field(Field("window.zone", "Time zone", hint="Such as Europe/Berlin.", empty="UTC"))

    def _draw_indicator(self, others: Mapping[str, str]) -> None:
        indicator = self._value("indicator")
        name = next((name for name in KINDS if isinstance(indicator, Mapping) and name in indicator), None)
        self._choice(
            "Indicator",
            {key: kind.title for key, kind in KINDS.items()},
            name,
            put=lambda chosen: self._change("indicator", {chosen: dict(KINDS[chosen].start)}),
        )
        if name is None:
            return
        for field in KINDS[name].fields:
            self._field(Field(f"indicator.{name}.{field.path}", field.label, field.kind, field.hint, field.empty))
        if name == "events":
            self._draw_side()
        if name == "sql":
            st.caption(
                ":material/info: The column at is a time, good true or false; further text columns are labels to group"
                " by. Objectives that read PostgreSQL are saved and tried by administrators."
            )
        if name == "composite":
            self._draw_members(others)

    def _draw_side(self) -> None:
        """Draw the query of the bad events, or that of the good ones: one of them says all."""
        path = "indicator.events"
        side = "good" if self._value(f"{path}.good") is not None else "bad"
        query = self._value(f"{path}.{side}")
        body = {name: part for name, part in dict(self._value(path) or {}).items() if name not in _SIDES}
        self._choice("Told apart by", _SIDES, side, put=lambda to: self._change(path, {**body, to: query}))
        self._field(Field(f"{path}.{side}", _SIDES[side], "query", hint=_WINDOW_HINT))
        self._draw_problems(path)

    def _draw_members(self, others: Mapping[str, str]) -> None:
        mode = str(self._value("indicator.composite.mode") or CompositeMode.WEIGHTED)
        modes = {str(mode): words for mode, words in _MODES.items()}
        self._choice("Taken together as", modes, mode, put=lambda to: self._change("indicator.composite.mode", to))
        members = self._value("indicator.composite.members")
        held = [item for item in members if isinstance(item, Mapping)] if isinstance(members, list) else []
        weights = {str(item.get("slo")): item.get("weight") for item in held}
        key = f"{self._key}.members"

        def put() -> None:
            chosen = [
                {"slo": name} if weights.get(name) is None else {"slo": name, "weight": weights[name]}
                for name in st.session_state[key]
            ]
            self._change("indicator.composite.members", chosen)

        names = {**{name: name for name in weights}, **others}
        st.multiselect(
            "Members",
            list(names),
            default=list(weights),
            format_func=lambda name: names.get(name, name),
            key=key,
            on_change=put,
            help="Weights are written under Text.",
        )
        self._draw_problems("indicator.composite.members")

    def _draw_budget(self) -> None:
        budgeting = self._value("budgeting")
        name = next((name for name in _SLICED if isinstance(budgeting, Mapping) and name in budgeting), "occurrences")

        def put(chosen: str) -> None:
            slices = {"length": "5m"} | ({"target": "95%"} if chosen == "timeslices" else {})
            self._change("budgeting", {chosen: slices} if chosen in _SLICED else None)

        with st.grid(3, min_column_width=140, gap="small"):
            self._choice("The budget counts", _BUDGETS, name, put=put)
            if name in _SLICED:
                self._field(Field(f"budgeting.{name}.length", "Length of a slice", "value", empty="5m"))
            if name == "timeslices":
                self._field(
                    Field(f"budgeting.{name}.target", "A slice is good from", "value", "Share of good events.", "95%")
                )

    # ---- One widget each ----

    def _field(self, field: Field) -> None:
        key = f"{self._key}.{field.path}"
        value = self._value(field.path)
        if field.kind == "wait" and value is None and self._has(field.path):
            value = _NEVER_WORD
        shared: dict[str, Any] = {
            "key": key,
            "help": field.hint,
            "on_change": lambda: self._change(field.path, _read(field, st.session_state[key])),
        }
        with st.container(gap="xxsmall"):
            match field.kind:
                case "words":
                    words = [str(item) for item in value] if isinstance(value, list) else []
                    st.multiselect(
                        field.label, words, default=words, accept_new_options=True, placeholder="The whole", **shared
                    )
                case "count":
                    number = value if isinstance(value, int) and not isinstance(value, bool) else None
                    st.number_input(field.label, value=number, min_value=0, step=1, placeholder=field.empty, **shared)
                case "lines" | "query":
                    height = 68 if field.kind == "lines" else 96
                    st.text_area(field.label, value=_shown(value), height=height, placeholder=field.empty, **shared)
                case _:
                    st.text_input(field.label, value=_shown(value), placeholder=field.empty, **shared)
            self._draw_problems(field.path)

    def _choice(
        self, label: str, options: Mapping[str, str], chosen: str | None, *, put: Callable[[str], None]
    ) -> None:
        key = f"{self._key}.choose.{label}"
        names = list(options)
        st.selectbox(
            label,
            names,
            index=names.index(chosen) if chosen is not None and chosen in options else None,
            format_func=lambda name: options.get(name, name),
            placeholder="Choose",
            key=key,
            on_change=lambda: put(st.session_state[key]),
        )

    def _draw_problems(self, path: str) -> None:
        for problem in self._problems:
            if str(problem.get("path", "")) == path:
                st.markdown(f":red[:material/error: {formats.escaped(str(problem['reason']))}]")

    def _has(self, path: str) -> bool:
        outer, _, last = path.rpartition(".")
        holder = self._value(outer)
        return isinstance(holder, Mapping) and last in holder

    def _value(self, path: str) -> Any:
        value: Any = self._document
        for part in path.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        return value


def _read(field: Field, typed: Any) -> Any:
    """Return what stands in the document for what was typed; None for nothing."""
    if typed is None or typed in ("", []):
        return None
    if field.kind == "wait" and str(typed).strip() == _NEVER_WORD:
        return NEVER
    if field.kind == "value":
        return plain_scalar(str(typed).strip())
    return typed


def _shown(value: Any) -> str:
    return "" if value is None else str(value)
