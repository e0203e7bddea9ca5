"""What the list of runs is narrowed to, kept in the URL; and views of it under a name, one's own and shared ones."""

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import streamlit as st

from analytics.store.queries.run_filter import STATUSES, RunFilter
from analytics.store.queries.runs import RunChoices
from analytics.store.queries.views import MAX_NAME, SavedViewRow
from dashboard import actions, data, formats
from dashboard.components import states
from dashboard.components.status import RUN_LOOKS

PAGE = "runs"
FIND, STATE, OF, VIA, TAGS, BY, LEAST = "find", "state", "of", "via", "tags", "by", "least_s"
KEYS = (FIND, STATE, OF, VIA, TAGS, BY, LEAST)
"""Keys of the widgets, and names in the URL."""
PAGE_KEY = "pg"
OLDER = "older"
_MOST_TAGS = 30
_FIRST = ("failed", "needs_attention", "running", "waiting", "queued", "paused", "completed", "cancelled")
_NOTHING: Mapping[str, Any] = {FIND: "", STATE: [], OF: None, VIA: [], TAGS: [], BY: None, LEAST: None}


def current() -> dict[str, Any]:
    """Return what is chosen, without what is not."""
    held = {key: st.session_state.get(key) for key in KEYS}
    return {key: value for key, value in held.items() if value not in (None, "", [], ())}


def filter_of(chosen: Mapping[str, Any]) -> RunFilter:
    """Return the runs that *chosen* values of the widgets stand for."""
    return RunFilter(
        statuses=tuple(status for status in chosen.get(STATE, ()) if status in STATUSES),
        workflow=chosen.get(OF),
        search=chosen.get(FIND),
        tags=tuple(chosen.get(TAGS, ())),
        requested_by=chosen.get(BY),
        triggers=tuple(chosen.get(VIA, ())),
        min_duration_s=chosen.get(LEAST),
    )


def older_words(created_at: datetime, run_id: uuid.UUID) -> str:
    """Return a place in the list as it stands in the URL."""
    return f"{created_at.isoformat()}_{run_id}"


def parse_older(text: str | None) -> tuple[datetime, uuid.UUID] | None:
    """Return the place in the list that a URL names, or None when it names none."""
    moment, _, number = (text or "").partition("_")
    try:
        at = datetime.fromisoformat(moment)
        return None if at.tzinfo is None else (at, uuid.UUID(number))
    except ValueError:
        return None


def draw_bar(owner: str) -> RunFilter:
    """Draw the search, the states, the other filters and the saved views; return what is asked for."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small", key="runs.bar"):
        st.text_input(
            "Search runs",
            type="search",
            live="300ms",
            placeholder="Workflow, person or number",
            label_visibility="collapsed",
            key=FIND,
            bind="query-params",
            width=260,
            on_change=_from_the_first,
        )
        _draw_more()
        _draw_views(owner)
        clear = st.container(width="content")
    st.pills(
        "State of runs",
        _FIRST,
        selection_mode="multi",
        format_func=lambda status: RUN_LOOKS[status].word,
        label_visibility="collapsed",
        key=STATE,
        bind="query-params",
        on_change=_from_the_first,
    )
    if current():
        clear.button("Clear", icon=":material/filter_alt_off:", key="runs.clear", type="tertiary", on_click=apply_view)
    return filter_of(current())


def _from_the_first() -> None:
    """Show the first page again, as what is listed has changed."""
    st.session_state[PAGE_KEY] = 1
    st.query_params.pop(OLDER, None)


def _draw_more() -> None:
    choices = data.run_choices().value or RunChoices([], [], [], [])
    # A link's values are in the URL only until their widgets are drawn.
    count = len({key for key in KEYS if key in current() or key in st.query_params} - {FIND, STATE})
    label = f"Filters ({count})" if count else "Filters"
    with st.popover(label, icon=":material/filter_alt:", key="runs.more"):
        shared: dict[str, Any] = {"bind": "query-params", "on_change": _from_the_first}
        st.selectbox(
            "Workflow",
            _with(OF, [name for _, name in choices.workflows]),
            index=None,
            placeholder="Any",
            key=OF,
            **shared,
        )
        st.selectbox("Asked for by", _with(BY, choices.requesters), index=None, placeholder="Anybody", key=BY, **shared)
        st.pills("Started by", _with(VIA, choices.triggers), selection_mode="multi", key=VIA, **shared)
        tags = _with(TAGS, choices.tags[:_MOST_TAGS])
        if tags:
            st.pills("With all of these tags", tags, selection_mode="multi", key=TAGS, **shared)
        st.number_input(
            "Took at least (seconds)", min_value=0.0, value=None, step=1.0, placeholder="Any time", key=LEAST, **shared
        )


def _with(key: str, options: Any) -> list[str]:
    """Return *options* with what a link or a view asks for, which may be older than what is offered."""
    held = st.session_state.get(key) or st.query_params.get_all(key)
    chosen = [held] if isinstance(held, str) else list(held)
    return [*options, *(option for option in chosen if option not in options)]


def apply_view(query: Mapping[str, Any] | None = None) -> None:
    """Put the filters of a view in the place of the present ones; None takes all away. For callbacks."""
    for key in KEYS:
        st.session_state[key] = (query or {}).get(key, _NOTHING[key])
    _from_the_first()


def _draw_views(owner: str) -> None:
    with st.popover("Views", icon=":material/bookmark:", key="runs.views", help="Filters under a name."):
        views = states.settle(data.saved_views(owner, PAGE), "The views")
        for view in views or ():
            _draw_view(view)
        if not views:
            st.caption("No view is saved yet. Choose filters, then give them a name.")
        _draw_save()


def _draw_view(view: SavedViewRow) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
        icon = ":material/bookmark:" if view.is_own else ":material/group:"
        st.button(
            formats.escaped(view.name),
            icon=icon,
            type="tertiary",
            key=f"runs.view.{view.id}",
            on_click=apply_view,
            args=(view.query,),
            help=None if view.is_own else f"Shared by {formats.escaped(view.owner)}",
        )
        if view.shared and view.is_own:
            st.caption("shared", width="content")
        if view.is_own and st.button(
            f"Delete the view {formats.escaped(view.name)}",
            icon=":material/delete:",
            type="tertiary",
            key=f"runs.view.delete.{view.id}",
        ):
            actions.attempt(lambda: actions.delete_view(view.id))
            st.rerun()


def _draw_save() -> None:
    with st.form("runs.view.form", border=False, clear_on_submit=True):
        name = st.text_input("Save these filters as", max_chars=MAX_NAME, key="runs.view.name")
        shared = st.checkbox("Share with everybody", key="runs.view.shared")
        sent = st.form_submit_button("Save", icon=":material/bookmark_add:")
    if sent and actions.succeeds(
        lambda: actions.save_view(PAGE, name=name or "", query=current(), shared=bool(shared))
    ):
        st.toast("Saved.", icon=":material/bookmark:")
        st.rerun()
