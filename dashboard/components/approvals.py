"""What a run waits for that a person can give: an approval with its form, a signal, a word on a step that was lost.

Everything here is drawn outside of the parts of a page that renew themselves, so that nobody's typing is disturbed.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson
import streamlit as st

from analytics.core.clock import utc_now
from analytics.core.errors import InputError
from analytics.store.queries.queue import FOR_PEOPLE, WaitRow
from analytics.store.queries.runs import RunDetail
from dashboard import actions, formats
from dashboard.auth.roles import Role
from dashboard.components import forms
from dashboard.components.forms import Choice
from dashboard.zone import viewer_zone
from worker.doors.control import Attention, Decision

PERSONAL = FOR_PEOPLE
MOST_SHOWN = 5
"""The most forms that one page shows."""
_SHOWN = "run.shown"
_APPROVE = Choice("approved", "Approve", ":material/check:")
_REJECT = Choice("rejected", "Reject", ":material/close:", may_be_empty=True)
_SEND = Choice("send", "Send the signal", ":material/sensors:")
_ANYTHING: Mapping[str, Any] = {
    "type": "object",
    "properties": {"data": {"title": "Data", "description": "What the signal carries; may stay empty."}},
}
_OUTCOMES: Mapping[Attention, str] = {
    "repeat": "Run it again: what it did before may happen twice",
    "completed": "Take it as completed, with the output below",
    "failed": "Take it as failed",
}


def note_shown(detail: RunDetail, waits: Sequence[WaitRow]) -> None:
    """Remember which state of a run the still part of its page shows."""
    st.session_state[_SHOWN] = _state(detail, waits)


def has_changed(detail: RunDetail, waits: Sequence[WaitRow]) -> bool:
    """Return whether the run stands otherwise than the still part of its page shows."""
    return st.session_state.get(_SHOWN) != _state(detail, waits)


def _state(detail: RunDetail, waits: Sequence[WaitRow]) -> tuple[object, ...]:
    asked = tuple((wait.node_id, wait.map_index, wait.kind) for wait in waits)
    steering = detail.cancel_requested, detail.pause_requested
    return detail.row.id, detail.row.status, steering, detail.queue_position, asked


def role_of(wait: WaitRow) -> Role:
    """Return the least role that may end *wait*."""
    return Role.OPERATOR if wait.role is None else max(Role.OPERATOR, Role.parse(wait.role))


def place_of(wait: WaitRow) -> str:
    """Return which step it is."""
    return wait.node_id if wait.map_index < 0 else f"{wait.node_id} [{wait.map_index}]"


def title_of(wait: WaitRow) -> str:
    """Return what the wait asks for, in a few words."""
    match wait.kind:
        case "approval":
            return wait.title or f"Step {place_of(wait)} waits for an approval"
        case "signal":
            return wait.title or f"Step {place_of(wait)} waits for the signal {wait.name}"
        case "attention":
            return wait.title or f"Step {place_of(wait)} was lost while it was executed"
        case "run":
            return f"Step {place_of(wait)} waits for the run it started"
        case _:
            return f"Step {place_of(wait)} waits for its time"


def deadline_words(wait: WaitRow, *, now: datetime) -> str:
    """Return since when it waits, and until when it may."""
    since = f"Waits since {formats.moment(wait.created_at, viewer_zone())} ({formats.age(wait.created_at, now=now)})"
    if wait.deadline is None:
        return f"{since}, without a deadline."
    word = "until" if wait.kind == "time" else "deadline"
    return f"{since}, {word} {formats.moment(wait.deadline, viewer_zone())} ({formats.age(wait.deadline, now=now)})."


def draw_wait(wait: WaitRow, viewer_role: Role) -> bool:
    """Draw what *wait* asks for, with the means to give it; return whether it was given just now."""
    now = utc_now()
    look = {"approval": ":material/approval:", "attention": ":material/front_hand:", "signal": ":material/sensors:"}
    with st.container(border=True):
        st.markdown(f"**{look.get(wait.kind, ':material/hourglass_top:')} {formats.escaped(title_of(wait))}**")
        if wait.message:
            st.markdown(formats.escaped(wait.message))
        st.caption(deadline_words(wait, now=now))
        needed = role_of(wait)
        may = viewer_role >= needed
        if not may:
            st.caption(f":material/lock: Deciding this needs the role {needed.label}.")
        key = f"wait.{wait.run_id}.{wait.node_id}.{wait.map_index}"
        match wait.kind:
            case "approval":
                return _approval(wait, key=key, may=may)
            case "signal":
                return _signal(wait, key=key, may=may)
            case "attention":
                return _attention(wait, key=key, may=may)
            case _:
                return False


def _approval(wait: WaitRow, *, key: str, may: bool) -> bool:
    schema = wait.form or {"type": "object", "properties": {}}
    if not schema.get("properties"):
        with st.container(horizontal=True):
            for choice in (_APPROVE, _REJECT):
                clicked = st.button(choice.label, icon=choice.icon, disabled=not may, key=f"{key}.{choice.name}")
                if clicked:
                    return _decided(wait, choice.name, None)
        return False
    sent = forms.draw_choice(schema, key=key, choices=[_APPROVE, _REJECT], disabled=not may, border=False)
    return sent is not None and _decided(wait, sent[0], sent[1])


def _decided(wait: WaitRow, name: str, filled: Mapping[str, Any] | None) -> bool:
    decision: Decision = "approved" if name == _APPROVE.name else "rejected"
    done = actions.succeeds(
        lambda: actions.decide(wait.run_id, wait.node_id, wait.map_index, decision=decision, data=filled)
    )
    if done:
        st.toast(f"{decision.capitalize()}: the run goes on.", icon=":material/check_circle:")
    return done


def _signal(wait: WaitRow, *, key: str, may: bool) -> bool:
    sent = forms.draw_choice(wait.form or _ANYTHING, key=key, choices=[_SEND], disabled=not may, border=False)
    if sent is None:
        return False
    value = sent[1] if wait.form else sent[1].get("data")
    return actions.succeeds(lambda: actions.signal_run(wait.run_id, name=wait.name or "", data=value))


def _attention(wait: WaitRow, *, key: str, may: bool) -> bool:
    st.markdown(
        "The worker that executed it went away, and the step is of a kind that must not simply be repeated."
        " Look at what it did before, then say how the run goes on."
    )
    with st.form(f"{key}.form", border=False):
        action = st.radio(
            "How does the run go on?", list(_OUTCOMES), format_func=_OUTCOMES.__getitem__, disabled=not may
        )
        output = st.text_area("Output (JSON), when it completed", key=f"{key}.output", height=80, disabled=not may)
        sent = st.form_submit_button("Go on", icon=":material/play_arrow:", disabled=not may, key=f"{key}.send")
    if not sent or action is None:
        return False
    return actions.succeeds(
        lambda: actions.resolve_attention(
            wait.run_id, wait.node_id, wait.map_index, action=action, output=_json_of(output)
        )
    )


def _json_of(text: str | None) -> Any:
    if not text or not text.strip():
        return None
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InputError(f"The output is not JSON: {error}. Nothing was changed.") from error
