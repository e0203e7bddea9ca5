"""Where events for triggers come from, besides the ends of runs: the live stream ``events``, and objectives in danger.

What was read is noted in the transaction that starts the runs, and an event starts one run of each trigger, so that
a crash between two steps, or two readers, start nothing twice.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import redis
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from analytics.core.settings import Settings
from analytics.live import streams
from analytics.slo import SloState, slo_report
from analytics.slo.evaluate import SloStatus
from analytics.store.engine import session_scope
from worker.doors.waking import Waker
from worker.workflow.triggers import ENGINE, Event, raise_events

STREAM = "events"
"""Whoever publishes here (:func:`analytics.live.streams.publish`) tells triggers: ``kind``, and if it likes ``id``,
``source``, ``subject`` and ``data``."""
FIRING = frozenset({SloState.DEGRADED, SloState.EXHAUSTED})
CALM = frozenset({SloState.HEALTHY, SloState.AT_RISK})

_AT_ONCE = 500
_CURSOR = "event_stream"
_ALERT = "alert:"
_LOCK = text("SELECT pg_try_advisory_xact_lock(hashtextextended('helmsight.events.' || :name, 0))")
_NOTE = text(
    "INSERT INTO job_cursor (name, position) VALUES (:name, :position)"
    " ON CONFLICT (name) DO UPDATE SET position = EXCLUDED.position, updated_at = now()"
)


def read_stream(engine: Engine, client: redis.Redis, settings: Settings) -> int:
    """Tell triggers of what was published since the last time; return how many events were read.

    Safe to run twice and at once. What the stream lost, because nobody read for ten thousand events, is lost.

    Raises:
        DependencyError: If PostgreSQL or Redis is away; nothing was read.
    """
    waker, count = Waker(engine, client), 0
    while True:
        with session_scope(engine) as session:
            if not session.scalar(_LOCK, {"name": STREAM}):
                return count
            found = streams.read(client, STREAM, _position(session), limit=_AT_ONCE)
            if not found:
                return count
            events = [event for item in found if (event := _event(item)) is not None]
            started = raise_events(session, events, step=settings.worker.priority_step)
            session.execute(_NOTE, {"name": _CURSOR, "position": _to_moment(found[-1].id)})
        waker.wake(started)
        count += len(found)
        if len(found) < _AT_ONCE:
            return count


def raise_alerts(engine: Engine, client: redis.Redis | None, settings: Settings, *, now: datetime) -> int:
    """Tell triggers which objectives came into danger, ``alert.firing``, or out of it, ``alert.resolved``.

    An objective without numbers, or with those of the demo, says nothing either way. Safe to run twice and at once.

    Returns:
        How many alerts began or ended.

    Raises:
        DependencyError: If PostgreSQL is away; nothing was told.
    """
    with session_scope(engine) as session:
        if not session.scalar(_LOCK, {"name": "alerts"}):
            return 0
        rows = session.execute(text("SELECT name, position FROM job_cursor WHERE starts_with(name, :p)"), {"p": _ALERT})
        firing = {row.name.removeprefix(_ALERT): row.position for row in rows}
        events = []
        for status in slo_report(session, now=now).statuses:
            if status.includes_demo:
                continue
            since = firing.get(status.objective.id)
            if status.state in FIRING and since is None:
                session.execute(_NOTE, {"name": _ALERT + status.objective.id, "position": now})
                events.append(_alert(status, "firing", now))
            elif status.state in CALM and since is not None:
                gone = text("DELETE FROM job_cursor WHERE name = :name")
                session.execute(gone, {"name": _ALERT + status.objective.id})
                events.append(_alert(status, "resolved", since))
        started = raise_events(session, events, step=settings.worker.priority_step)
    Waker(engine, client).wake(started)
    return len(events)


def _alert(status: SloStatus, what: str, since: datetime) -> Event:
    slo = status.objective
    data = {
        "slo": slo.id,
        "state": status.state.value,
        "sli": status.sli,
        "target": float(slo.target),
        "budget_remaining_ratio": None if status.budget is None else status.budget.remaining_ratio,
        "since": since.isoformat(),
    }
    return Event(f"slo:{slo.id}:{what}:{since.isoformat()}", f"alert.{what}", "slo", slo.id, data, datetime.now(UTC))


def _event(item: streams.StreamEvent) -> Event | None:
    """Return what was published as an event; None when it says no kind, or feigns the end of a run."""
    told: Mapping[str, Any] = item.event
    kind, data = told.get("kind"), told.get("data", {})
    if not isinstance(kind, str) or kind.startswith("run.") or told.get("source") == ENGINE:
        return None
    return Event(
        id=str(told.get("id") or item.id),
        kind=kind,
        source=str(told.get("source") or "stream"),
        subject=str(told.get("subject") or ""),
        data=data if isinstance(data, Mapping) else {"value": data},
        at=_to_moment(item.id),
    )


def _position(session: Session) -> str:
    """Return from where to read on: all of the last millisecond comes once more, and starts nothing twice."""
    last = session.scalar(text("SELECT position FROM job_cursor WHERE name = :name"), {"name": _CURSOR})
    if last is None:
        return streams.FROM_START
    return f"{round(last.timestamp() * 1000) - 1}-{2**64 - 1}"


def _to_moment(stream_id: str) -> datetime:
    return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=int(stream_id.partition("-")[0]))
