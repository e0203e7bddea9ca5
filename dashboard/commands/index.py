"""`helmsight index`: which indexes are advised, and to have them made or dropped by the scheduler."""

from dataclasses import asdict

from analytics.database import index_advice, made_indexes, request_drop, request_index
from analytics.database.model import MadeIndex
from analytics.store.engine import session_scope
from dashboard.commands.answers import Answer, Table
from dashboard.commands.reach import ACTOR, reached
from dashboard.formats import percent, size_bytes


def show() -> Answer:
    """Show the advised indexes, and those made from it."""
    with reached() as here, session_scope(here.engine) as session:
        advised, made = index_advice(session), made_indexes(session)
    items = advised.value.items if advised.value is not None else []
    advice = Table(
        ("ADVISED", "SAVES", "SIZE", "WHY"),
        [(item.key, percent(item.share), size_bytes(item.size_bytes), item.reason) for item in items],
    )
    rows = made.value or []
    table = Table(("MADE", "STATE", "USED", "SIZE", "BY"), [_row(item) for item in rows])
    lines = [
        *(advice.lines() if items else ["no index is advised"]),
        "",
        *(table.lines() if rows else ["none was made from its advice"]),
        *(f"missing: {item.what} {item.costs}" for item in (*advised.missing, *made.missing)),
    ]
    return Answer(lines, {"advised": [asdict(item) for item in items], "made": [asdict(item) for item in rows]})


def make(advice: str) -> Answer:
    """Ask for the index that is advised as *advice*.

    Raises:
        NotFoundError: If no such index is advised; nothing was asked for.
    """
    with reached() as here, session_scope(here.engine) as session:
        item = request_index(session, advice, actor=ACTOR)
    return Answer([f"{item.name}: {_words(item)}"], asdict(item))


def drop(name: str) -> Answer:
    """Ask for an index to be dropped that was made from its advice.

    Raises:
        NotFoundError: If there is no such index; nothing was asked for.
    """
    with reached() as here, session_scope(here.engine) as session:
        item = request_drop(session, name, actor=ACTOR)
    return Answer([f"{item.name}: {_words(item)}"], asdict(item))


def _row(item: MadeIndex) -> tuple[str, ...]:
    used = "" if item.scans is None else f"{item.scans:,}"
    return item.name, _words(item), used, size_bytes(item.size_bytes), item.requested_by


def _words(item: MadeIndex) -> str:
    if item.state == "ready" and not item.is_valid:
        return "gone" if item.is_valid is None else "broken"
    return item.state if item.error is None else f"{item.state} ({item.error})"
