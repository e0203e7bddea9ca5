"""Values of any shape as text: what went into a step, and what came out."""

from typing import Any

import orjson
import streamlit as st

MOST_CHARACTERS = 20_000
"""More than this is cut: nobody reads it here, and browsers suffer."""


def as_text(value: Any) -> str:
    """Return *value* as it reads best: text as it is, everything else as indented JSON."""
    if isinstance(value, str):
        return value
    return orjson.dumps(value, option=orjson.OPT_INDENT_2, default=str).decode()


def draw_value(label: str, value: Any) -> None:
    """Draw *value* under its *label*; None draws nothing.

    Without colours: Streamlit's for code and JSON are too pale on our surfaces.
    """
    if value is None:
        return
    text = as_text(value)
    st.caption(label)
    st.code(text[:MOST_CHARACTERS], language=None, wrap_lines=True)
    if len(text) > MOST_CHARACTERS:
        st.caption(f"{len(text) - MOST_CHARACTERS:,} more characters are not shown.")
