"""Who is signed in, at the foot of the navigation, with the way out."""

import functools

import streamlit as st
from streamlit.components.v2.types import ComponentRenderer

from dashboard import formats
from dashboard.auth.sessions import Viewer

_SIGN_OUT = """
<form method="post" action="/logout">
  <button type="submit">Sign out</button>
</form>
"""
_STYLE = """
button {
  width: 100%;
  padding: 6px 12px;
  font-family: var(--st-font);
  font-size: 14px;
  color: var(--st-text-color);
  background: var(--st-background-color);
  border: 1px solid var(--st-border-color);
  border-radius: var(--st-button-radius);
  cursor: pointer;
}
button:hover { border-color: var(--st-primary-color); color: var(--st-primary-color); }
button:focus-visible { outline: 2px solid var(--st-primary-color); outline-offset: 2px; }
"""


def draw_account(viewer: Viewer) -> None:
    """Draw name, role and sign-out in the side bar."""
    with (
        st.sidebar,
        st.popover(formats.escaped(viewer.name or viewer.email), icon=":material/account_circle:", width="stretch"),
    ):
        st.markdown(f"**{formats.escaped(viewer.name)}**  \n{formats.escaped(viewer.email)}")
        st.markdown(f":blue-badge[:material/badge: {viewer.role.label.capitalize()}]")
        _renderer()(key="sign_out")


@functools.cache
def _renderer() -> ComponentRenderer:
    return st.components.v2.component("helmsight_sign_out", html=_SIGN_OUT, css=_STYLE)
