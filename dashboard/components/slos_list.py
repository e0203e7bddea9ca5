"""The list of objectives: what it is narrowed to, grouped and sorted by, kept in the URL; and its tables."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from analytics.slo import Objective, SloReport, SloState, SloStatus
from dashboard import formats
from dashboard.components import slos, states, tables
from dashboard.components.status import SLO_LOOKS

FIND, STANDING, SERVICE, GROUP, SORT = "named", "standing", "service", "group", "sort"
"""Keys of the widgets, and names in the URL."""
KEYS = (FIND, STANDING, SERVICE)
"""Those that narrow the list."""
WORST_FIRST = (
    SloState.EXHAUSTED,
    SloState.DEGRADED,
    SloState.AT_RISK,
    SloState.INSUFFICIENT_DATA,
    SloState.NO_DATA,
    SloState.HEALTHY,
)
TROUBLE = WORST_FIRST[:3]
NO_GROUPS = "No groups"
_LABEL = "Label "
_NONE = "None"
_MOST_NAMES = 5
_NOTHING: Mapping[str, Any] = {FIND: "", STANDING: [], SERVICE: []}


def _left(status: SloStatus) -> float:
    """Return the share of the budget that is left, for sorting; what is not known comes last."""
    return float("inf") if status.budget is None else status.budget.remaining_ratio


def _burn(status: SloStatus) -> float:
    return max((rate for rate in status.burn_rates.values() if rate is not None), default=-1.0)


SORTS: Mapping[str, Callable[[SloStatus], tuple[float, float]]] = {
    "Worst first": lambda status: (WORST_FIRST.index(status.state), _left(status)),
    "Budget left": lambda status: (_left(status), 0.0),
    "Burn rate": lambda status: (-_burn(status), 0.0),
    "Coverage": lambda status: (status.coverage_ratio, 0.0),
    "Name": lambda _: (0.0, 0.0),
}
"""What the list can be sorted by; within the same, by name."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the list is narrowed to, grouped and sorted by."""

    find: str = ""
    standing: tuple[SloState, ...] = ()
    services: tuple[str, ...] = ()
    group: str = NO_GROUPS
    sort: str = "Worst first"

    @property
    def is_narrowed(self) -> bool:
        """Tell whether it leaves anything out."""
        return bool(self.find or self.standing or self.services)


@dataclass(frozen=True, slots=True)
class Group:
    """Objectives that belong together."""

    name: str | None
    """None when the list is not grouped."""
    statuses: Sequence[SloStatus]


def ways_to_group(objectives: Sequence[Objective]) -> list[str]:
    """Return what *objectives* can be grouped by: service, state, owner, and each label that one has."""
    labels = sorted({name for item in objectives for name in item.labels})
    owner = ["Owner"] if any(item.owner for item in objectives) else []
    return [NO_GROUPS, "Service", "State", *owner, *(_LABEL + name for name in labels)]


def group_of(status: SloStatus, way: str) -> str | None:
    """Return the name of the group that an objective is in, or None when there are no groups."""
    item = status.objective
    match way:
        case "Service":
            return item.service
        case "State":
            return slos.look(status).word
        case "Owner":
            return item.owner or _NONE
        case _:
            return item.labels.get(way.removeprefix(_LABEL), _NONE) if way.startswith(_LABEL) else None


def arranged(statuses: Sequence[SloStatus], wanted: Wanted) -> list[Group]:
    """Return the objectives that are wanted, sorted, in groups; the group of the first one first."""
    kept = [status for status in statuses if _fits(status, wanted)]
    sort = SORTS.get(wanted.sort, SORTS["Worst first"])
    kept.sort(key=lambda status: (*sort(status), status.objective.title.lower()))
    groups: dict[str | None, list[SloStatus]] = {}
    for status in kept:
        groups.setdefault(group_of(status, wanted.group), []).append(status)
    return [Group(name, found) for name, found in groups.items()]


def _fits(status: SloStatus, wanted: Wanted) -> bool:
    item = status.objective
    text = " ".join((item.id, item.title, item.service, item.description, item.owner or "", *item.labels.values()))
    return (
        all(word in text.lower() for word in wanted.find.lower().split())
        and (not wanted.standing or status.state in wanted.standing)
        and (not wanted.services or item.service in wanted.services)
    )


def draw_bar(objectives: Sequence[Objective]) -> Wanted:
    """Draw the search, the filters, the grouping and the order; return what is wanted."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small", key="slos.bar"):
        find = st.text_input(
            "Search objectives",
            type="search",
            live="300ms",
            placeholder="Name, service, label",
            label_visibility="collapsed",
            key=FIND,
            bind="query-params",
            width=240,
        )
        services = st.multiselect(
            "Service",
            sorted({item.service for item in objectives}),
            key=SERVICE,
            bind="query-params",
            placeholder="Any service",
            label_visibility="collapsed",
            width=220,
        )
        group = st.selectbox(
            "Group by",
            ways_to_group(objectives),
            key=GROUP,
            bind="query-params",
            label_visibility="collapsed",
            icon=":material/workspaces:",
            width=170,
        )
        sort = st.selectbox(
            "Sort by",
            list(SORTS),
            key=SORT,
            bind="query-params",
            label_visibility="collapsed",
            icon=":material/sort:",
            width=170,
        )
        clear = st.container(width="content")
    standing = st.pills(
        "State",
        WORST_FIRST,
        selection_mode="multi",
        format_func=lambda state: SLO_LOOKS[state].word,
        label_visibility="collapsed",
        key=STANDING,
        bind="query-params",
    )
    wanted = Wanted(find or "", tuple(standing), tuple(services), group or NO_GROUPS, sort or "Worst first")
    if wanted.is_narrowed:
        clear.button("Clear", icon=":material/filter_alt_off:", key="slos.clear", type="tertiary", on_click=_clear)
    return wanted


def _clear() -> None:
    for key in KEYS:
        st.session_state[key] = _NOTHING[key]


def draw_summary(report: SloReport) -> None:
    """Draw how many objectives are met and missed, and which need somebody."""
    summary = report.summary
    with st.grid(4, min_column_width=150, key="slos.summary"):
        st.metric("Met", f"{summary.compliant} of {summary.total}", border=True)
        st.metric("Missed", summary.violated, border=True)
        st.metric("Not known yet", summary.unknown, border=True, help="Too little was measured to say.")
        st.metric("Budgets used up", summary.budgets_exhausted, border=True)
    missed = [status for status in report.statuses if status.compliant is False]
    if missed:
        st.warning(f"Missed in its window: {_names(missed)}.", icon=":material/warning:")
    stopped = [status for status in report.statuses if status.is_stale and status.measured_at is not None]
    if stopped:
        which = "all objectives" if len(stopped) == len(report.statuses) else _names(stopped)
        st.warning(f"Data have stopped of {which}; burn rates are of that time.", icon=":material/history:")
    if any(status.includes_demo for status in report.statuses):
        st.markdown(":violet-badge[:material/science: Demo data] The ledger includes demo history.")


def _names(statuses: Sequence[SloStatus]) -> str:
    names = ", ".join(status.objective.title for status in statuses[:_MOST_NAMES])
    more = len(statuses) - _MOST_NAMES
    return formats.escaped(names) + (f" and {more} more" if more > 0 else "")


def draw_groups(groups: Sequence[Group], trends: Mapping[str, Sequence[float | None]]) -> SloStatus | None:
    """Draw the objectives, a table for each group; return the one whose button was clicked just now.

    Args:
        groups: What to draw.
        trends: Share of the budget left over the window of each objective, by id.
    """
    opened = None
    columns = slos.columns(trends, with_alerts=any(status.alerts for group in groups for status in group.statuses))
    for group in groups:
        if group.name is not None:
            st.markdown(f"**{formats.escaped(group.name)}** {_counts(group.statuses)}")
        row = tables.table(
            group.statuses,
            columns,
            alt=f"Objectives{f' of {group.name}' if group.name else ''} with state, error budget, burn and coverage",
            key=f"slos.table.{group.name or ''}",
            can_open=True,
            height="content",
        )
        opened = group.statuses[row] if row is not None else opened
    if not groups:
        states.empty("No objective fits", "Clear the filters to see all of them.", icon=":material/filter_alt_off:")
    return opened


def _counts(statuses: Sequence[SloStatus]) -> str:
    counts = [(slos.look(status), status.state) for status in statuses]
    found = sorted({state: look for look, state in counts}.items(), key=lambda item: WORST_FIRST.index(item[0]))
    return " ".join(
        f":{look.colour}-badge[{look.icon} {sum(state == other for _, other in counts)} {look.word.lower()}]"
        for state, look in found
    )
