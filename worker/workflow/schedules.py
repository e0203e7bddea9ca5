"""Schedules: stored, steered, and ticked. When they come is in :mod:`worker.workflow.rhythm`.

A tick locks one schedule at a time and skips those that another ticker holds; each time of a schedule is a row of
``schedule_run`` taken once, so that two tickers, a clock put back or a crash between two steps make no second run.
Times are the database's.
"""

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, Literal

import redis
from sqlalchemy import Engine, Row, text
from sqlalchemy.orm import Session

from analytics.core.clock import Interval, require_aware
from analytics.core.errors import ConflictError, HelmsightError, InputError, NotFoundError
from analytics.core.ids import new_id
from analytics.core.logging import get_logger
from analytics.core.settings import Settings
from analytics.store.engine import session_scope
from analytics.store.queries import audit
from worker.doors.queueing import NewRun, Target, find_target, params_json, queue_in
from worker.doors.waking import Waker
from worker.runtime import Failure, tried
from worker.workflow.results import to_json
from worker.workflow.rhythm import Rhythm, find_zone, newest_times, next_time, next_times, parse_rhythm, times_after
from worker.workflow.schemas import complete_params
from worker.workflow.templates import resolve

Catchup = Literal["none", "last", "all"]
Overlap = Literal["queue", "skip"]

MAX_CAUGHT_UP = 1000
"""Of the times missed, at most the newest this many are caught up; a backfill has no more either."""
ON_TIME = timedelta(minutes=1)
"""A time taken not later than this was not missed."""
MAX_NAME = 100

_PER_TRANSACTION = 100
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ScheduleSpec:
    """What a schedule is to be: what people choose."""

    name: str
    workflow: str | uuid.UUID
    cron: str | None = None
    every_s: float | None = None
    zone: str = "UTC"
    version: int | None = None
    """None: the current one at each start."""
    params: Mapping[str, Any] = field(default_factory=dict)
    """May hold ``{{ schedule.time }}``, ``{{ schedule.date }}`` and ``{{ schedule.name }}``."""
    catchup: Catchup = "last"
    jitter_s: float = 0.0
    priority: int = 0
    tags: Sequence[str] = ()
    overlap: Overlap = "queue"
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    """No run is started for this time or a later one."""


@dataclass(frozen=True, slots=True)
class TickReport:
    """What one pass did."""

    started: int = 0
    skipped: int = 0
    """Times for which no run was started, with the reason in the schedule's history."""
    failed: int = 0
    """Schedules that could not be ticked; they are tried again at the next pass."""


@dataclass(frozen=True, slots=True)
class _Due:
    run_ids: Sequence[uuid.UUID] = ()
    skipped: int = 0


def save_schedule(
    session: Session, spec: ScheduleSpec, *, requested_by: str | None, schedule_id: uuid.UUID | None = None
) -> uuid.UUID:
    """Store a new schedule, or change *schedule_id*; return its id.

    A schedule that is being ticked is changed after that. One whose rhythm is not changed keeps its next time.

    Raises:
        InputError: If something cannot be used; nothing was stored.
        NotFoundError: If the schedule, the workflow or its version is not there.
        ConflictError: If another schedule has the name.
    """
    old = None if schedule_id is None else _locked(session, schedule_id)
    now = _now(session)
    target = find_target(session, spec.workflow, spec.version)
    values = _checked(spec, target, now)
    if old is None or any(getattr(old, name) != values[name] for name in _RHYTHM):
        values["next_at"] = _next_of(spec, after=now)
    else:
        values["next_at"] = old.next_at
    values["id"] = schedule_id or new_id()
    values["by"] = requested_by
    _refuse_same_name(session, "schedule", spec.name, values["id"])
    session.execute(_INSERT if old is None else _UPDATE, values)
    detail = {"name": spec.name, "workflow": target.name, "cron": values["cron"], "every_s": spec.every_s}
    _audit(session, values["id"], "schedule.created" if old is None else "schedule.changed", requested_by, detail)
    return uuid.UUID(str(values["id"]))


def pause_schedule(session: Session, schedule_id: uuid.UUID, *, requested_by: str | None) -> None:
    """Start no more runs until the schedule is resumed.

    Raises:
        NotFoundError: If there is no such schedule.
        ConflictError: If it is paused already.
    """
    row = _locked(session, schedule_id)
    if row.paused_at is not None:
        raise ConflictError("The schedule is paused already; nothing was changed.")
    session.execute(
        text("UPDATE schedule SET paused_at = now(), updated_at = now() WHERE id = :id"), {"id": schedule_id}
    )
    _audit(session, schedule_id, "schedule.paused", requested_by, {"name": row.name})


def resume_schedule(session: Session, schedule_id: uuid.UUID, *, requested_by: str | None) -> None:
    """Let a paused schedule go on with its next time; times that passed while it was paused were not missed.

    Raises:
        NotFoundError: If there is no such schedule.
        ConflictError: If it is not paused.
    """
    row = _locked(session, schedule_id)
    if row.paused_at is None:
        raise ConflictError("The schedule is not paused; nothing was changed.")
    now = _now(session)
    session.execute(
        text("UPDATE schedule SET paused_at = NULL, next_at = :next, updated_at = now() WHERE id = :id"),
        {"id": schedule_id, "next": _following(row, now)},
    )
    _audit(session, schedule_id, "schedule.resumed", requested_by, {"name": row.name})


def delete_schedule(session: Session, schedule_id: uuid.UUID, *, requested_by: str | None) -> None:
    """Remove a schedule and its history; runs it started stay.

    Raises:
        NotFoundError: If there is no such schedule.
    """
    row = _locked(session, schedule_id)
    session.execute(text("DELETE FROM schedule WHERE id = :id"), {"id": schedule_id})
    _audit(session, schedule_id, "schedule.deleted", requested_by, {"name": row.name})


def preview(spec: ScheduleSpec, *, after: datetime, count: int = 10) -> list[datetime]:
    """Return the next times that *spec* would have after *after*, in UTC.

    Raises:
        InputError: If the rhythm cannot be used.
    """
    start = max(after, _just_before(spec.starts_at)) if spec.starts_at else after
    found = next_times(_rhythm_of(spec), find_zone(spec.zone), start, count)
    return [moment for moment in found if spec.ends_at is None or moment < spec.ends_at]


def backfill(
    session: Session,
    schedule_id: uuid.UUID,
    interval: Interval,
    *,
    requested_by: str | None,
    settings: Settings,
) -> list[uuid.UUID]:
    """Store a run for each time of *interval* that has none; return them. Wake workers after the commit.

    Raises:
        NotFoundError: If there is no such schedule, or its workflow was archived.
        InputError: If the interval reaches into the future or holds more than 1000 times.
    """
    row = _locked(session, schedule_id)
    now = _now(session)
    if interval.until > now:
        raise InputError("A backfill ends in the past; nothing was queued.")
    times: list[datetime] = []
    for moment in times_after(_rhythm_of_row(row), row.zone, _just_before(interval.since)):
        if moment >= interval.until:
            break
        times.append(moment)
        if len(times) > MAX_CAUGHT_UP:
            raise InputError(
                f"The range holds more than {MAX_CAUGHT_UP} times; nothing was queued. Take a shorter one."
            )
    target = find_target(session, row.workflow_id, row.version)
    started = [
        _start(session, row, target, moment, settings, requested_by=requested_by)
        for moment in times
        if _take(session, row, moment, again=True)
    ]
    detail = {"name": row.name, "since": interval.since.isoformat(), "until": interval.until.isoformat()}
    _audit(session, schedule_id, "schedule.backfilled", requested_by, detail | {"runs": len(started)})
    return started


def tick(engine: Engine, client: redis.Redis | None, settings: Settings, *, now: datetime | None = None) -> TickReport:
    """Start what is due. Safe to do twice, and in several processes at once.

    Args:
        engine: Where schedules are.
        client: Redis, for wake tokens; None: the reconciler sends them.
        settings: For the step of priority.
        now: The present; None: the database's.

    Raises:
        DependencyError: If PostgreSQL does not answer.
    """
    waker = Waker(engine, client)
    started = skipped = failed = 0
    passed: list[uuid.UUID] = []
    while started < MAX_CAUGHT_UP:
        with session_scope(engine) as session:
            moment = now or _now(session)
            row = session.execute(_DUE, {"now": moment, "passed": passed}).one_or_none()
            if row is None:
                break
            due = _ticked(session, row, moment, settings)
        if isinstance(due, Failure):
            _log.warning("schedule not ticked", schedule=row.name, error=due.message)
            failed += 1
            passed.append(row.id)
            continue
        if not due.run_ids:
            passed.append(row.id)
        waker.wake(due.run_ids)
        started, skipped = started + len(due.run_ids), skipped + due.skipped
    return TickReport(started, skipped, failed)


def _ticked(session: Session, row: Row[Any], now: datetime, settings: Settings) -> _Due | Failure:
    with session.begin_nested() as savepoint:
        due = tried(lambda: _do_due(session, row, now, settings))
        if isinstance(due, Failure):
            savepoint.rollback()
    if isinstance(due, Failure):
        session.execute(text("UPDATE schedule SET error = :error WHERE id = :id"), {"id": row.id, "error": due.message})
    return due


def _do_due(session: Session, row: Row[Any], now: datetime, settings: Settings) -> _Due:
    """Start what is due of one locked schedule, up to some at once; the rest has its turn in the same pass."""
    rhythm, zone = _rhythm_of_row(row), find_zone(row.zone)
    times = [moment for moment in newest_times(rhythm, zone, row.next_at, now, MAX_CAUGHT_UP) if _is_in(row, moment)]
    if times and times[0] > row.next_at and row.catchup == "all":
        _note(session, row, row.next_at, f"missed: only the newest {MAX_CAUGHT_UP} times are caught up")
    waiting = next((moment for moment in times if moment + _jitter(row, moment) > now), None)
    ready = [moment for moment in times if waiting is None or moment < waiting]
    chosen, missed = _chosen(row, ready, now)
    chosen, later = chosen[:_PER_TRANSACTION], chosen[_PER_TRANSACTION:]
    run_ids, refusal = _start_all(session, row, chosen, settings)
    if missed:
        _note(session, row, missed[-1], f"missed, with {len(missed) - 1} before it" if missed[1:] else "missed")
    following = (later[0] if later else None) or waiting or _following(row, now)
    session.execute(
        text(
            "UPDATE schedule SET next_at = :next, last_at = coalesce(:last, last_at),"
            " last_run_id = coalesce(CAST(:run AS uuid), last_run_id), error = :error WHERE id = :id"
        ),
        {
            "id": row.id,
            "next": following,
            "last": chosen[-1] if chosen else None,
            "run": run_ids[-1] if run_ids else None,
            "error": refusal if chosen else row.error,
        },
    )
    return _Due(run_ids, len(missed) + len(chosen) - len(run_ids))


def _chosen(row: Row[Any], ready: Sequence[datetime], now: datetime) -> tuple[list[datetime], list[datetime]]:
    """Return which of the times that are due have a run, and which were missed for good."""
    if not ready or row.catchup == "all":
        return list(ready), []
    on_time = now - (ready[-1] + _jitter(row, ready[-1])) <= ON_TIME
    keep = 1 if row.catchup == "last" or on_time else 0
    return list(ready[len(ready) - keep :]), list(ready[: len(ready) - keep])


def _start_all(
    session: Session, row: Row[Any], times: Sequence[datetime], settings: Settings
) -> tuple[list[uuid.UUID], str | None]:
    """Start a run for each of *times*; return them, and why the last of those that have none has none."""
    run_ids: list[uuid.UUID] = []
    refusal: str | None = None
    for moment in times:
        if not _take(session, row, moment):
            continue
        if row.overlap == "skip" and _is_under_way(session, row):
            _note(session, row, moment, "a run of this schedule had not ended")
            continue
        try:
            with session.begin_nested():
                target = find_target(session, row.workflow_id, row.version)
                run_ids.append(_start(session, row, target, moment, settings, requested_by=None))
                refusal = None
        except HelmsightError as error:
            if error.retryable:
                raise
            refusal = error.message
            _note(session, row, moment, error.message)
    return run_ids, refusal


def _start(
    session: Session,
    row: Row[Any],
    target: Target,
    moment: datetime,
    settings: Settings,
    *,
    requested_by: str | None,
) -> uuid.UUID:
    new = NewRun(
        params=_resolved(row.params, name=row.name, moment=moment, zone=row.zone),
        requested_by=requested_by or f"schedule:{row.name}",
        trigger="schedule",
        priority=row.priority,
        tags=tuple(row.tags),
        schedule_id=row.id,
        scheduled_for=moment,
    )
    queued, _ = queue_in(session, target, new, step=settings.worker.priority_step)
    session.execute(
        text(
            "UPDATE schedule_run SET run_id = :run, skipped = NULL WHERE schedule_id = :id AND scheduled_for = :moment"
        ),
        {"id": row.id, "moment": moment, "run": queued.run_id},
    )
    return queued.run_id


def _take(session: Session, row: Row[Any], moment: datetime, *, again: bool = False) -> bool:
    """Take a time of a schedule; False when it was taken before. *again*: also one that had no run."""
    taken = session.execute(
        text(
            "INSERT INTO schedule_run (schedule_id, scheduled_for) VALUES (:id, :moment)"
            " ON CONFLICT (schedule_id, scheduled_for) DO UPDATE SET skipped = NULL"
            " WHERE :again AND schedule_run.run_id IS NULL RETURNING 1"
        ),
        {"id": row.id, "moment": moment, "again": again},
    )
    return taken.one_or_none() is not None


def _note(session: Session, row: Row[Any], moment: datetime, reason: str) -> None:
    session.execute(
        text(
            "INSERT INTO schedule_run (schedule_id, scheduled_for, skipped) VALUES (:id, :moment, :reason)"
            " ON CONFLICT (schedule_id, scheduled_for) DO UPDATE SET skipped = EXCLUDED.skipped"
            " WHERE schedule_run.run_id IS NULL"
        ),
        {"id": row.id, "moment": moment, "reason": reason[:500]},
    )


def _is_under_way(session: Session, row: Row[Any]) -> bool:
    found = session.scalar(
        text(
            "SELECT 1 FROM (SELECT run_id FROM schedule_run WHERE schedule_id = :id AND run_id IS NOT NULL"
            " ORDER BY scheduled_for DESC LIMIT 200) s JOIN run_active a ON a.run_id = s.run_id LIMIT 1"
        ),
        {"id": row.id},
    )
    return found is not None


_COLUMNS = (
    "id, workflow_id, name, version, params, cron, every_s, zone, catchup, jitter_s, priority, tags, overlap,"
    " starts_at, ends_at, paused_at, next_at, last_at, error"
)
_RHYTHM = ("cron", "every_s", "zone", "starts_at", "ends_at")
_DUE = text(
    f"SELECT {_COLUMNS} FROM schedule WHERE paused_at IS NULL AND next_at <= :now"  # noqa: S608 - constants
    " AND NOT (id = ANY(CAST(:passed AS uuid[]))) ORDER BY next_at, id LIMIT 1 FOR UPDATE SKIP LOCKED"
)
_LOCK = text(f"SELECT {_COLUMNS} FROM schedule WHERE id = :id FOR UPDATE")  # noqa: S608 - constants
_SET = (
    "workflow_id",
    "name",
    "version",
    "cron",
    "every_s",
    "zone",
    "catchup",
    "jitter_s",
    "priority",
    "tags",
    "overlap",
    "starts_at",
    "ends_at",
    "next_at",
)
_INSERT = text(
    f"INSERT INTO schedule (id, created_by, params, {', '.join(_SET)})"  # noqa: S608 - constants
    f" VALUES (:id, :by, CAST(:params AS jsonb), {', '.join(f':{name}' for name in _SET)})"
)
_UPDATE = text(
    "UPDATE schedule SET params = CAST(:params AS jsonb), updated_at = now(), error = NULL,"  # noqa: S608 - constants
    f" {', '.join(f'{name} = :{name}' for name in _SET)} WHERE id = :id"
)


def _checked(spec: ScheduleSpec, target: Target, now: datetime) -> dict[str, Any]:
    """Return the columns of *spec*, every one of them usable."""
    if not spec.name.strip() or len(spec.name) > MAX_NAME:
        raise InputError(f"A schedule's name has 1 to {MAX_NAME} characters; nothing was stored.")
    if spec.catchup not in {"none", "last", "all"} or spec.overlap not in {"queue", "skip"}:
        raise InputError("`catchup` is none, last or all; `overlap` is queue or skip. Nothing was stored.")
    starts, ends = (None if end is None else require_aware(end) for end in (spec.starts_at, spec.ends_at))
    if starts is not None and ends is not None and ends <= starts:
        raise InputError("The schedule ends before it starts; nothing was stored.")
    rhythm = _rhythm_of(spec)
    zone = find_zone(spec.zone)
    coming = next_times(rhythm, zone, now, 20)
    shortest = min((later - earlier for earlier, later in pairwise(coming)), default=None)
    if spec.jitter_s < 0 or (shortest is not None and timedelta(seconds=spec.jitter_s) >= shortest):
        raise InputError("The jitter is less than the shortest time between two runs; nothing was stored.")
    params_json(spec.params)
    sample = _resolved(spec.params, name=spec.name, moment=now, zone=spec.zone)
    if target.params_schema:
        complete_params(target.params_schema, sample)
    return {
        "workflow_id": target.workflow_id,
        "name": spec.name.strip(),
        "version": spec.version,
        "params": to_json(spec.params),
        "cron": rhythm.cron,
        "every_s": spec.every_s,
        "zone": spec.zone,
        "catchup": spec.catchup,
        "jitter_s": spec.jitter_s,
        "priority": spec.priority,
        "tags": list(dict.fromkeys(spec.tags)),
        "overlap": spec.overlap,
        "starts_at": starts,
        "ends_at": ends,
    }


def _resolved(params: Mapping[str, Any], *, name: str, moment: datetime, zone: str) -> dict[str, Any]:
    scope = {
        "schedule": {
            "name": name,
            "time": moment.isoformat(),
            "date": moment.astimezone(find_zone(zone)).date().isoformat(),
        }
    }
    found: dict[str, Any] = resolve(dict(params), scope)
    return found


def _rhythm_of(spec: ScheduleSpec) -> Rhythm:
    return parse_rhythm(cron=spec.cron, every_s=spec.every_s, anchor=spec.starts_at)


def _rhythm_of_row(row: Row[Any]) -> Rhythm:
    return parse_rhythm(cron=row.cron, every_s=row.every_s, anchor=row.starts_at)


def _next_of(spec: ScheduleSpec, *, after: datetime) -> datetime | None:
    return next(iter(preview(spec, after=after, count=1)), None)


def _following(row: Row[Any], after: datetime) -> datetime | None:
    """Return the next time of a stored schedule after *after*, or None when it has ended."""
    start = max(after, _just_before(row.starts_at)) if row.starts_at else after
    moment = next_time(_rhythm_of_row(row), find_zone(row.zone), start)
    return moment if moment is not None and _is_in(row, moment) else None


def _is_in(row: Row[Any], moment: datetime) -> bool:
    return (row.starts_at is None or moment >= row.starts_at) and (row.ends_at is None or moment < row.ends_at)


def _jitter(row: Row[Any], moment: datetime) -> timedelta:
    """Return how much later than *moment* it starts: the same for everybody who asks, spread evenly."""
    if not row.jitter_s:
        return timedelta(0)
    digest = hashlib.sha256(f"{row.id}|{moment.timestamp()}".encode()).digest()
    return timedelta(seconds=row.jitter_s * int.from_bytes(digest[:6], "big") / 2**48)


def _just_before(moment: datetime) -> datetime:
    return require_aware(moment) - timedelta(microseconds=1)


def _locked(session: Session, schedule_id: uuid.UUID) -> Row[Any]:
    row = session.execute(_LOCK, {"id": schedule_id}).one_or_none()
    if row is None:
        raise NotFoundError(f"There is no schedule {schedule_id}; nothing was changed.")
    return row


def _refuse_same_name(session: Session, table: str, name: str, own_id: object) -> None:
    other = session.scalar(
        text(f"SELECT id FROM {table} WHERE name = :name AND id <> :id"),  # noqa: S608 - a constant
        {"name": name.strip(), "id": own_id},
    )
    if other is not None:
        raise ConflictError(f"There is a {table} called {name.strip()!r} already; nothing was stored.")


def _now(session: Session) -> datetime:
    moment: datetime = session.execute(text("SELECT clock_timestamp()")).scalar_one()
    return moment


def _audit(
    session: Session, schedule_id: object, action: str, requested_by: str | None, detail: Mapping[str, Any]
) -> None:
    audit.record(
        session,
        actor=requested_by or "system",
        action=action,
        object_type="schedule",
        object_id=str(schedule_id),
        detail=detail,
    )
