"""What starts runs by itself: schedules, triggers, and events that are told of here."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from pydantic import Field
from sqlalchemy.orm import Session

from analytics.core.clock import Interval, require_aware, utc_now
from analytics.store.paging import Page
from analytics.store.queries import schedules as rows
from analytics.store.queries.schedules import ScheduleRow, ScheduleTime, TriggerRow
from dashboard.api.operations import Asked, Call, NumberedQuery, Operation, found
from dashboard.auth.roles import Role
from dashboard.streamlit_options import cookie_secret
from worker.workflow import schedules, triggers
from worker.workflow.schedules import ScheduleSpec
from worker.workflow.triggers import TriggerSpec

_MOST_TAGS = 20


class StartersQuery(NumberedQuery):
    """Which schedules or triggers."""

    workflow_id: uuid.UUID | None = Field(default=None, description="Only of this workflow.")
    search: str | None = Field(default=None, max_length=200, description="Part of the name or the workflow's name.")


class ScheduleAsked(Asked):
    """A schedule as it is to be."""

    name: str = Field(min_length=1, max_length=100)
    workflow: str = Field(max_length=100, description="Name or id.")
    cron: str | None = Field(default=None, max_length=200, description="`minute hour day month weekday`, or `@daily`.")
    every_s: float | None = Field(default=None, ge=1, description="Seconds from one time to the next instead.")
    zone: str = Field(default="UTC", max_length=64, description="IANA time zone in which `cron` is read.")
    version: int | None = Field(default=None, ge=1, description="Of the definition; null: the current one each time.")
    params: dict[str, Any] = Field(default_factory=dict, description="May hold `{{ schedule.time }}` and `.date`.")
    catchup: Literal["none", "last", "all"] = Field(default="last", description="Of times missed: start which.")
    jitter_s: float = Field(default=0, ge=0, description="Start up to so much later, spread evenly.")
    priority: int = Field(default=0, ge=-100, le=100)
    tags: list[str] = Field(default_factory=list, max_length=_MOST_TAGS)
    overlap: Literal["queue", "skip"] = Field(default="queue", description="`skip`: not while a run is under way.")
    starts_at: datetime | None = Field(default=None, description="No time before this; with a time zone.")
    ends_at: datetime | None = Field(default=None, description="No time at or after this; with a time zone.")

    def spec(self) -> ScheduleSpec:
        """Return it as the schedules want it."""
        return ScheduleSpec(**{**dict(self), "tags": tuple(self.tags)})


class PreviewAsked(Asked):
    """A rhythm to look at."""

    cron: str | None = Field(default=None, max_length=200, description="As of a schedule.")
    every_s: float | None = Field(default=None, ge=1, description="As of a schedule.")
    zone: str = Field(default="UTC", max_length=64, description="As of a schedule.")
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    after: datetime | None = Field(default=None, description="From when on; null: the present.")
    count: int = Field(default=10, ge=1, le=100)


class BackfillAsked(Asked):
    """A range of the past to fill."""

    since: datetime
    until: datetime


class TriggerAsked(Asked):
    """A trigger as it is to be."""

    name: str = Field(pattern=r"^[A-Za-z0-9_-]{1,64}$", description="Also the end of a webhook's address.")
    workflow: str = Field(max_length=100, description="Name or id.")
    kind: Literal["webhook", "event", "alert"] = "webhook"
    event_kind: str | None = Field(default=None, max_length=100, description="Such as `run.failed`, `run.*`.")
    filter: dict[str, Any] = Field(default_factory=dict, description="Values the event has to hold, by dotted path.")
    params: dict[str, Any] = Field(default_factory=dict, description="May hold `{{ event.data.x }}`.")
    priority: int = Field(default=0, ge=-100, le=100)
    tags: list[str] = Field(default_factory=list, max_length=_MOST_TAGS)

    def spec(self) -> TriggerSpec:
        """Return it as the triggers want it."""
        return TriggerSpec(**{**dict(self), "tags": tuple(self.tags)})


class PauseAsked(Asked):
    """Whether it is to rest."""

    paused: bool


@dataclass(frozen=True, slots=True)
class ScheduleOut:
    """A schedule with what comes next."""

    row: ScheduleRow
    next_times: Sequence[datetime]
    """The next ten; none when it is paused or has ended."""
    newest: Sequence[ScheduleTime]
    """The newest twenty times that were taken."""


@dataclass(frozen=True, slots=True)
class Saved:
    """What was stored."""

    id: uuid.UUID


@dataclass(frozen=True, slots=True)
class TriggerSaved:
    """A trigger that was stored."""

    id: uuid.UUID
    address: str | None
    """Where a webhook is sent to; None for others."""
    secret: str | None
    """What its sender signs with; shown this once."""


@dataclass(frozen=True, slots=True)
class Started:
    """Runs that were queued."""

    run_ids: Sequence[uuid.UUID]


async def list_schedules(call: Call) -> Page[ScheduleRow]:
    """Return schedules."""
    query = call.query(StartersQuery)
    return await call.ask(
        rows.list_schedules,
        workflow_id=query.workflow_id,
        search=query.search,
        page=query.page,
        limit=query.limit,
    )


async def get_schedule(call: Call) -> ScheduleOut:
    """Return one schedule."""

    def work(session: Session) -> ScheduleOut:
        row = found(rows.get_schedule(session, call.path("schedule_id")), "schedule")
        coming: list[datetime] = []
        if row.next_at is not None and row.paused_at is None:
            spec = ScheduleSpec(
                name=row.name,
                workflow=row.workflow_id,
                cron=row.cron,
                every_s=row.every_s,
                zone=row.zone,
                starts_at=row.starts_at,
                ends_at=row.ends_at,
            )
            coming = [row.next_at, *schedules.preview(spec, after=row.next_at, count=9)]
        return ScheduleOut(row, coming, rows.schedule_times(session, row.id))

    return await call.ask(work)


async def preview_schedule(call: Call) -> Sequence[datetime]:
    """Return when a rhythm would come."""
    body = call.body(PreviewAsked)
    spec = ScheduleSpec(
        name="preview",
        workflow="preview",
        cron=body.cron,
        every_s=body.every_s,
        zone=body.zone,
        starts_at=None if body.starts_at is None else require_aware(body.starts_at),
        ends_at=None if body.ends_at is None else require_aware(body.ends_at),
    )
    after = utc_now() if body.after is None else require_aware(body.after)
    return await call.in_thread(schedules.preview, spec, after=after, count=body.count)


async def create_schedule(call: Call) -> Saved:
    """Store a schedule."""
    spec = call.body(ScheduleAsked).spec()
    return Saved(await call.ask(schedules.save_schedule, spec, requested_by=call.viewer.actor))


async def change_schedule(call: Call) -> Saved:
    """Change a schedule."""
    spec, schedule_id = call.body(ScheduleAsked).spec(), call.path("schedule_id")
    return Saved(await call.ask(schedules.save_schedule, spec, requested_by=call.viewer.actor, schedule_id=schedule_id))


async def pause_schedule(call: Call) -> None:
    """Let a schedule rest, or go on."""
    work = schedules.pause_schedule if call.body(PauseAsked).paused else schedules.resume_schedule
    await call.ask(work, call.path("schedule_id"), requested_by=call.viewer.actor)


async def delete_schedule(call: Call) -> None:
    """Remove a schedule."""
    await call.ask(schedules.delete_schedule, call.path("schedule_id"), requested_by=call.viewer.actor)


async def backfill_schedule(call: Call) -> Started:
    """Queue a run for each time of a range that has none."""
    body = call.body(BackfillAsked)
    run_ids = await call.ask(
        schedules.backfill,
        call.path("schedule_id"),
        Interval(require_aware(body.since), require_aware(body.until)),
        requested_by=call.viewer.actor,
        settings=call.context.settings,
    )
    await call.in_thread(call.context.door.wake, run_ids)
    return Started(run_ids)


async def list_triggers(call: Call) -> Page[TriggerRow]:
    """Return triggers."""
    query = call.query(StartersQuery)
    return await call.ask(
        rows.list_triggers,
        workflow_id=query.workflow_id,
        search=query.search,
        page=query.page,
        limit=query.limit,
    )


async def get_trigger(call: Call) -> TriggerRow:
    """Return one trigger."""
    return found(await call.ask(rows.get_trigger, call.path("trigger_id")), "trigger")


async def create_trigger(call: Call) -> TriggerSaved:
    """Store a trigger."""
    return await _save_trigger(call, None)


async def change_trigger(call: Call) -> TriggerSaved:
    """Change a trigger."""
    return await _save_trigger(call, call.path("trigger_id"))


async def rotate_trigger(call: Call) -> TriggerSaved:
    """Give a webhook a new secret."""
    trigger_id: uuid.UUID = call.path("trigger_id")
    installation = cookie_secret(call.context.settings)
    secret = await call.ask(
        triggers.rotate_secret, trigger_id, requested_by=call.viewer.actor, installation=installation
    )
    row = found(await call.ask(rows.get_trigger, trigger_id), "trigger")
    return TriggerSaved(trigger_id, f"/hooks/{row.name}", secret)


async def pause_trigger(call: Call) -> None:
    """Let a trigger rest, or go on."""
    paused = call.body(PauseAsked).paused
    await call.ask(triggers.pause_trigger, call.path("trigger_id"), requested_by=call.viewer.actor, paused=paused)


async def delete_trigger(call: Call) -> None:
    """Remove a trigger."""
    await call.ask(triggers.delete_trigger, call.path("trigger_id"), requested_by=call.viewer.actor)


async def _save_trigger(call: Call, trigger_id: uuid.UUID | None) -> TriggerSaved:
    spec = call.body(TriggerAsked).spec()
    saved = await call.ask(
        triggers.save_trigger,
        spec,
        requested_by=call.viewer.actor,
        installation=cookie_secret(call.context.settings),
        trigger_id=trigger_id,
    )
    return TriggerSaved(saved.id, f"/hooks/{spec.name}" if spec.kind == "webhook" else None, saved.secret)


_SCHEDULE = "/schedules/{schedule_id:uuid}"
_TRIGGER = "/triggers/{trigger_id:uuid}"


def _changes(method: str, path: str, handler: Any, summary: str, doing: str, **more: Any) -> Operation:
    return Operation(method, path, handler, summary, Role.OPERATOR, doing=doing, **more)


OPERATIONS = (
    Operation("GET", "/schedules", list_schedules, "List schedules, those that come next first.", Role.ANALYST,
              Page[ScheduleRow], query=StartersQuery),
    Operation("POST", "/schedules/preview", preview_schedule, "Return when a rhythm would come; stores nothing.",
              Role.ANALYST, list[datetime], body=PreviewAsked, doing="look at a rhythm"),
    _changes("POST", "/schedules", create_schedule, "Store a schedule.", "store a schedule",
             returns=Saved, body=ScheduleAsked, status=201),
    Operation("GET", _SCHEDULE, get_schedule, "Return a schedule with its next times and what became of the last.",
              Role.ANALYST, ScheduleOut),
    _changes("PUT", _SCHEDULE, change_schedule, "Change a schedule; without another rhythm it keeps its next time.",
             "change a schedule", returns=Saved, body=ScheduleAsked),
    _changes("DELETE", _SCHEDULE, delete_schedule, "Remove a schedule; its runs stay.", "delete a schedule",
             status=204),
    _changes("POST", f"{_SCHEDULE}/pause", pause_schedule,
             "Let a schedule rest or go on; what passes while it rests is not caught up.", "pause a schedule",
             body=PauseAsked, status=204),
    _changes("POST", f"{_SCHEDULE}/backfill", backfill_schedule,
             "Queue a run for each time of a range of the past that has none, up to 1000.", "backfill a schedule",
             returns=Started, body=BackfillAsked, status=202),
    Operation("GET", "/triggers", list_triggers, "List triggers by name.", Role.ANALYST, Page[TriggerRow],
              query=StartersQuery),
    _changes("POST", "/triggers", create_trigger, "Store a trigger; a webhook's secret is in the answer, this once.",
             "store a trigger", returns=TriggerSaved, body=TriggerAsked, status=201),
    Operation("GET", _TRIGGER, get_trigger, "Return a trigger, without its secret.", Role.ANALYST, TriggerRow),
    _changes("PUT", _TRIGGER, change_trigger, "Change a trigger; its secret stays.", "change a trigger",
             returns=TriggerSaved, body=TriggerAsked),
    _changes("DELETE", _TRIGGER, delete_trigger, "Remove a trigger; its runs stay.", "delete a trigger", status=204),
    _changes("POST", f"{_TRIGGER}/pause", pause_trigger, "Let a trigger rest or go on.", "pause a trigger",
             body=PauseAsked, status=204),
    _changes("POST", f"{_TRIGGER}/rotate", rotate_trigger,
             "Give a webhook a new secret, which is in the answer, this once; the old one is not taken any more.",
             "change a webhook's secret", returns=TriggerSaved),
)  # fmt: skip
