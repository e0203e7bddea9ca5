"""Schedules of a workflow: when they come, how they went, and the form that writes one with its next times."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal
from zoneinfo import available_timezones

import streamlit as st

from analytics.core.clock import utc_now
from analytics.core.errors import InputError
from analytics.store.queries.schedules import ScheduleRow, ScheduleTime
from dashboard import formats
from dashboard.components import forms, states, tables
from dashboard.components.status import RUN_LOOKS, Look, look_of
from dashboard.components.tables import Column
from dashboard.workflow_actions import preview_schedule
from dashboard.zone import viewer_zone
from worker.workflow.schedules import ScheduleSpec

Wish = Literal["pause", "resume", "delete"]

_ON = Look("On", ":material/check_circle:", "green")
_PAUSED = Look("Paused", ":material/pause_circle:", "violet")
_OVER = Look("Ended", ":material/event_busy:", "gray")
_FAILED = Look("Last time failed", ":material/error:", "red")
_UNITS = {"minutes": 60.0, "hours": 3600.0, "days": 86400.0}
_CATCHUP = {
    "last": "Start the last of them",
    "all": "Start all of them, up to 1,000",
    "none": "Start none of them",
}
_OVERLAP = {"queue": "Queue the next run all the same", "skip": "Start none while one has not ended"}
_PREVIEWS = 5
_EXAMPLES = "minute hour day month weekday, for example `30 6 * * mon-fri`; or `@hourly`, `@daily`, `@weekly`"


def look(row: ScheduleRow) -> Look:
    """Return how a schedule stands."""
    if row.paused_at is not None:
        return _PAUSED
    if row.next_at is None:
        return _OVER
    return _FAILED if row.error else _ON


def rhythm_words(row: ScheduleRow) -> str:
    """Return how often a schedule comes."""
    if row.cron is not None:
        return row.cron
    return f"every {formats.duration(row.every_s)}"


COLUMNS: list[Column[ScheduleRow]] = [
    Column("Schedule", lambda row: row.name),
    Column("State", look, "state", width="small"),
    Column("Comes", rhythm_words),
    Column("Zone", lambda row: row.zone, width="small"),
    Column("Next", lambda row: None if row.paused_at is not None else row.next_at, "moment"),
    Column("Last", lambda row: row.last_at, "moment"),
    Column("Last run", lambda row: look_of(RUN_LOOKS, row.last_status) if row.last_status else None, "state"),
    Column("Version", lambda row: "current" if row.version is None else str(row.version), width="small"),
    Column("Why none started", lambda row: row.error, width="large"),
]
TIME_COLUMNS: list[Column[ScheduleTime]] = [
    Column("For", lambda row: row.scheduled_for, "moment"),
    Column("Taken", lambda row: row.taken_at, "moment"),
    Column("Run", lambda row: look_of(RUN_LOOKS, row.status) if row.status else None, "state"),
    Column("Why none started", lambda row: row.skipped, width="large"),
]


def draw_list(rows: Sequence[ScheduleRow]) -> ScheduleRow | None:
    """Draw schedules; return the one that is marked."""
    return tables.choose(
        rows, COLUMNS, alt="Schedules of the workflow with their next and last times", key="schedules.table"
    )


def next_words(moments: Sequence[datetime], zone_name: str) -> str:
    """Return times as lines: in the schedule's zone, and how far off the first is."""
    zone = formats.zone_named(zone_name)
    lines = [f"- {formats.moment(moment, zone, seconds=False)}" for moment in moments]
    if moments:
        lines[0] += f", in {formats.duration((moments[0] - utc_now()).total_seconds())}"
    return "\n".join(lines) or "- It never comes again."


def draw_one(row: ScheduleRow, times: Sequence[ScheduleTime] | None, *, can_change: bool) -> Wish | None:
    """Draw one schedule with its next times and what can be done; return what the reader wants."""
    wish: Wish | None = None
    with st.container(border=True):
        st.markdown(f"**{formats.escaped(row.name)}** {look(row).badge}")
        st.caption(story(row))
        with st.container(horizontal=True):
            if row.paused_at is None:
                if st.button("Pause", icon=":material/pause:", key=f"schedule.pause.{row.id}", disabled=not can_change):
                    wish = "pause"
            elif st.button(
                "Resume", icon=":material/play_arrow:", key=f"schedule.resume.{row.id}", disabled=not can_change
            ):
                wish = "resume"
            with st.popover("Delete", icon=":material/delete:", disabled=not can_change):
                st.markdown("Its runs stay; its history of times goes.")
                if st.button("Delete it", type="primary", key=f"schedule.delete.{row.id}"):
                    wish = "delete"
        if row.paused_at is None and row.next_at is not None:
            st.markdown("**Next times**")
            st.markdown(next_words(preview_schedule(spec_of(row), count=_PREVIEWS), row.zone))
        if times:
            st.markdown("**Latest times**")
            tables.table(
                times,
                TIME_COLUMNS,
                alt="Latest times of the schedule",
                key=f"schedule.times.{row.id}",
                height="content",
            )
    return wish


def story(row: ScheduleRow) -> str:
    """Return in a sentence what a schedule does."""
    parts = [f"Comes {formats.escaped(rhythm_words(row))} in {row.zone}"]
    parts.append(f"missed times: {_CATCHUP[row.catchup].lower()}")
    if row.overlap == "skip":
        parts.append(_OVERLAP["skip"].lower())
    if row.jitter_s:
        parts.append(f"up to {formats.duration(row.jitter_s)} later by chance")
    if row.priority:
        parts.append(f"priority {row.priority}")
    if row.ends_at is not None:
        parts.append(f"until {formats.moment(row.ends_at, formats.zone_named(row.zone), seconds=False)}")
    return f"{'; '.join(parts)}. By {formats.escaped(row.created_by) or 'the system'}."


def spec_of(row: ScheduleRow) -> ScheduleSpec:
    """Return what a stored schedule was written as."""
    catchup: Any = row.catchup
    overlap: Any = row.overlap
    return ScheduleSpec(
        name=row.name,
        workflow=row.workflow_id,
        cron=row.cron,
        every_s=row.every_s,
        zone=row.zone,
        version=row.version,
        params=row.params,
        catchup=catchup,
        jitter_s=row.jitter_s,
        priority=row.priority,
        tags=row.tags,
        overlap=overlap,
        starts_at=row.starts_at,
        ends_at=row.ends_at,
    )


@dataclass(frozen=True, slots=True)
class _Rhythm:
    cron: str | None
    every_s: float | None
    zone: str


def draw_form(
    workflow_id: uuid.UUID, workflow: str, schema: Mapping[str, Any], versions: Sequence[int], *, disabled: bool
) -> ScheduleSpec | None:
    """Draw the form of a new schedule; return it on the run in which it was sent."""
    key = f"schedule.new.{workflow}"
    if disabled:
        st.caption(":material/lock: Saving a schedule needs the role operator.")
    name = st.text_input("Name", max_chars=100, placeholder=f"{workflow} every morning", key=f"{key}.name")
    rhythm = _draw_rhythm(key)
    spec = ScheduleSpec(
        name=(name or "").strip(), workflow=workflow_id, cron=rhythm.cron, every_s=rhythm.every_s, zone=rhythm.zone
    )
    _draw_preview(spec)
    with st.expander("Missed times, overlap, end and more", icon=":material/tune:"):
        extra = _draw_more(key, rhythm.zone, versions)
    st.caption("Texts may hold `{{ schedule.time }}`, `{{ schedule.date }}` and `{{ schedule.name }}`.")
    params = forms.draw_form(
        schema, key=f"{key}.params", submit="Save schedule", icon=":material/event_available:", disabled=disabled
    )
    if params is None:
        return None
    return ScheduleSpec(
        name=spec.name,
        workflow=workflow_id,
        cron=spec.cron,
        every_s=spec.every_s,
        zone=spec.zone,
        params=params,
        **extra,
    )


def _draw_rhythm(key: str) -> _Rhythm:
    zones = sorted(available_timezones())
    own = viewer_zone().key
    how = st.segmented_control(
        "Comes", ["By the clock", "At an interval"], default="By the clock", required=True, key=f"{key}.how"
    )
    left, right = st.columns(2)
    with right:
        zone = st.selectbox("Time zone", zones, index=zones.index(own) if own in zones else None, key=f"{key}.zone")
    with left:
        if how == "By the clock":
            cron = st.text_input(
                "Cron expression", value="30 6 * * mon-fri", live="300ms", key=f"{key}.cron", help=_EXAMPLES
            )
            return _Rhythm(cron or "", None, zone or "UTC")
        number, unit = st.columns(2)
        with number:
            every = st.number_input("Every", min_value=1, value=15, step=1, key=f"{key}.every")
        with unit:
            size = st.selectbox("Unit", list(_UNITS), key=f"{key}.unit")
    return _Rhythm(None, every * _UNITS[size], zone or "UTC")


def _draw_preview(spec: ScheduleSpec) -> None:
    try:
        moments = preview_schedule(spec, count=_PREVIEWS)
    except InputError as error:
        states.refused(error)
        return
    st.markdown("**It would come next**")
    st.markdown(next_words(moments, spec.zone))


def _draw_more(key: str, zone_name: str, versions: Sequence[int]) -> dict[str, Any]:
    left, right = st.columns(2)
    with left:
        catchup = st.selectbox(
            "Times missed while nothing ran",
            list(_CATCHUP),
            format_func=_CATCHUP.__getitem__,
            key=f"{key}.catchup",
        )
        jitter = st.number_input(
            "Up to so many seconds later",
            min_value=0,
            value=0,
            step=10,
            key=f"{key}.jitter",
            help="By chance, against crowds.",
        )
        version = st.selectbox(
            "Version",
            [None, *versions],
            format_func=lambda number: "The current one at each start" if number is None else f"Version {number}",
            key=f"{key}.version",
        )
    with right:
        overlap = st.selectbox(
            "When the run before has not ended", list(_OVERLAP), format_func=_OVERLAP.__getitem__, key=f"{key}.overlap"
        )
        priority = st.number_input("Priority", min_value=-100, max_value=100, value=0, step=1, key=f"{key}.priority")
        end = st.datetime_input("Ends", value=None, key=f"{key}.end", format="YYYY-MM-DD")
    tags = st.multiselect(
        "Tags of its runs", [], accept_new_options=True, placeholder="Type a tag and press Enter", key=f"{key}.tags"
    )
    zone = formats.zone_named(zone_name)
    return {
        "catchup": catchup,
        "overlap": overlap,
        "jitter_s": float(jitter),
        "version": version,
        "priority": int(priority),
        "tags": tuple(tags),
        "ends_at": None if end is None else end.replace(tzinfo=zone).astimezone(UTC),
    }
