"""What do people do, where do they leave, and what does it cost?"""

import functools
from collections.abc import Callable, Sequence

import streamlit as st

from analytics.journeys.acts import MOST_ROWS, MOST_ROWS_PATIENT
from analytics.journeys.importing import Mapped
from analytics.journeys.leads import LeadRow
from analytics.journeys.saved_funnels import SavedFunnel
from analytics.store.paging import MAX_LIMIT
from dashboard import actions, formats, guard
from dashboard import journey_actions as act
from dashboard import journey_questions as ask
from dashboard.auth.roles import Role
from dashboard.auth.viewer import current_viewer
from dashboard.components import journeys_events, journeys_funnel, journeys_leads, journeys_paths, states
from dashboard.components.head import current_filters
from dashboard.components.journeys_funnel import Chosen
from dashboard.context import get_context

filters = current_filters()
can_change = current_viewer().role >= Role.OPERATOR
VIEWS = {"funnel": "Funnel", "paths": "Paths", "leads": "Leads", "events": "Events", "import": "Import"}
OLDER = "leads.older"
TAKEN = "import.taken"
STEP = "step"
"""Name in the URL of the kind of event whose newest are shown below the funnel."""
PATIENT = "patient"
OF_CONTEXTS = "context."


def choose_view() -> str:
    view = st.segmented_control(
        "View",
        list(VIEWS),
        default="funnel",
        format_func=VIEWS.__getitem__,
        label_visibility="collapsed",
        required=True,
        key="view",
        bind="query-params",
    )
    return view or "funnel"


def known_kinds() -> list[str] | None:
    found = states.settle(ask.event_kinds(filters.span), "The events")
    if found is None:
        return None
    if not found:
        journeys_events.draw_nothing_yet()
        return None
    return [kind for kind, _ in found if not kind.startswith(OF_CONTEXTS)]


def draw_funnel() -> None:
    kinds = known_kinds()
    saved = states.settle(ask.saved_funnels(), "The funnels")
    if kinds is None or saved is None:
        return
    chosen = journeys_funnel.choose(saved, kinds)
    if chosen is None:
        return
    draw_saving(chosen, saved)
    guard.live(functools.partial(draw_result, chosen), name="funnel", every=filters.rhythm)


def draw_result(chosen: Chosen) -> None:
    with states.loading(400):
        answer = ask.funnel_result(filters.span, chosen.steps, chosen.spec.window, chosen.by, most_rows=most_rows())
    result = states.settle(answer, "The funnel")
    if result is None:
        return
    opened = journeys_funnel.draw(result)
    draw_patience(result.sample_ratio)
    journeys_funnel.draw_trend(result)
    if opened is not None:
        st.query_params[STEP] = chosen.spec.steps[opened].kind
    states.as_of(answer)
    draw_step(chosen)


def most_rows() -> int:
    # The toggle is drawn below what it governs, and not at all where everybody was counted.
    is_patient = st.session_state.get(PATIENT, st.query_params.get(PATIENT) == "true")
    return MOST_ROWS_PATIENT if is_patient else MOST_ROWS


def draw_patience(sample_ratio: float) -> None:
    if sample_ratio < 1 or most_rows() > MOST_ROWS:
        st.toggle(
            "Look at more people",
            key=PATIENT,
            bind="query-params",
            help=f"Up to {MOST_ROWS_PATIENT:,} events are looked at instead of {MOST_ROWS:,}; this takes some seconds.",
        )


def draw_step(chosen: Chosen) -> None:
    kind = st.query_params.get(STEP)
    if kind not in {step.kind for step in chosen.spec.steps}:
        return
    rows = states.settle(ask.event_feed(filters.span, kind, None, None), "The events")
    if rows is not None:
        st.markdown(f"**Newest events of the kind {formats.escaped(kind)}**")
        journeys_events.draw_feed(rows)
        st.button("Hide them", icon=":material/close:", type="tertiary", key="funnel.hide", on_click=hide_step)


def hide_step() -> None:
    st.query_params.pop(STEP, None)


def draw_saving(chosen: Chosen, saved: Sequence[SavedFunnel]) -> None:
    if not can_change:
        return
    held = chosen.saved
    if held is not None and chosen.spec == held.spec:
        label, icon = "Delete", ":material/delete:"
        with st.popover(label, icon=icon, type="tertiary"):
            st.markdown(f"Delete the funnel **{formats.escaped(held.name)}**? Events stay as they are.")
            if st.button("Delete it", key="funnel.delete") and actions.succeeds(lambda: act.delete_funnel(held.id)):
                st.rerun()
        return
    with st.popover("Save", icon=":material/save:", type="tertiary"), st.form("funnel.save", border=False):
        name = st.text_input("Name", held.name if held is not None else "", max_chars=100)
        sent = st.form_submit_button("Save the funnel")
    if not sent:
        return
    same = next((item for item in saved if item.name == name.strip()), None)
    funnel_id = same.id if same is not None and held is not None and same.id == held.id else None
    if actions.succeeds(lambda: act.save_funnel(name, chosen.spec, funnel_id=funnel_id)):
        st.toast("The funnel is saved.", icon=":material/check_circle:")
        st.rerun()


def draw_paths() -> None:
    kinds = known_kinds()
    if kinds is None:
        return
    start, depth = journeys_paths.choose(kinds)
    guard.live(functools.partial(draw_followed, start, depth), name="paths", every=filters.rhythm)


def draw_followed(start: str | None, depth: int) -> None:
    with states.loading(400):
        answer = ask.paths_taken(filters.span, start, depth, most_rows=most_rows())
    found = states.settle(answer, "The paths")
    if found is None:
        return
    journeys_paths.draw(found)
    draw_patience(found.sample_ratio)
    states.as_of(answer)


def draw_leads() -> None:
    answer = ask.lead_bands(filters.span)
    bands = states.settle(answer, "The leads")
    if bands is None:
        return
    journeys_leads.draw_bands(bands, filters.span.words)
    st.subheader("All leads", anchor=False)
    status, band, search = journeys_leads.choose()
    asked = (status, band, search)
    older = st.session_state.get(OLDER)
    before = older[1] if older is not None and older[0] == asked else None
    rows = states.settle(ask.lead_page(status, band, search, before), "The leads")
    if rows is None:
        return
    if not rows and not bands and asked == (None, None, None):
        return
    if not rows:
        states.empty("No such lead", "Choose other filters.", icon=":material/person_search:")
    else:
        left, right = st.columns([3, 1], gap="medium")
        with left:
            marked = journeys_leads.draw_list(rows)
        with right:
            draw_lead(marked)
    with st.container(horizontal=True):
        if before is not None and st.button("Newest", icon=":material/first_page:"):
            st.session_state.pop(OLDER)
            st.rerun()
        if len(rows) == MAX_LIMIT and st.button("Older", icon=":material/chevron_right:"):
            st.session_state[OLDER] = (asked, (rows[-1].created_at, rows[-1].id))
            st.rerun()


def draw_lead(lead: LeadRow | None) -> None:
    if lead is None:
        st.caption("Mark a lead to see or change it.")
        return
    changes = journeys_leads.draw_one(lead, can_change=can_change)
    if changes and actions.succeeds(lambda: act.change_lead(lead.id, changes)):
        st.toast("The lead is changed.", icon=":material/check_circle:")
        st.rerun()
    if can_change:
        with st.popover("Delete", icon=":material/delete:", type="tertiary"):
            st.markdown("Delete this lead? What it did stays among the events.")
            if st.button("Delete it", key="lead.delete") and actions.succeeds(lambda: act.delete_lead(lead.id)):
                st.rerun()


def draw_events() -> None:
    found = states.settle(ask.event_kinds(filters.span), "The events")
    if found is None:
        return
    kind, person = journeys_events.choose([name for name, _ in found])
    guard.live(functools.partial(draw_feed, kind, person), name="events", every=filters.rhythm)


def draw_feed(kind: str | None, person: str | None) -> None:
    answer = ask.event_feed(filters.span, kind, None, person)
    rows = states.settle(answer, "The events")
    if rows is None:
        return
    if not rows and kind is None and person is None:
        journeys_events.draw_nothing_yet()
    elif not rows:
        states.empty("No such event", "Choose other filters, or a longer time range.", icon=":material/search_off:")
    else:
        journeys_events.draw_feed(rows)
        if len(rows) == MAX_LIMIT:
            st.caption(f"The newest {MAX_LIMIT} are shown; the API has them all.")
    states.as_of(answer)


def draw_import() -> None:
    if not can_change:
        st.caption(":material/lock: Importing needs the role operator.")
        return
    limit = get_context().settings.http.max_upload_bytes
    file = st.file_uploader(
        f"CSV file, at most {formats.size_bytes(limit)}; `helmsight events import` takes larger ones",
        type=["csv", "tsv", "txt"],
        key="import.file",
        max_upload_size=max(1, limit // 2**20),
    )
    taken = st.session_state.get(TAKEN)
    if file is None:
        st.session_state.pop(TAKEN, None)
        st.caption("UTF-8, UTF-16, Windows-1252 and Latin-1 are told apart; rows that are not fit are told of.")
        return
    if taken is not None and taken[0] == file.file_id:
        journeys_events.draw_taken(taken[1])
        return
    content = file.getvalue()
    looked = actions.attempt(lambda: act.look_at_file(content, None))
    if looked is None:
        return
    mapped: Mapped | None = actions.attempt(lambda: journeys_events.choose_columns(looked.form, looked.mapped))
    if mapped is None:
        return
    preview = actions.attempt(lambda: act.look_at_file(content, mapped))
    if preview is None:
        return
    journeys_events.draw_preview(preview)
    if st.button("Import", icon=":material/upload:", type="primary", key="import.go"):
        with st.spinner("Importing …"):
            done = actions.attempt(lambda: act.import_file(file.name, content, mapped))
        if done is not None:
            st.session_state[TAKEN] = (file.file_id, done)
            st.rerun()


DRAW: dict[str, Callable[[], None]] = {
    "funnel": draw_funnel,
    "paths": draw_paths,
    "leads": draw_leads,
    "events": draw_events,
    "import": draw_import,
}
DRAW[choose_view()]()
