"""Workflows: the columns of their list, what became of their runs, their graph and text, the form that starts one."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, time, timedelta
from typing import Any

import streamlit as st

from analytics.core.clock import Interval
from analytics.store.queries.workflows import DayStats, WorkflowDetail, WorkflowRow, WorkflowStats
from dashboard import formats
from dashboard.components import charts, forms, states
from dashboard.components.charts import Chart, Series
from dashboard.components.graph import graph
from dashboard.components.graph.runs import graph_height, run_graph
from dashboard.components.status import Look
from dashboard.components.tables import Column
from dashboard.workflow_actions import StartOptions
from dashboard.zone import viewer_zone
from worker.workflow.definition import Definition
from worker.workflow.exchange import export_text

EXAMPLE = """\
# What a customer has not paid yet. Change it, or open a file.
name: open-orders
description: Sum the open orders of a customer.
params:
  type: object
  required: [customer]
  properties:
    customer: {type: string, title: Customer, default: Ada}
nodes:
  - id: orders
    kind: transform
    config:
      input:
        - {customer: Ada, amount: 120, paid: true}
        - {customer: Ada, amount: 80, paid: false}
        - {customer: Grace, amount: 45, paid: false}
      steps:
        - where: [{field: customer, is: "==", value: "{{ params.customer }}"}]
        - where: [{field: paid, is: "==", value: false}]
  - id: total
    kind: transform
    needs: [orders]
    config:
      input: "{{ nodes.orders.output }}"
      steps:
        - group: {aggregates: [{as: total, do: sum, field: amount}, {as: orders, do: count}]}
output: "{{ nodes.total.output }}"
"""
_WORRYING_BELOW = 0.9
_MOST_TAGS = 20
_SMALL = 12

nodes_of = run_graph
"""Nodes and edges of a definition, with the states of a run."""

_NEVER = Look("Never ran", ":material/bedtime:", "gray")
_SILENT = Look("No run in 30 days", ":material/bedtime:", "gray")
_GOOD = Look("Healthy", ":material/check_circle:", "green")
_FAILING = Look("Fails often", ":material/error:", "red")
_BUSY = Look("Running", ":material/progress_activity:", "blue")


def look_of_row(row: WorkflowRow) -> Look:
    """Return in a word how a workflow does: nothing is said of one that never ran."""
    if row.last_run_at is None and not row.open_runs:
        return _NEVER
    if row.success_ratio is None:
        return _BUSY if row.open_runs else _SILENT
    return _FAILING if row.success_ratio < _WORRYING_BELOW else _GOOD


COLUMNS: list[Column[WorkflowRow]] = [
    Column("Workflow", lambda row: row.name),
    Column("State", look_of_row, "state", help="Fails often: less than 90 % of the runs of 30 days succeeded."),
    Column("Runs, 30 d", lambda row: row.runs_30d, "number", width="small"),
    Column("Failed", lambda row: row.failed_30d, "number", width="small"),
    Column("Success", lambda row: row.success_ratio, "ratio", width="small"),
    Column("Average", lambda row: row.average_s, "seconds", width="small"),
    Column("Last run", lambda row: row.last_run_at, "moment"),
    Column("Next run", lambda row: row.next_at, "moment", help="By a schedule that is not paused."),
    Column("Description", lambda row: row.description, width="medium"),
    Column("Version", lambda row: row.current_version, "number", width="small"),
    Column("Kind", lambda row: "shipped" if row.builtin else row.origin, width="small"),
]


def draw_title(row: WorkflowRow) -> None:
    """Draw what a workflow is called and what is known of it at once."""
    st.header(formats.escaped(row.name), anchor=False)
    badges = [look_of_row(row).badge, f":gray-badge[version {row.current_version}]"]
    badges += [":blue-badge[:material/inventory_2: shipped]"] if row.builtin else []
    badges += [f":violet-badge[:material/sell: {formats.escaped(tag)}]" for tag in row.tags[:_MOST_TAGS]]
    if row.open_runs:
        badges.append(f":blue-badge[:material/progress_activity: {formats.plural(row.open_runs, 'run')} under way]")
    st.markdown(" ".join(badges))
    st.caption(formats.escaped(row.description) or "No description.")


def draw_stats(row: WorkflowRow, stats: WorkflowStats) -> None:
    """Draw the figures of 30 days, and the days as bars; one that never ran says so instead."""
    if row.last_run_at is None and stats.samples == 0:
        states.empty(
            "Never ran",
            "No run has ended yet. Start one, give it a schedule or a trigger: its figures appear here.",
            icon=":material/bedtime:",
        )
        return
    ended = stats.completed + stats.failed + stats.cancelled
    newest = f"of the newest {formats.plural(stats.samples, 'completed run')}, however old"
    with st.grid(6, min_column_width=130, key="workflow.figures"):
        st.metric("Runs, 30 days", f"{ended:,}", border=True, help="Runs that ended, by the day they were created.")
        st.metric(
            "Success", formats.percent(stats.success_ratio), border=True, help="Completed of completed and failed."
        )
        st.metric("Failed", f"{stats.failed:,}", border=True)
        st.metric("Usual time", formats.duration(stats.p50_s), border=True, help=f"Median {newest}.")
        st.metric("95 of 100 within", formats.duration(stats.p95_s), border=True, help=f"95th percentile {newest}.")
        st.metric("Waits", formats.duration(stats.average_wait_s), border=True, help="Mean time from queued to start.")
    if ended:
        charts.draw(days_chart(stats.days), key="workflow.days")
    else:
        st.caption("No run ended in the last 30 days; times are those of runs before.")


def days_chart(days: Sequence[DayStats]) -> Chart:
    """Return the runs of each day by what became of them; days are UTC."""
    starts = [datetime.combine(day.day, time(), UTC) for day in days]
    parts: list[tuple[str, str, Any]] = [
        ("Completed", "completed", "target"),
        ("Failed", "failed", "critical"),
        ("Cancelled", "cancelled", "note"),
    ]
    total = sum(day.completed + day.failed + day.cancelled for day in days)
    return Chart(
        alt=f"Runs of the last {len(days)} days by day: {total} in all, {sum(day.failed for day in days)} failed",
        unit="count",
        series=[
            Series(title, [(at, getattr(day, name)) for at, day in zip(starts, days, strict=True)], "bar", tone)
            for title, name, tone in parts
        ],
        interval=Interval(starts[0] - timedelta(hours=12), starts[-1] + timedelta(hours=12)) if starts else None,
        height=200,
        from_zero=True,
        is_stacked=True,
    )


def is_large(spec: Mapping[str, Any]) -> bool:
    """Return whether the graph of a definition wants the whole width of the page."""
    items = list(spec.get("nodes") or ())
    return len(items) > _SMALL or any(item.get("body") for item in items)


def draw_definition(detail: WorkflowDetail) -> None:
    """Draw a workflow's graph, and its definition as text."""
    nodes, edges = nodes_of(detail.spec)
    graph(
        nodes,
        edges,
        key=f"workflow.graph.{detail.row.name}",
        height=graph_height(detail.spec),
        label=f"The {formats.plural(len(nodes), 'node')} of {detail.row.name} and what each needs",
        levels=len(nodes) > 1,
    )
    with st.expander(f"Definition, version {detail.row.current_version}", icon=":material/code:"):
        st.code(source_of(detail.spec), language=None)


def source_of(spec: Mapping[str, Any]) -> str:
    """Return a definition as YAML, without what is so anyway."""
    return export_text(Definition.from_spec(spec))


def start_form(
    name: str, schema: Mapping[str, Any], versions: Sequence[int], *, disabled: bool
) -> tuple[dict[str, Any], StartOptions] | None:
    """Draw the form that starts a run; return parameters and options on the run in which it was sent."""
    st.markdown("**Start a run**")
    if disabled:
        st.caption(":material/lock: Starting a run needs the role operator.")
    options = _start_options(name, versions, disabled=disabled)
    params = forms.draw_form(
        schema, key=f"start.{name}", submit="Start", icon=":material/play_arrow:", disabled=disabled
    )
    return None if params is None else (params, options)


def _start_options(name: str, versions: Sequence[int], *, disabled: bool) -> StartOptions:
    key = f"start.options.{name}"
    with st.expander("Priority, tags and more", icon=":material/tune:"):
        left, right = st.columns(2)
        with left:
            priority = st.number_input(
                "Priority",
                min_value=-100,
                max_value=100,
                value=0,
                step=1,
                key=f"{key}.priority",
                disabled=disabled,
                help="Higher overtakes what was queued a little earlier; waiting runs age, so none waits for ever.",
            )
        with right:
            version = st.selectbox(
                "Version",
                [None, *versions],
                format_func=lambda number: "Current" if number is None else f"Version {number}",
                key=f"{key}.version",
                disabled=disabled,
            )
        tags = st.multiselect(
            "Tags",
            [],
            accept_new_options=True,
            max_selections=_MOST_TAGS,
            placeholder="Type a tag and press Enter",
            key=f"{key}.tags",
            disabled=disabled,
        )
        once = st.text_input(
            "Idempotency key",
            max_chars=200,
            key=f"{key}.key",
            disabled=disabled,
            help="A second start with this key gives the first run again, also after it ended.",
        )
        cached = st.checkbox(
            "Use results kept from earlier runs",
            value=True,
            key=f"{key}.cache",
            disabled=disabled,
            help="Without it every node is executed; what comes out is still kept.",
        )
    return StartOptions(int(priority), tuple(tags), once or None, bool(cached), version)


def moment_words(moment: datetime | None) -> str:
    """Return a time in the reader's zone."""
    return formats.moment(moment, viewer_zone(), seconds=False)
