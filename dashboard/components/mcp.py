"""MCP servers and tools: columns, a tool's own words, and the answer to a call."""

from typing import Any

import streamlit as st

from analytics.store.queries.mcp import McpServerRow, McpToolRow
from analytics.store.queries.runs import RunDetail
from dashboard import formats
from dashboard.components.run_view import error_words, is_active
from dashboard.components.status import RUN_LOOKS, Look, look_of
from dashboard.components.tables import Column
from dashboard.components.values import draw_value
from dashboard.filters import Filters
from dashboard.links import page_of, query

_SERVER_LOOKS = {
    "up": Look("Up", ":material/check_circle:", "green"),
    "down": Look("Down", ":material/cloud_off:", "red"),
    "disabled": Look("Disabled", ":material/do_not_disturb_on:", "gray"),
    "unusable": Look("Unusable", ":material/warning:", "orange"),
}

SERVER_COLUMNS: list[Column[McpServerRow]] = [
    Column("Server", lambda row: row.name),
    Column("State", lambda row: look_of(_SERVER_LOOKS, row.status), "state", width="small"),
    Column("Tools", lambda row: row.tools, "number", width="small"),
    Column("Transport", lambda row: row.transport, width="small"),
    Column("Answered", lambda row: row.seen_at, "moment"),
    Column("Error", lambda row: row.error, width="large"),
]


def draw_tool(tool: McpToolRow) -> None:
    """Draw what the server says about a tool; its words are quoted, because they are not ours."""
    st.text(tool.description or "The server gives no description.")
    if not tool.allowed:
        st.warning("The servers file does not let this tool be called.", icon=":material/lock:")
    hints = [word for key, word in _HINTS.items() if tool.annotations.get(key)]
    if hints:
        st.caption("The server says: " + ", ".join(hints) + ".")


_HINTS = {
    "readOnlyHint": "it only reads",
    "destructiveHint": "it may destroy data",
    "idempotentHint": "calling it twice does no more than once",
    "openWorldHint": "it reaches outside systems",
}


def draw_answer(detail: RunDetail, filters: Filters) -> None:
    """Draw the answer to a call, or how far it is."""
    called = detail.params
    what = formats.escaped(f"{called.get('server')} · {called.get('tool')}")
    st.markdown(f"**{what}** {look_of(RUN_LOOKS, detail.row.status).badge}")
    if is_active(detail):
        with st.skeleton(height=120):
            pass
        return
    if detail.error:
        st.error(formats.escaped(error_words(detail.error)) or "It failed.", icon=":material/error:")
    _draw_content(detail.output)
    st.caption(f"Took {formats.duration(detail.row.duration_s)}.")
    st.page_link(
        str(page_of("run").path),
        label="Open the run",
        icon=":material/play_circle:",
        query_params=query(filters, run=detail.row.id),
    )


def _draw_content(output: Any) -> None:
    if output is None:
        return
    texts = texts_of(output)
    for text in texts:
        st.code(text, language=None, wrap_lines=True)
    if texts:
        with st.expander("Everything it answered", icon=":material/data_object:"):
            draw_value("Output of the run", output)
    else:
        draw_value("Answer", output)


def texts_of(output: Any) -> list[str]:
    """Return the text blocks of an answer, wherever the run's output holds them."""
    if isinstance(output, dict):
        content = output.get("content")
        if isinstance(content, list):
            return [str(part["text"]) for part in content if isinstance(part, dict) and part.get("type") == "text"]
        return [text for value in output.values() for text in texts_of(value)]
    return []
