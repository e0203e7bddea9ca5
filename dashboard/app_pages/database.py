"""What does PostgreSQL spend its time on, and what holds it up?"""

from collections.abc import Sequence
from functools import partial
from typing import get_args

import streamlit as st

from analytics.database.model import MadeIndex, Order, Whose
from analytics.store.engine import pool_state
from dashboard import actions, database_actions, guard
from dashboard import database_questions as asks
from dashboard.auth.roles import Role
from dashboard.auth.viewer import current_viewer
from dashboard.components import database, database_made, states
from dashboard.components.head import current_filters
from dashboard.context import get_context

filters = current_filters()
can_change = current_viewer().role >= Role.ADMIN
VIEWS = {
    "statements": "Statements",
    "advice": "Index advice",
    "indexes": "Indexes",
    "tables": "Tables",
    "locks": "Locks",
    "io": "Input and output",
    "server": "Server",
}


def draw_state() -> None:
    state = database.settle(asks.database_state(), "The state of the database")
    locks = asks.database_activity().value
    if state is None:
        return
    database.draw_figures(state, len(locks.value.waiting) if locks is not None and locks.value is not None else None)


def draw_findings() -> None:
    with states.loading(80):
        found = states.settle(asks.database_problems(), "What needs a look")
    if found is not None:
        database.draw_findings(found)


def draw_statements() -> None:
    answer = asks.database_statements(order, whose)
    found = database.settle(answer, "The statements")
    if found is not None:
        database.draw_statements(found)
        states.as_of(answer)


def draw_advice() -> None:
    with states.loading(200):
        answer = asks.database_index_advice()
    found = database.settle(answer, "Index advice")
    made = database.settle(asks.database_made_indexes(), "The indexes made here") or []
    if found is not None:
        wanted = database.draw_advice(found, made, can_change=can_change)
        if wanted is not None and actions.succeeds(partial(database_actions.make_index, wanted.key)):
            said("The index is made soon; this page shows how it stands.")
        states.as_of(answer)
    draw_made(made)


def draw_made(made: Sequence[MadeIndex]) -> None:
    wish = database_made.draw_made(made, can_change=can_change)
    match wish:
        case ("make", row) if actions.succeeds(partial(database_actions.make_index, row.advice)):
            said("It is tried again soon.")
        case ("drop", row) if actions.succeeds(partial(database_actions.drop_index, row.name)):
            said("The index is dropped soon.")


def said(words: str) -> None:
    st.toast(words, icon=":material/check_circle:")
    st.rerun()


def draw_indexes() -> None:
    answer = asks.database_indexes()
    found = database.settle(answer, "The indexes")
    if found is not None:
        database.draw_indexes(found)
        states.as_of(answer)


def draw_tables() -> None:
    answer = asks.database_tables()
    found = database.settle(answer, "The tables")
    if found is not None:
        database.draw_tables(found)
        states.as_of(answer)


def draw_locks() -> None:
    answer = asks.database_activity()
    found = database.settle(answer, "Sessions and locks")
    if found is not None:
        database.draw_locks(found)
        states.as_of(answer)


def draw_io() -> None:
    answer = asks.database_io()
    found = database.settle(answer, "Input and output")
    if found is not None:
        database.draw_io(found)
        states.as_of(answer)


def draw_server() -> None:
    context = get_context()
    state = asks.database_state().value
    if state is not None and state.value is not None:
        database.draw_connections(state.value, [pool_state(context.engine), pool_state(context.async_engine)])
    checks = database.settle(asks.database_settings(), "The settings")
    if checks is not None:
        database.draw_settings(checks)


guard.live(draw_state, name="database_state", every=filters.rhythm)
guard.live(draw_findings, name="database_findings", every=filters.rhythm)
view = (
    st.segmented_control(
        "View of the database",
        list(VIEWS),
        default="statements",
        format_func=VIEWS.__getitem__,
        label_visibility="collapsed",
        required=True,
        key="view",
        bind="query-params",
    )
    or "statements"
)
order: Order = "total"
whose: Whose = "all"
if view == "statements":
    with st.container(horizontal=True, vertical_alignment="bottom"):
        order = st.selectbox(
            "The greatest first by",
            get_args(Order),
            format_func=database.ORDERS.__getitem__,
            key="order",
            bind="query-params",
            width=200,
        )
        whose = st.selectbox(
            "Run by",
            get_args(Whose),
            format_func=database.WHOSE.__getitem__,
            key="whose",
            bind="query-params",
            width=200,
        )
draws = {
    "statements": draw_statements,
    "advice": draw_advice,
    "indexes": draw_indexes,
    "tables": draw_tables,
    "locks": draw_locks,
    "io": draw_io,
}
guard.live(draws.get(view, draw_server), name=f"database_{view}", every=filters.rhythm)
