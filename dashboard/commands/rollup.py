"""`helmsight rollup`: how far facts are summed, and to sum them again."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import timedelta

from analytics.core.clock import utc_now
from analytics.core.errors import DependencyError
from analytics.rollup.state import rollup_state
from analytics.rollup.upkeep import rebuild
from analytics.store.engine import session_scope
from dashboard.commands.answers import Answer, Table
from dashboard.commands.reach import reached
from dashboard.formats import plural, size_bytes


def status() -> Answer:
    """Show how far facts are summed, what waits, and how much room the sums take."""
    with reached() as here, session_scope(here.engine) as session:
        state = rollup_state(session)
    table = Table(("SOURCE", "CLOSED UNTIL (UTC)", "HOURS WAITING", "FROM"))
    for item in state.sources:
        closed = "never summed" if item.closed_until is None else f"{item.closed_until:%Y-%m-%d}"
        oldest = "" if item.oldest_waiting is None else f"{item.oldest_waiting:%Y-%m-%d %H:%M}"
        table.rows.append((item.source, closed, str(item.waiting_hours), oldest))
    return Answer(
        [
            *table.lines(),
            "",
            f"by hour: about {state.hour_cells:,} cells, {size_bytes(state.hour_bytes)} on disk",
            f"by day: about {state.day_cells:,} cells, {size_bytes(state.day_bytes)} on disk",
        ],
        asdict(state),
    )


def build_again(*, last_s: float, sources: Sequence[str] | None) -> Answer:
    """Sum the facts of the last *last_s* seconds again.

    Raises:
        InputError: If there is no such source; nothing was summed.
        DependencyError: If PostgreSQL is lost meanwhile; what was summed before stays.
    """
    now = utc_now()
    with reached() as here, _told_when_broken_off():
        report = rebuild(
            here.engine,
            since=now - timedelta(seconds=last_s),
            until=now,
            sources=sources,
            now=now,
            keep_hours=here.settings.store.keep_hours,
        )
    hours = sum(report.hours.values())
    lines = [f"{plural(hours, 'hour')} summed, in {plural(len(report.hours), 'source')}"]
    if report.dropped_marks:
        lines.append(f"{plural(report.dropped_marks, 'hour')} left as they were: their rows are not kept any more")
    return Answer(lines, asdict(report))


@contextmanager
def _told_when_broken_off() -> Iterator[None]:
    """Say of a rebuild that ends early what it is; the error itself speaks of one transaction of many."""
    try:
        yield
    except DependencyError as error:
        raise DependencyError(
            "The rebuild broke off because PostgreSQL was lost or took too long: days that were summed again stay so,"
            " the others are as they were. Give the same command again.",
            **error.context,
        ) from error
