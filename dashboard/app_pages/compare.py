"""What differs between two runs?"""

import uuid

import streamlit as st

from analytics.core.errors import InputError
from analytics.store.queries.run_filter import RunFilter
from analytics.store.queries.runs import RunRow
from dashboard import data
from dashboard.components import compare, states
from dashboard.components.head import current_filters
from dashboard.links import page_of, query

filters = current_filters()


def run_named(name: str) -> uuid.UUID | None:
    """Return the run that the URL names as *name*, or None when it names none."""
    text = st.query_params.get(name)
    if not text:
        return None
    try:
        return uuid.UUID(text)
    except ValueError:
        raise InputError(
            f"{text[:60]!r} is not the number of a run; nothing was compared. Choose two runs on the page Runs."
        ) from None


def choose(known: uuid.UUID) -> None:
    """Offer runs of the same workflow to compare with."""
    first = states.settle(data.run_without_outputs(known), "The run")
    if first is None:
        return
    compare.draw_side("left", first.row, filters)
    others = data.list_runs(None, RunFilter(workflow_id=first.row.workflow_id), limit=50).value or []
    rows = [row for row in others if row.id != known]
    if not rows:
        states.empty(
            "Nothing to compare with", "This is the only run of its workflow.", icon=":material/compare_arrows:"
        )
        return
    chosen: RunRow | None = st.selectbox(
        "Compare with",
        rows,
        index=None,
        placeholder="Choose a run of the same workflow",
        format_func=lambda row: compare.candidate_words(row, known),
        key="compare.with",
    )
    if chosen is not None:
        st.query_params["left"], st.query_params["right"] = str(known), str(chosen.id)
        st.rerun()


def draw(left: uuid.UUID, right: uuid.UUID) -> None:
    found = states.settle(data.compare_runs(left, right), "The comparison")
    if found is None:
        return
    columns = st.columns(2, gap="medium")
    with columns[0]:
        compare.draw_side("left", found.left, filters)
    with columns[1]:
        compare.draw_side("right", found.right, filters)
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.markdown(f"**{compare.summary(found)}**", width="content")
        if st.button("Swap", icon=":material/swap_horiz:", key="compare.swap"):
            st.query_params["left"], st.query_params["right"] = str(right), str(left)
            st.rerun()
    compare.draw_parameters(found.params)
    compare.draw_nodes(found)


st.page_link(str(page_of("runs").path), label="All runs", icon=":material/arrow_back:", query_params=query(filters))
one, other = run_named("left"), run_named("right")
if one is not None and other is not None:
    draw(one, other)
elif (single := one or other) is not None:
    choose(single)
else:
    hint = "Mark two runs on the page Runs and choose Compare, or open a run and choose Compare there."
    states.empty("Choose two runs", hint, icon=":material/compare_arrows:")
