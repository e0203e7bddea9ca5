"""Workflows: the columns of their list, their definition as a graph and as text, and the form that takes a new one."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st
import yaml

from analytics.store.queries.runs import NodeRow
from analytics.store.queries.workflows import WorkflowDetail, WorkflowRow
from dashboard import formats
from dashboard.components.graph import graph
from dashboard.components.status import RUN_LOOKS
from dashboard.components.tables import Column
from dashboard.filters import Filters

EXAMPLE = """\
name: word-count
description: Count the words of a text.
params:
  type: object
  required: [text]
  properties:
    text: {type: string, title: Text}
nodes:
  - id: count
    kind: transform
    config:
      value: "${params.text}"
"""
_MOST_HEIGHT = 460
_MANY_NODES = 60
_WORST = ("failed", "running", "cancelled", "pending", "skipped", "completed")

COLUMNS: list[Column[WorkflowRow]] = [
    Column("Workflow", lambda row: row.name),
    Column("Description", lambda row: row.description, width="medium"),
    Column("Version", lambda row: row.current_version, "number", width="small"),
    Column("Runs, 30 d", lambda row: row.runs_30d, "number", width="small"),
    Column("Failed", lambda row: row.failed_30d, "number", width="small"),
    Column("Success", lambda row: row.success_ratio, "ratio", width="small"),
    Column("Average", lambda row: row.average_s, "seconds", width="small"),
    Column("Last run", lambda row: row.last_run_at, "moment"),
    Column("Kind", lambda row: "shipped" if row.builtin else row.origin, width="small"),
]


def counts_words(counts: Mapping[str, int], filters: Filters) -> str:
    """Return how many runs have each state, in one line of badges."""
    badges = [
        f":{RUN_LOOKS[s].colour}-badge[{RUN_LOOKS[s].icon} {n} {RUN_LOOKS[s].word.lower()}]"
        for s, n in counts.items()
        if n
    ]
    return f"{filters.span.words.capitalize()}: {' '.join(badges) or 'no run'}"


def nodes_of(
    spec: Mapping[str, Any], rows: Sequence[NodeRow] = ()
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return nodes and edges of a definition for the graph component, with the states of *rows* if a run is given."""
    by_node: dict[str, list[NodeRow]] = {}
    for row in rows:
        by_node.setdefault(row.node_id, []).append(row)
    nodes = [_node(item, by_node.get(item["id"], []), has_run=bool(rows)) for item in spec.get("nodes", ())]
    states = {node["id"]: node["state"] for node in nodes}
    edges = [
        {"source": need, "target": item["id"], "label": "", "active": states.get(item["id"]) == "running"}
        for item in spec.get("nodes", ())
        for need in item.get("needs", ())
    ]
    return nodes, edges


def graph_height(spec: Mapping[str, Any]) -> int:
    """Return how many pixels the graph of a definition wants: more where more nodes stand side by side."""
    depth: dict[str, int] = {}
    needs = {item["id"]: tuple(item.get("needs", ())) for item in spec.get("nodes", ())}
    for _ in needs:
        for node, wanted in needs.items():
            depth[node] = 1 + max((depth.get(need, 0) for need in wanted), default=0)
        if len(needs) > _MANY_NODES:
            return _MOST_HEIGHT
    widest = max(Counter(depth.values()).values(), default=1)
    return min(_MOST_HEIGHT, 90 + 75 * widest)


def _node(item: Mapping[str, Any], rows: Sequence[NodeRow], *, has_run: bool) -> dict[str, Any]:
    kind = str(item.get("kind", ""))
    detail = kind
    if rows:
        seconds = max((row.duration_s for row in rows if row.duration_s is not None), default=None)
        detail = kind if seconds is None else f"{kind}, {formats.duration(seconds)}"
        if len(rows) > 1:
            failed = sum(row.status == "failed" for row in rows)
            detail += f", x{len(rows)}" + (f" ({failed} failed)" if failed else "")
    state = state_of(rows) if rows else ("pending" if has_run else "idle")
    return {"id": item["id"], "label": item.get("name") or item["id"], "state": state, "detail": detail, "group": None}


def state_of(rows: Sequence[NodeRow]) -> str:
    """Return the one state that stands for all parts of a node: the one that needs attention first."""
    found = {row.status for row in rows}
    return next((status for status in _WORST if status in found), "pending")


def draw_definition(detail: WorkflowDetail) -> None:
    """Draw a workflow's graph, and its definition as text."""
    nodes, edges = nodes_of(detail.spec)
    graph(
        nodes,
        edges,
        key=f"workflow.graph.{detail.row.name}",
        height=graph_height(detail.spec),
        label=f"The {formats.plural(len(nodes), 'node')} of {detail.row.name} and what each needs",
    )
    with st.expander(f"Definition, version {detail.row.current_version}", icon=":material/code:"):
        st.code(source_of(detail.spec), language=None)


def source_of(spec: Mapping[str, Any]) -> str:
    """Return a definition as YAML."""
    text: str = yaml.safe_dump(dict(spec), sort_keys=False, allow_unicode=True, width=100)
    return text


def source_form(*, disabled: bool) -> str | None:
    """Draw the form that takes a definition; return its text on the run in which it was sent."""
    with st.form("workflow.source", border=False):
        source = st.text_area(
            "Definition (YAML or JSON)",
            value=EXAMPLE,
            height=320,
            key="workflow.source.text",
            disabled=disabled,
            help="A workflow of the same name gets a new version; runs of the old one are not changed.",
        )
        sent = st.form_submit_button("Check and store", icon=":material/save:", disabled=disabled)
    if disabled:
        st.caption(":material/lock: Storing a workflow needs the role operator.")
    return source if sent and source else None
