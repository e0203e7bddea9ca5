"""Where events for triggers come from, besides the ends of runs: the live stream ``events``, and objectives in danger.

What was read is noted in the transaction that starts the runs, and an event starts one run of each trigger, so that
a crash between two steps, or two readers, start nothing twice.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from math import isinf
from typing import Any

import redis
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from analytics.core.settings import Settings
from analytics.live import streams
from analytics.slo.alerting import AlertChange, advance
from analytics.slo.model import Severity
from analytics.store.engine import session_scope
from worker.doors.waking import Waker
from worker.workflow.triggers import ENGINE, Event, raise_events

STREAM = "events"
"""Whoever publishes here (:func:`analytics.live.streams.publish`) tells triggers: ``kind``, and if it likes ``id``,
``source``, ``subject`` and ``data``."""

_AT_ONCE = 500
_CURSOR = "event_stream"
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
    """Tell triggers which alerts of objectives began, ``alert.firing``, or are over, ``alert.resolved``.

    What a faster alert of the same objective says already is not told. Safe to run twice and at once.

    Returns:
        How many were told.

    Raises:
        DependencyError: If PostgreSQL is away; nothing was told.
    """
    with session_scope(engine) as session:
        events = [_alert(item, now) for item in advance(session, now=now) if item.is_told]
        started = raise_events(session, events, step=settings.worker.priority_step)
    Waker(engine, client).wake(started)
    return len(events)


def _alert(changed: AlertChange, now: datetime) -> Event:
    alert, status, what = changed.alert, changed.status, changed.change.value
    data: dict[str, Any] = {
        "slo": alert.slo_id,
        "group": json.loads(alert.group_key) if alert.group_key else None,
        "kind": alert.kind,
        "severity": alert.severity,
        "tier": alert.tier,
        "since": alert.started_at.isoformat(),
        "until": None if alert.ended_at is None else alert.ended_at.isoformat(),
        "message": alert.detail.get("message"),
        "burn_rate": alert.detail.get("burn_long"),
    }
    if status is not None:
        slo, remaining = status.objective, None if status.budget is None else status.budget.remaining_ratio
        routing = slo.alerting.page if alert.severity == Severity.PAGE else slo.alerting.ticket
        data |= {
            "title": slo.title,
            "service": slo.service,
            "owner": slo.owner,
            "state": status.state.value,
            "sli": status.sli,
            "target": float(slo.target),
            "budget_remaining_ratio": None if remaining is None or isinf(remaining) else remaining,
            "labels": {**slo.labels, **slo.alerting.labels, **routing.labels},
            "annotations": {**slo.alerting.annotations, **routing.annotations},
        }
    return Event(f"slo:{alert.id}:{what}", f"alert.{what}", "slo", alert.slo_id, data, now)


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
