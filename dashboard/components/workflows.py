"""Workflows: the columns of their list, their definition as a graph and as text, and the form that takes a new one."""

from collections.abc import Mapping
from typing import Any

import streamlit as st
import yaml

from analytics.store.queries.workflows import WorkflowDetail, WorkflowRow
from dashboard import formats
from dashboard.components.graph import graph
from dashboard.components.graph.runs import graph_height, run_graph
from dashboard.components.status import RUN_LOOKS
from dashboard.components.tables import Column
from dashboard.filters import Filters

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
nodes_of = run_graph
"""Nodes and edges of a definition, with the states of a run."""

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
