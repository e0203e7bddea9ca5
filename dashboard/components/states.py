"""The five shared states: empty, loading, stale, unavailable, not permitted; and what a broken page says.

Each says what happened, what was not done, and what to do next.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, TypeVar

import streamlit as st

from analytics.core.clock import utc_now
from analytics.core.errors import HelmsightError, InputError
from dashboard import formats
from dashboard.reading import Answer, Outage
from dashboard.zone import viewer_zone

T = TypeVar("T")

_PART_NAMES = {"postgres": "PostgreSQL", "redis": "Redis", "prometheus": "Prometheus", "mcp": "MCP"}
_STILL_WORKS = {
    "postgres": (
        "Pages show the last values they read, marked as old. Runs, documents and settings are safe in PostgreSQL;"
        " workers go on when it returns. Nothing new can be started until then."
    ),
    "redis": (
        "Figures, runs and documents come from PostgreSQL and are up to date. Work you start is kept there and begins"
        " when Redis returns. Live agent states are not shown until then."
    ),
    "prometheus": (
        "Everything from PostgreSQL is up to date: runs, agents, documents, and the objectives measured there. Figures"
        " that Prometheus measures show no new data until it returns."
    ),
}


def part_name(part: str) -> str:
    """Return what people call *part*."""
    return _PART_NAMES.get(part, part)


def empty(title: str, hint: str, *, icon: str = ":material/inbox:") -> None:
    """Say that there is nothing yet, and how something gets here."""
    with st.container(border=True, horizontal_alignment="center", gap=None):
        st.markdown(f"**{icon} {title}**", text_alignment="center")
        st.caption(hint, text_alignment="center")


def loading(height: int = 160) -> Any:
    """Return a context that holds the place of what its block draws, until it is there; *height* in pixels."""
    return st.skeleton(height=height)


def settle(answer: Answer[T], what: str) -> T | None:
    """Return the value of *answer*, drawing above it that it is old, or in its place that it cannot be shown.

    Args:
        answer: What a question gave.
        what: What is shown here, as it stands before "cannot be shown", for example ``The agents``.
    """
    if answer.outage is None:
        return answer.value
    if answer.read_at is None:
        with st.container(border=True, horizontal_alignment="center", gap=None):
            name = part_name(answer.outage.part)
            st.markdown(f":material/cloud_off: **{what} cannot be shown: {name} is away.**", text_alignment="center")
            st.caption("This page tries again by itself.", text_alignment="center")
        return None
    stale(answer.read_at, answer.outage)
    return answer.value


def stale(read_at: datetime, outage: Outage) -> None:
    """Say that what follows is old."""
    age = formats.age(read_at, now=utc_now())
    st.markdown(f":orange-badge[:material/history: Old values] read {age}; {part_name(outage.part)} is away.")


def away(outages: Iterable[Outage]) -> None:
    """Say which parts are away, since when, and what still works."""
    for outage in outages:
        since = formats.moment(outage.since, viewer_zone())
        lasted = formats.duration(max(1.0, (utc_now() - outage.since).total_seconds() // 1))
        works = _STILL_WORKS.get(outage.part, "The other parts go on.")
        st.error(
            f"**{part_name(outage.part)} is away** since {since} ({lasted}). {works} This page recovers by itself.",
            icon=":material/cloud_off:",
        )


def no_permission(message: str) -> None:
    """Say that the viewer's role does not allow it."""
    with st.container(border=True, horizontal_alignment="center", gap=None):
        st.markdown("**:material/lock: You do not have permission**", text_alignment="center")
        st.caption(formats.escaped(message), text_alignment="center")


def missing(message: str) -> None:
    """Say that what a link names does not exist, or no longer."""
    empty("Not found", formats.escaped(message), icon=":material/search_off:")


def refused(error: HelmsightError) -> None:
    """Say why input was not accepted, with each problem on its own line where there are several."""
    problems = error.context.get("problems") or ()
    lines = [f"- {_problem(problem)}" for problem in problems]
    message = formats.escaped(error.message)
    st.warning("\n".join([message, "", *lines] if lines else [message]), icon=":material/edit_note:")


def _problem(problem: object) -> str:
    if not isinstance(problem, dict):
        return formats.escaped(str(problem))
    where = [f"line {problem['line']}"] if problem.get("line") else []
    if problem.get("path"):
        where.append(f"`{problem['path']}`")
    place = ", ".join(where)
    hint = f" ({problem['hint']})" if problem.get("hint") else ""
    reason = formats.escaped(f"{problem.get('reason', '')}{hint}")
    return f"**{place}**: {reason}" if place else reason


def broken(correlation: str) -> None:
    """Say that the page failed because of a mistake of ours."""
    st.error(
        "**This part of the page failed.** Nothing was changed. Reload the page; if it happens again, give the"
        f" administrator this number, under which the log has the cause: `{correlation}`",
        icon=":material/bug_report:",
    )


def signed_out(message: str, *, change_password: bool = False) -> None:
    """Say that the session ended, with the way back in."""
    with st.container(border=True, horizontal_alignment="center"):
        st.markdown(f"**:material/logout: {message}**", text_alignment="center")
        if change_password:
            st.markdown('<a href="/password" target="_self">Choose a password</a>', unsafe_allow_html=True)
        else:
            st.markdown('<a href="/login" target="_self">Sign in</a>', unsafe_allow_html=True)


def as_of(*answers: Answer[Any]) -> None:
    """Say when what stands above was read; the oldest counts."""
    times = [answer.read_at for answer in answers if answer.read_at is not None]
    if times:
        oldest = min(times)
        st.caption(f"As of {formats.moment(oldest, viewer_zone())}, {formats.age(oldest, now=utc_now())}.")


def problems_of(error: InputError) -> list[str]:
    """Return the problems an error lists, as plain text."""
    return [_problem(problem) for problem in error.context.get("problems") or ()]
