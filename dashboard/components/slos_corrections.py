"""Time that does not count against a budget, and notes of what happened: their lists, and forms that add to them."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import streamlit as st

from analytics.core.clock import Interval, utc_now
from analytics.core.errors import InputError
from analytics.slo import Objective
from analytics.slo.corrections import Correction, NewCorrection, occurrences
from analytics.store.queries.annotations import KINDS, LONGEST_TITLE, AnnotationRow, NewAnnotation
from dashboard import actions, formats, slo_actions
from dashboard.components import states, tables
from dashboard.components.slos_budget import KIND_LOOKS
from dashboard.components.status import Look
from dashboard.components.tables import Column
from dashboard.zone import viewer_zone

_IN_FORCE = Look("In force", ":material/check_circle:", "green")
_WITHDRAWN = Look("Withdrawn", ":material/undo:", "gray")
_RHYTHMS = {
    "Once": None,
    "Every day": "FREQ=DAILY",
    "Every week": "FREQ=WEEKLY",
    "Every month": "FREQ=MONTHLY",
    "By a rule": "",
}
_SCOPES = ("This objective", "Its service", "All objectives")
_AHEAD = timedelta(days=400)
_PREVIEWS = 3
_LONGEST_REASON = 500
_ROUND = "slo.forms_sent"


def look(row: Correction) -> Look:
    """Return how a correction stands."""
    return _IN_FORCE if row.withdrawn_at is None else _WITHDRAWN


def scope_words(row: Correction) -> str:
    """Return what a correction is for."""
    if row.slo_id is not None:
        return "This objective"
    return f"Service {row.service}" if row.service is not None else "All objectives"


COLUMNS: list[Column[Correction]] = [
    Column("From", lambda row: row.starts_at, "moment"),
    Column("State", look, "state", width="small"),
    Column("Lasts", lambda row: formats.duration(row.ends_at - row.starts_at), width="small"),
    Column("Reason", lambda row: row.reason, width="medium"),
    Column("Recurs", lambda row: f"{row.rrule} ({row.zone})" if row.rrule else None, width="medium"),
    Column("For", scope_words),
    Column("By", lambda row: row.created_by),
    Column("Withdrawn", lambda row: row.withdrawn_at, "moment"),
    Column("By whom", lambda row: row.withdrawn_by),
]


def draw_list(rows: Sequence[Correction], *, can_change: bool) -> None:
    """Draw the corrections that concern an objective; one that is marked can be withdrawn."""
    if not rows:
        states.empty(
            "No correction",
            "Planned maintenance can be taken out of the budget, for the past too, and taken back again.",
            icon=":material/event_busy:",
        )
        return
    if not can_change:
        tables.table(rows, COLUMNS, alt="Corrections of this objective", key="slo.corrections", height="content")
        return
    row = tables.choose(rows, COLUMNS, alt="Corrections of this objective", key=f"slo.corrections.{len(rows)}")
    if row is None:
        st.caption("Mark a correction to withdraw it.")
    elif row.withdrawn_at is None:
        _draw_withdraw(row)


def _draw_withdraw(row: Correction) -> None:
    with st.popover("Withdraw", icon=":material/undo:", key=f"slo.withdraw.of.{row.id}"):
        others = "" if row.slo_id is not None else f" It is for {scope_words(row).lower()}, so others change."
        st.markdown(
            f"The time of “{formats.escaped(row.reason)}” counts again, for the past too.{others} It stays listed."
        )
        if st.button("Withdraw it", type="primary", key=f"slo.withdraw.{row.id}") and actions.succeeds(
            lambda: slo_actions.withdraw_correction(row.id)
        ):
            st.toast("Withdrawn; the budget is counted anew.", icon=":material/undo:")
            st.rerun()


def draw_form(objective: Objective) -> None:
    """Draw the form of a new correction, with when it would take place."""
    key = f"slo.correct.{_round()}"
    with st.expander("Take time out of the budget", icon=":material/event_busy:", key=key):
        start, end, zone = _draw_times(key)
        left, right = st.columns(2)
        with left:
            scope = st.selectbox("For", _SCOPES, key=f"{key}.scope")
        with right:
            rhythm = st.selectbox("Recurs", list(_RHYTHMS), key=f"{key}.rhythm")
        rule = _RHYTHMS[rhythm]
        if rule == "":
            rule = st.text_input(
                "Rule", value="FREQ=WEEKLY;BYDAY=SU", key=f"{key}.rule", help="As in RFC 5545, for example here."
            )
        reason = st.text_input("Reason", max_chars=_LONGEST_REASON, key=f"{key}.reason")
        new = NewCorrection(
            starts_at=start,
            ends_at=end,
            reason=(reason or "").strip(),
            slo_id=objective.id if scope == _SCOPES[0] else None,
            service=objective.service if scope == _SCOPES[1] else None,
            rrule=rule or None,
            zone=zone,
        )
        _draw_preview(new)
        if st.button("Take it out", type="primary", icon=":material/event_busy:", key=f"{key}.save"):
            _add(new)


def _round() -> int:
    """Return how many forms were sent: part of their keys, so that what was sent is not left in them."""
    count: int = st.session_state.get(_ROUND, 0)
    return count


def _begin_again() -> None:
    st.session_state[_ROUND] = _round() + 1


def _draw_times(key: str) -> tuple[datetime, datetime, str]:
    """Draw the choice of a start, an end and the zone they are in; return them aware, in UTC."""
    zones = sorted(available_timezones())
    own = viewer_zone().key
    now = utc_now().astimezone(viewer_zone()).replace(tzinfo=None, minute=0, second=0, microsecond=0)
    first, second, third = st.columns(3)
    with third:
        named = st.selectbox("Time zone", zones, index=zones.index(own if own in zones else "UTC"), key=f"{key}.zone")
    zone = named or "UTC"
    with first:
        start = st.datetime_input("From", value=now - timedelta(hours=1), key=f"{key}.from", format="YYYY-MM-DD")
    with second:
        end = st.datetime_input("To", value=now, key=f"{key}.to", format="YYYY-MM-DD")
    place = ZoneInfo(zone)
    return start.replace(tzinfo=place).astimezone(UTC), end.replace(tzinfo=place).astimezone(UTC), zone


def _draw_preview(new: NewCorrection) -> None:
    try:
        found = occurrences(new, Interval(new.starts_at, max(new.starts_at, new.ends_at) + _AHEAD))
    except InputError as error:
        states.refused(error)
        return
    if new.rrule is None:
        return
    zone = formats.zone_named(new.zone)
    lines = [
        f"- {formats.moment(span.since, zone, seconds=False)}, {formats.duration(span.length)}"
        for span in found[:_PREVIEWS]
    ]
    st.markdown("\n".join(["**It takes place**", "", *lines, *(["- …"] if len(found) > _PREVIEWS else [])]))


def _add(new: NewCorrection) -> None:
    added = actions.attempt(lambda: slo_actions.add_correction(new))
    if added is None:
        return
    _begin_again()
    met = [
        f"{overlap.correction.reason} ({formats.duration(overlap.length)})" for overlap in added.overlaps[:_PREVIEWS]
    ]
    words = f" It meets {formats.escaped(', '.join(met))}; that time is taken out once." if met else ""
    st.toast(f"Taken out; the budget is counted anew.{words}", icon=":material/event_busy:")
    st.rerun()


# ---- Notes of what happened ----

NOTE_COLUMNS: list[Column[AnnotationRow]] = [
    Column("When", lambda row: row.at, "moment"),
    Column("What", lambda row: KIND_LOOKS.get(row.kind, KIND_LOOKS["note"]), "state", width="small"),
    Column("Title", lambda row: row.title, width="large"),
    Column("Until", lambda row: row.until, "moment"),
    Column("Service", lambda row: row.service or "All", width="small"),
    Column("By", lambda row: row.created_by),
]


def draw_notes(rows: Sequence[AnnotationRow], *, can_change: bool) -> None:
    """Draw what happened to a service; one that is marked can be deleted."""
    if not rows:
        st.caption("No deployment, incident or note in this window.")
        return
    newest = rows[::-1]
    if not can_change:
        tables.table(newest, NOTE_COLUMNS, alt="What happened to the service", key="slo.notes", height="content")
        return
    row = tables.choose(newest, NOTE_COLUMNS, alt="What happened to the service", key=f"slo.notes.{len(rows)}")
    if row is None:
        st.caption("Mark one to delete it.")
        return
    with st.popover("Delete", icon=":material/delete:", key=f"slo.note.delete.of.{row.id}"):
        st.markdown(
            f"“{formats.escaped(row.title)}” goes from all charts and costs; the audit log keeps that it was there."
        )
        if st.button("Delete it", type="primary", key=f"slo.note.delete.{row.id}") and actions.succeeds(
            lambda: slo_actions.delete_annotation(row.id)
        ):
            st.toast("Deleted.", icon=":material/delete:")
            st.rerun()


def draw_note_form(objective: Objective) -> None:
    """Draw the form that notes what happened."""
    key = f"slo.note.{_round()}"
    with st.expander("Note what happened", icon=":material/add_comment:", key=key):
        kind = st.segmented_control(
            "What",
            KINDS,
            default="incident",
            required=True,
            format_func=lambda name: KIND_LOOKS[name].word,
            label_visibility="collapsed",
            key=f"{key}.kind",
        )
        start, end, _ = _draw_times(key)
        title = st.text_input("Title", max_chars=LONGEST_TITLE, key=f"{key}.title")
        is_moment = st.checkbox("It was a moment, not a span", value=kind == "deploy", key=f"{key}.moment.{kind}")
        everywhere = st.checkbox("It concerns all services", key=f"{key}.all")
        if st.button("Note it", type="primary", icon=":material/add_comment:", key=f"{key}.save"):
            _note(
                NewAnnotation(
                    at=start,
                    title=title or "",
                    kind=kind or "note",
                    until=None if is_moment else end,
                    service=None if everywhere else objective.service,
                )
            )


def _note(new: NewAnnotation) -> None:
    if actions.succeeds(lambda: slo_actions.add_annotation(new)):
        _begin_again()
        st.toast("Noted; its cost is counted.", icon=":material/add_comment:")
        st.rerun()
