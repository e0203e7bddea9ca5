"""Triggers of a workflow: webhooks, events and alerts that start it; a webhook's secret is shown once."""

import uuid
from collections.abc import Sequence
from typing import Any, Literal

import streamlit as st

from analytics.core.errors import InputError
from analytics.store.queries.schedules import TriggerRow
from dashboard import formats
from dashboard.components import editor, states, tables
from dashboard.components.status import Look
from dashboard.components.tables import Column
from worker.workflow.triggers import TriggerKind, TriggerSpec

Wish = Literal["pause", "resume", "delete", "rotate"]

_ON = Look("On", ":material/check_circle:", "green")
_PAUSED = Look("Paused", ":material/pause_circle:", "violet")
_FAILED = Look("Last event failed", ":material/error:", "red")
_KINDS: dict[TriggerKind, str] = {
    "webhook": ":material/webhook: Webhook",
    "event": ":material/bolt: Event",
    "alert": ":material/notification_important: Alert",
}
_EVENTS = ("run.completed", "run.failed", "run.cancelled", "run.*")
_MOST_TAGS = 20


def look(row: TriggerRow) -> Look:
    """Return how a trigger stands."""
    if row.paused_at is not None:
        return _PAUSED
    return _FAILED if row.error else _ON


COLUMNS: list[Column[TriggerRow]] = [
    Column("Trigger", lambda row: row.name),
    Column("State", look, "state", width="small"),
    Column("Kind", lambda row: row.kind, width="small"),
    Column("Event", lambda row: row.event_kind or ("all alerts" if row.kind == "alert" else None)),
    Column("Last", lambda row: row.last_at, "moment"),
    Column("Why none started", lambda row: row.error, width="large"),
]


def address(row_name: str, host: str) -> str:
    """Return where a webhook is sent to."""
    return f"{host.rstrip('/')}/hooks/{row_name}"


def example(row_name: str, host: str) -> str:
    """Return commands that send a signed webhook."""
    return f"""\
body='{{"ref": "main"}}'
t=$(date +%s)
v1=$(printf '%s.%s' "$t" "$body" | openssl dgst -sha256 -hmac "$SECRET" -hex | sed 's/^.* //')
curl -X POST {address(row_name, host)} \\
  -H "Content-Type: application/json" \\
  -H "Helmsight-Signature: t=$t,v1=$v1" \\
  -d "$body"
"""


def draw_list(rows: Sequence[TriggerRow]) -> TriggerRow | None:
    """Draw triggers; return the one that is marked."""
    return tables.choose(rows, COLUMNS, alt="Triggers of the workflow", key="triggers.table")


def draw_one(row: TriggerRow, host: str, *, can_change: bool) -> Wish | None:
    """Draw one trigger and what can be done with it; return what the reader wants."""
    wish: Wish | None = None
    with st.container(border=True):
        st.markdown(f"**{formats.escaped(row.name)}** {look(row).badge}")
        if row.error:
            st.warning(formats.escaped(row.error), icon=":material/error:")
        with st.container(horizontal=True):
            if row.paused_at is None:
                if st.button("Pause", icon=":material/pause:", key=f"trigger.pause.{row.id}", disabled=not can_change):
                    wish = "pause"
            elif st.button(
                "Resume", icon=":material/play_arrow:", key=f"trigger.resume.{row.id}", disabled=not can_change
            ):
                wish = "resume"
            if row.kind == "webhook":
                with st.popover("New secret", icon=":material/key:", disabled=not can_change):
                    st.markdown("The secret in use stops working at once.")
                    if st.button("Make a new secret", type="primary", key=f"trigger.rotate.{row.id}"):
                        wish = "rotate"
            with st.popover("Delete", icon=":material/delete:", disabled=not can_change):
                st.markdown("Runs it started stay.")
                if st.button("Delete it", type="primary", key=f"trigger.delete.{row.id}"):
                    wish = "delete"
        if row.kind == "webhook":
            st.caption("Send a JSON object to this address, signed with its secret.")
            st.code(address(row.name, host), language=None)
            with st.expander("How to sign", icon=":material/terminal:"):
                st.code(example(row.name, host), language=None)
                st.caption("A webhook of GitHub signed with the same secret is taken as well.")
        _draw_values(row)
    return wish


def _draw_values(row: TriggerRow) -> None:
    left, right = st.columns(2)
    with left:
        st.caption("Only events that hold")
        st.json(dict(row.filter), expanded=True)
    with right:
        st.caption("Parameters of the run")
        st.json(dict(row.params), expanded=True)


def draw_form(workflow_id: uuid.UUID, workflow: str, *, disabled: bool) -> TriggerSpec | None:
    """Draw the form of a new trigger; return it on the run in which it was sent."""
    key = f"trigger.new.{workflow}"
    if disabled:
        st.caption(":material/lock: Saving a trigger needs the role operator.")
    kind: TriggerKind = st.segmented_control(
        "Started by",
        list(_KINDS),
        default="webhook",
        format_func=_KINDS.__getitem__,
        required=True,
        key=f"{key}.kind",
    )
    with st.form(f"{key}.form", enter_to_submit=False):
        name = st.text_input(
            "Name",
            max_chars=64,
            placeholder=f"{workflow}-{kind}",
            key=f"{key}.name",
            help="Part of a webhook's address.",
        )
        event = None
        if kind == "event":
            event = st.selectbox(
                "Event", _EVENTS, accept_new_options=True, key=f"{key}.event", help="`run.*` is every end of a run."
            )
        elif kind == "alert":
            event = st.text_input("Alert", placeholder="All alerts", key=f"{key}.alert", help="Such as `alert.firing`.")
        wanted = st.text_area(
            "Only events that hold (JSON)",
            value="{}",
            height=80,
            key=f"{key}.filter",
            help='Values by dotted path, for example `{"data.workflow": ["etl", "report"]}`.',
        )
        params = st.text_area(
            "Parameters of the run (JSON)",
            value="{}",
            height=100,
            key=f"{key}.params",
            help="Texts may hold `{{ event.data.… }}`, `{{ event.kind }}`, `{{ event.subject }}`.",
        )
        left, right = st.columns(2)
        with left:
            priority = st.number_input(
                "Priority", min_value=-100, max_value=100, value=0, step=1, key=f"{key}.priority"
            )
        with right:
            tags = st.multiselect(
                "Tags of its runs", [], accept_new_options=True, max_selections=_MOST_TAGS, key=f"{key}.tags"
            )
        sent = st.form_submit_button("Save trigger", icon=":material/bolt:", disabled=disabled, key=f"{key}.send")
    if not sent:
        return None
    try:
        return TriggerSpec(
            name=(name or "").strip(),
            workflow=workflow_id,
            kind=kind,
            event_kind=(event or "").strip() or None,
            filter=_object(wanted, "What events have to hold"),
            params=_object(params, "The parameters"),
            priority=int(priority),
            tags=tuple(tags),
        )
    except InputError as error:
        states.refused(error)
        return None


def _object(text: str | None, what: str) -> dict[str, Any]:
    value = editor.json_of(text or "{}", what)
    if not isinstance(value, dict):
        raise InputError(f"{what} has to be a JSON object, such as {{}}; nothing was saved.")
    return value
