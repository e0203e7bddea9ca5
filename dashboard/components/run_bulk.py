"""What is done with many runs at once, after a look at which; and what was refused, with the reasons."""

import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import streamlit as st

from analytics.store.queries.run_filter import OPEN, RunFilter
from analytics.store.queries.runs import RunRow
from dashboard import actions, data, formats
from dashboard.auth.roles import Role
from dashboard.components import runs
from dashboard.components.navigation import go
from dashboard.filters import Filters
from worker.enqueue import BulkReport

Deed = Literal["cancel", "retry"]

MOST_AT_ONCE = 500
_PER_READ = 100
_NAMED = 12
_REPORT = "runs.report"
_COMPARED = 2


@dataclass(frozen=True, slots=True)
class _Words:
    button: str
    icon: str
    done: str
    fits: tuple[str, ...]
    """States in which a run takes it."""


_WORDS: dict[Deed, _Words] = {
    "cancel": _Words("Cancel", ":material/cancel:", "cancelled", OPEN),
    "retry": _Words("Retry", ":material/replay:", "queued again", ("failed", "cancelled")),
}


def draw_bulk(marked: Sequence[RunRow], wanted: RunFilter, filters: Filters, role: Role, *, total: int) -> None:
    """Draw what can be done with the marked runs, or with all that the filters let through.

    Args:
        marked: The runs that are marked; none: only what concerns all.
        wanted: The filters of the list.
        filters: Time range, and what links keep.
        role: Of the viewer.
        total: How many runs the list has in all.
    """
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="runs.bulk"):
        words = f"{formats.plural(len(marked), 'run')} marked" if marked else "Mark runs to act on them"
        st.caption(words, width="content")
        if len(marked) == _COMPARED and st.button("Compare", icon=":material/compare_arrows:", key="runs.compare"):
            older, newer = sorted(marked, key=lambda row: row.created_at)
            go("compare", filters, left=older.id, right=newer.id)
        if role >= Role.OPERATOR:
            for deed in _WORDS:
                _draw_deed(deed, marked, wanted, filters, total)


def _draw_deed(deed: Deed, marked: Sequence[RunRow], wanted: RunFilter, filters: Filters, total: int) -> None:
    words = _WORDS[deed]
    with st.popover(words.button, icon=words.icon, key=f"runs.{deed}", disabled=not total):
        every = not marked or st.checkbox(
            f"All runs that the filters let through, up to {MOST_AT_ONCE}", key=f"runs.{deed}.all"
        )
        if every:
            st.markdown(_all_words(deed, wanted, filters, total))
        else:
            st.markdown(_marked_words(deed, marked))
        if st.button(f"{words.button} now", icon=words.icon, key=f"runs.{deed}.now"):
            ids = matching(deed, wanted, filters) if every else [row.id for row in marked]
            do(deed, ids)


def _all_words(deed: Deed, wanted: RunFilter, filters: Filters, total: int) -> str:
    fits = _WORDS[deed].fits
    statuses = [status for status in wanted.statuses or fits if status in fits]
    if not statuses:
        return f"The filters let no run through that can be {_WORDS[deed].done}."
    among = f"Of {formats.plural(total, 'run')} that began in the {filters.span.words}"
    return f"{among}, those that are {' or '.join(status.replace('_', ' ') for status in statuses)}."


def _marked_words(deed: Deed, marked: Sequence[RunRow]) -> str:
    lines = [f"- {runs.run_line(row)}" for row in marked[:_NAMED]]
    if len(marked) > _NAMED:
        lines.append(f"- and {len(marked) - _NAMED} more")
    unfit = sum(row.status not in _WORDS[deed].fits for row in marked)
    if unfit:
        lines.append(f"\n{formats.plural(unfit, 'run')} cannot be {_WORDS[deed].done} as they stand; the rest is.")
    return "\n".join(lines)


def matching(deed: Deed, wanted: RunFilter, filters: Filters) -> list[uuid.UUID]:
    """Return the runs that the filters let through and that take the *deed*, newest first, at most 500."""
    fits = _WORDS[deed].fits
    statuses = tuple(status for status in wanted.statuses or fits if status in fits)
    found: list[uuid.UUID] = []
    before = None
    while statuses and len(found) < MOST_AT_ONCE:
        narrowed = replace(wanted, statuses=statuses)
        rows = data.list_runs(filters.span, narrowed, before=before, limit=_PER_READ).value or []
        found.extend(row.id for row in rows)
        if len(rows) < _PER_READ:
            break
        before = rows[-1].created_at, rows[-1].id
    return found[:MOST_AT_ONCE]


def do(deed: Deed, ids: Sequence[uuid.UUID]) -> None:
    """Do it with each of *ids*, keep what became of it for :func:`draw_report`, and draw the page anew."""
    act = actions.cancel_runs if deed == "cancel" else actions.retry_runs
    report = actions.attempt(lambda: act(ids) if ids else BulkReport(0, []))
    if report is not None:
        st.session_state[_REPORT] = (deed, report)
        st.rerun(scope="app")


def draw_report() -> None:
    """Draw what became of the last deed, until it is dismissed."""
    held: tuple[Deed, BulkReport] | None = st.session_state.get(_REPORT)
    if held is None:
        return
    deed, report = held
    lines = [f"**{formats.plural(report.done, 'run')} {_WORDS[deed].done}.**"]
    reasons = Counter(reason for _, reason in report.refused)
    if report.refused:
        lines.append(f"{formats.plural(len(report.refused), 'run')} refused:")
        lines.append("")
        lines += [f"- {count:,} times: {formats.escaped(reason)}" for reason, count in reasons.most_common(_NAMED)]
    elif not report.done:
        lines.append("No run was in a state that takes it.")
    with st.container(horizontal=True, vertical_alignment="top", key="runs.report.row"):
        draw = st.warning if report.refused else st.success
        draw("\n".join(lines), icon=":material/rule:" if report.refused else ":material/check_circle:")
        if st.button("Dismiss", icon=":material/close:", key="runs.report.dismiss", type="tertiary"):
            del st.session_state[_REPORT]
            st.rerun()
