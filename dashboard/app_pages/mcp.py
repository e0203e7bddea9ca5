"""Which tools can be called, and what do they answer?"""

import uuid
from datetime import timedelta

import streamlit as st

from dashboard import actions, data, formats, guard
from dashboard.auth.roles import Role
from dashboard.auth.viewer import current_viewer
from dashboard.components import forms, mcp, run_view, runs, states, tables
from dashboard.components.head import current_filters
from dashboard.components.navigation import go

filters = current_filters()
can_call = current_viewer().role >= Role.OPERATOR
WATCH = timedelta(seconds=1)


def go_to(**extra: object) -> None:
    go("mcp", filters, **extra)


def draw_servers() -> None:
    found = states.settle(data.mcp_servers(), "The MCP servers")
    if found is None:
        return
    if not found:
        states.empty(
            "No MCP server is known yet",
            "Workers read the servers file when they start; name one in HELMSIGHT_MCP__SERVERS_FILE.",
            icon=":material/extension:",
        )
        return
    names = [server.name for server in found]
    chosen = st.query_params.get("server") or names[0]
    row = tables.table(
        found,
        mcp.SERVER_COLUMNS,
        alt="MCP servers with their state and number of tools",
        key="mcp.servers",
        can_open=True,
        height="content",
    )
    if row is not None and names[row] != chosen:
        go_to(server=names[row])
    if st.button("Read the lists of tools again", icon=":material/sync:", disabled=not can_call, key="mcp.refresh"):
        taken = actions.attempt(actions.refresh_tools)
        if taken is not None:
            st.toast("Asked for; the lists are read within seconds." if taken else "It was asked for a moment ago.")
    if chosen in names:
        draw_tools(chosen)
    else:
        states.missing(f"There is no MCP server called {chosen!r}.")


def draw_tools(server: str) -> None:
    found = states.settle(data.mcp_tools(server), "The tools")
    if found is None:
        return
    if not found:
        states.empty("No tools", f"{server} offers none, or has not answered yet.", icon=":material/build:")
        return
    names = [tool.name for tool in found]
    linked = st.query_params.get("tool")
    left, right = st.columns(2, gap="medium")
    with left:
        name = st.selectbox(
            "Tool", names, index=names.index(linked) if linked in names else 0, key=f"mcp.tool.{server}"
        )
        tool = found[names.index(name)]
        mcp.draw_tool(tool)
        arguments = forms.draw_form(
            tool.input_schema,
            key=f"mcp.call.{server}.{name}",
            submit="Call",
            icon=":material/send:",
            disabled=not can_call or not tool.allowed,
        )
        if not can_call:
            st.caption(":material/lock: Calling a tool needs the role operator.")
        if arguments is not None:
            queued = actions.attempt(lambda: actions.call_tool(server, name, arguments))
            if queued is not None:
                st.session_state["mcp.called"] = queued.run_id
                st.toast(actions.queued_words(queued), icon=":material/schedule:")
    with right:
        called: uuid.UUID | None = st.session_state.get("mcp.called")
        if called is None:
            states.empty(
                "No call yet",
                "Fill in the form and call the tool; its answer appears here.",
                icon=":material/terminal:",
            )
        else:
            draw_answer(called)


def draw_answer(called: uuid.UUID) -> None:
    first = data.run(called).value
    active = first is None or run_view.is_active(first)

    def draw() -> None:
        detail = states.settle(data.run(called), "The answer")
        if detail is not None:
            mcp.draw_answer(detail, filters)
            if active and not run_view.is_active(detail):
                st.rerun()

    guard.live(draw, name="mcp_answer", every=WATCH if active else None)


def draw_recent() -> None:
    st.header("Recent calls", anchor=False)
    carrier = data.workflow("mcp-call").value
    found = (
        None
        if carrier is None
        else states.settle(data.list_runs(filters.span, workflow_id=carrier.row.id), "The calls")
    )
    if found is None:
        return
    if not found:
        states.empty("No call", f"No tool was called in the {filters.span.words}.", icon=":material/history:")
        return
    runs.run_table(
        found, filters, key="mcp.recent", what=f"Calls of MCP tools in the {filters.span.words}, newest first"
    )
    st.caption(formats.plural(len(found), "call") + " shown; open one for its arguments and its answer.")


draw_servers()
guard.live(draw_recent, name="mcp_recent", every=filters.rhythm)
