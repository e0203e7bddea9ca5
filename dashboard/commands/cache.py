"""`helmsight cache`: how much is kept of what nodes worked out, and how to drop it."""

from datetime import timedelta

from analytics.core.clock import utc_now
from analytics.store.engine import session_scope
from dashboard.commands.answers import Answer, Table
from dashboard.commands.reach import reached
from dashboard.formats import plural, size_bytes
from worker.workflow.cache import cache_state, forget
from worker.workflow.kinds import find_kind


def show() -> Answer:
    """Show how many results are kept, by kind of node."""
    with reached() as here, session_scope(here.engine) as session:
        state = cache_state(session)
    table = Table(("KIND", "RESULTS"), [(kind, str(entries)) for kind, entries in state.kinds.items()])
    lines = [*table.lines(), ""] if state.kinds else []
    total = sum(state.kinds.values())
    return Answer(
        [*lines, f"{plural(total, 'result')}, {size_bytes(state.size_bytes)} on disk"],
        {"results": total, "kinds": dict(state.kinds), "size_bytes": state.size_bytes},
    )


def drop(*, kind: str | None, older_s: float | None) -> Answer:
    """Drop results, so that nodes work them out anew.

    Args:
        kind: Of this kind of node only; None: of all.
        older_s: Only those that are older, in seconds; None: all.

    Raises:
        NotFoundError: If there is no such kind; nothing was dropped.
    """
    if kind is not None:
        find_kind(kind)
    before = None if older_s is None else utc_now() - timedelta(seconds=older_s)
    with reached() as here, session_scope(here.engine) as session:
        count = forget(session, kind=kind, before=before)
    return Answer([f"{plural(count, 'result')} dropped"], {"dropped": count})
