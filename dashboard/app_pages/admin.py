"""Who may do what, and how is this installation set up?"""

import streamlit as st

from analytics.core.clock import utc_now
from dashboard import actions, data, guard
from dashboard.auth.roles import Role
from dashboard.auth.viewer import current_viewer, require
from dashboard.components import admin, states, tables
from dashboard.components.head import current_filters
from dashboard.components.health import parts_table
from dashboard.context import get_context
from dashboard.settings_view import effective_settings

filters = current_filters()
require(current_viewer(), Role.ADMIN, doing="open the administration")


def draw_users() -> None:
    search = st.text_input(
        "Search users",
        type="search",
        live="300ms",
        placeholder="Search by name or e-mail",
        key="admin.search",
        width=320,
        label_visibility="collapsed",
    )
    found = states.settle(data.list_users(st.session_state.get("admin.page", 1), search or None), "The users")
    if found is None:
        return
    if not found.items:
        states.empty("No user found", "Try another word, or add somebody below.", icon=":material/group:")
    row = tables.table(
        found.items, admin.USER_COLUMNS, alt="Accounts", key="admin.users", can_select=True, height="content"
    )
    if found.pages > 1:
        st.pagination(found.pages, key="admin.page")
    left, right = st.columns(2, gap="medium")
    with left:
        typed = admin.user_form()
        if typed is not None:
            password = actions.attempt(lambda: actions.add_user(**typed))
            admin.show_once(f"One-time password of {typed['email']}", password)
    with right:
        if row is None:
            states.empty(
                "Choose a user", "Select a row above to change a role, disable or reset.", icon=":material/ads_click:"
            )
        else:
            change_user(found.items[row])


def change_user(user: admin.UserRow) -> None:
    wish = admin.change_form(user)
    match wish:
        case ("role", role):
            done = actions.succeeds(lambda: actions.change_user(user, role=role))
        case ("disabled", disabled):
            done = actions.succeeds(lambda: actions.change_user(user, disabled=disabled == "yes"))
        case ("reset", _):
            admin.show_once(f"One-time password of {user.email}", actions.attempt(lambda: actions.reset_password(user)))
            return
        case _:
            return
    if done:
        st.rerun()


def draw_tokens() -> None:
    found = states.settle(data.list_tokens(1), "The tokens")
    if found is None:
        return
    row = None
    if found.items:
        row = tables.table(
            found.items, admin.TOKEN_COLUMNS, alt="API tokens", key="admin.tokens", can_select=True, height="content"
        )
    else:
        states.empty("No API token", "Programs use tokens to call the API; make one below.", icon=":material/key:")
    chosen = None if row is None else found.items[row]
    if (
        st.button(
            "Revoke the selected token",
            icon=":material/key_off:",
            key="admin.revoke",
            disabled=chosen is None or chosen.revoked_at is not None,
        )
        and chosen is not None
        and actions.succeeds(lambda: actions.revoke_token(chosen))
    ):
        st.rerun()
    typed = admin.token_form(current_viewer().email)
    if typed is not None:
        secret = actions.attempt(lambda: actions.add_token(**typed))
        admin.show_once(f"Token {typed['name']}", secret)


def draw_settings() -> None:
    rows = effective_settings(get_context().settings)
    tables.table(rows, admin.SETTING_COLUMNS, alt="Settings in force", key="admin.settings", height=560)
    st.caption("Settings are read once at start, from the environment. Secrets are never shown.")


def draw_health() -> None:
    answer = data.health()
    health = states.settle(answer, "The parts")
    if health is not None:
        parts_table(health)
        admin.draw_process(health, now=utc_now())
    seeded = states.settle(data.has_demo(), "Whether there is demo history")
    if seeded is not None:
        admin.draw_demo(is_seeded=seeded)


def draw_audit() -> None:
    only = st.segmented_control("Entries", ["All", "Refused"], default="All", required=True, key="admin.audit")
    found = states.settle(data.list_audit("refused" if only == "Refused" else None), "The audit log")
    if not found:
        if found is not None:
            states.empty(
                "No entry", "What people do, and what they are refused, is noted here.", icon=":material/history:"
            )
        return
    tables.table(found, admin.AUDIT_COLUMNS, alt="Audit log, newest first", key="admin.log", height=560)


SECTIONS = {
    "Users": draw_users,
    "Tokens": draw_tokens,
    "Settings": draw_settings,
    "Health": lambda: guard.live(draw_health, name="admin_health", every=filters.rhythm),
    "Audit": draw_audit,
}
section = st.segmented_control(
    "Section",
    list(SECTIONS),
    default="Users",
    required=True,
    key="section",
    bind="query-params",
    label_visibility="collapsed",
)
SECTIONS[section or "Users"]()
