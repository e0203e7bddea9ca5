"""Administration: columns, forms, and secrets that are shown once."""

from datetime import datetime
from typing import Any

import streamlit as st

from analytics.store.queries.audit import AuditRow
from analytics.store.queries.identity import TokenRow, UserRow
from dashboard import formats
from dashboard.api.health import Health
from dashboard.auth.roles import Role
from dashboard.components.status import Look
from dashboard.components.tables import Column
from dashboard.settings_view import SettingRow

__all__ = ["UserRow"]

_ENABLED = Look("Enabled", ":material/check_circle:", "green")
_DISABLED = Look("Disabled", ":material/block:", "red")
_FIRST = Look("Must set a password", ":material/password:", "orange")
_VALID = Look("Valid", ":material/check_circle:", "green")
_REVOKED = Look("Revoked", ":material/key_off:", "red")
_OK = Look("Ok", ":material/check_circle:", "green")
_REFUSED = Look("Refused", ":material/block:", "red")
ROLES = [role.label for role in Role]
_LIVES = {"30 days": 30, "90 days": 90, "1 year": None}


def _user_look(user: UserRow) -> Look:
    if user.disabled_at is not None:
        return _DISABLED
    return _FIRST if user.must_change_password else _ENABLED


USER_COLUMNS: list[Column[UserRow]] = [
    Column("E-mail", lambda user: user.email),
    Column("Name", lambda user: user.name),
    Column("Role", lambda user: user.role, width="small"),
    Column("State", _user_look, "state"),
    Column("Since", lambda user: user.created_at, "moment"),
]
TOKEN_COLUMNS: list[Column[TokenRow]] = [
    Column("Name", lambda token: token.name),
    Column("Begins", lambda token: token.prefix, width="small"),
    Column("Owner", lambda token: token.user.email),
    Column("Role", lambda token: token.role, width="small"),
    Column("State", lambda token: _VALID if token.revoked_at is None else _REVOKED, "state", width="small"),
    Column("Last used", lambda token: token.last_used_at, "moment"),
    Column("Ends", lambda token: token.expires_at, "moment"),
]
SETTING_COLUMNS: list[Column[SettingRow]] = [
    Column("Variable", lambda row: row.variable),
    Column("In force", lambda row: row.value),
    Column("Default", lambda row: row.default),
    Column("What it does", lambda row: row.description, width="large"),
]
AUDIT_COLUMNS: list[Column[AuditRow]] = [
    Column("At", lambda row: row.at, "moment"),
    Column("Who", lambda row: row.actor),
    Column("What", lambda row: row.action),
    Column("Outcome", lambda row: _OK if row.outcome == "ok" else _REFUSED, "state", width="small"),
    Column("Object", lambda row: " ".join(filter(None, (row.object_type, row.object_id)))),
    Column("Detail", lambda row: dict(row.detail) or None, "json"),
    Column("Number", lambda row: row.correlation_id, help="Joins this entry to the log lines of its click."),
]


def user_form() -> dict[str, Any] | None:
    """Draw the form that adds an account; return what was typed on the run in which it was sent."""
    with st.form("admin.user", clear_on_submit=True):
        st.markdown("**Add a user**")
        email = st.text_input("E-mail", type="email", key="admin.user.email")
        name = st.text_input("Name", key="admin.user.name")
        role = st.selectbox("Role", ROLES, key="admin.user.role")
        sent = st.form_submit_button("Add", icon=":material/person_add:")
    return {"email": email or "", "name": name or "", "role": role} if sent else None


def change_form(user: UserRow) -> tuple[str, str] | None:
    """Draw what can be done with *user*; return the wish, as a word and its value."""
    with st.container(border=True):
        st.markdown(f"**{formats.escaped(user.name)}**, {formats.escaped(user.email)}")
        role = st.selectbox("Role", ROLES, index=ROLES.index(user.role), key=f"admin.role.{user.id}")
        with st.container(horizontal=True):
            if st.button("Set role", icon=":material/badge:", disabled=role == user.role, key="admin.set_role"):
                return ("role", role)
            if user.disabled_at is None:
                if st.button("Disable", icon=":material/block:", key="admin.disable", help="Also ends their sessions."):
                    return ("disabled", "yes")
            elif st.button("Enable", icon=":material/check_circle:", key="admin.enable"):
                return ("disabled", "no")
            if st.button("Reset password", icon=":material/lock_reset:", key="admin.reset"):
                return ("reset", "")
    return None


def token_form(email: str) -> dict[str, Any] | None:
    """Draw the form that makes a token; return what was typed on the run in which it was sent."""
    with st.form("admin.token", clear_on_submit=True):
        st.markdown("**Make an API token**")
        owner = st.text_input("Owner (e-mail)", value=email, key="admin.token.owner")
        name = st.text_input("What it is for", key="admin.token.name")
        role = st.selectbox("Role, at most the owner's", ROLES, key="admin.token.role")
        life = st.selectbox("Ends after", list(_LIVES), index=1, key="admin.token.life")
        sent = st.form_submit_button("Make", icon=":material/key:")
    return {"email": owner or "", "name": name or "", "role": role, "days": _LIVES[life]} if sent else None


def show_once(what: str, secret: str | None) -> None:
    """Show a secret that is stored nowhere; None shows nothing."""
    if secret is not None:
        st.success(f"**{formats.escaped(what)}**. Copy it now; it is not shown again.", icon=":material/key:")
        st.code(secret, language=None)


def draw_process(health: Health, *, now: datetime) -> None:
    """Draw what is known of this process."""
    started = formats.duration((now - health.started_at).total_seconds())
    st.caption(f"Helmsight {health.version}; this process has run for {started}.")
    known = {name.replace("_", " ").capitalize(): formats.number(value) for name, value in health.metrics.items()}
    if known:
        st.table(known, border="horizontal", width="content", alt="Counts of this process")


def draw_demo(*, is_seeded: bool) -> None:
    """Say whether demo history is present, and how to remove it."""
    if is_seeded:
        st.info(
            "Demo history is present and labelled everywhere. `helmsight demo --remove` takes out every row of it and"
            " nothing else.",
            icon=":material/science:",
        )
    else:
        st.caption("There is no demo history.")
