"""Objectives: how they stand, what they are, and what they would be; corrections and annotations of their time."""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Concatenate, ParamSpec, TypeVar

from pydantic import Field, model_validator
from sqlalchemy.orm import Session
from starlette.responses import Response

from analytics.core.clock import Interval, require_aware, utc_now
from analytics.core.errors import InputError
from analytics.slo import catalogue, checks, corrections, slo_report
from analytics.slo.backtest import suggest_min_bad
from analytics.slo.burndown import burn_down, burndown
from analytics.slo.corrections import Correction, NewCorrection
from analytics.slo.documents import ReportFormat, file_name, render
from analytics.slo.explain import explain_burn
from analytics.slo.forecast import look_ahead
from analytics.slo.model import Objective
from analytics.slo.period_report import period_report
from analytics.slo.preview import preview
from analytics.slo.specs.native import dump_document, parse_document
from analytics.slo.trials import known_incidents
from analytics.slo.what_if import what_if
from analytics.slo.windows import named_period
from analytics.store.engine import session_scope
from analytics.store.queries import slo_alerts
from analytics.store.queries.annotations import AnnotationRow, NewAnnotation, list_annotations
from analytics.store.queries.slo_alerts import SloAlertRow
from dashboard import slo_changes
from dashboard.api.areas import slo_answers as answers
from dashboard.api.areas import slo_trials
from dashboard.api.operations import (
    LONGEST_RANGE,
    Asked,
    Call,
    CursorQuery,
    Operation,
    RangeQuery,
    decode_cursor,
    listing,
)
from dashboard.api.revisions import MATCH, expected_revision
from dashboard.auth.roles import Role
from dashboard.auth.viewer import require

P = ParamSpec("P")
T = TypeVar("T")

_MOST_TARGETS = 20
_LONGEST_NOTE = catalogue.LONGEST_NOTE
_PERIOD = "Such as `30d`, `month`, `last-month`, `2026-10`, `2026-Q3`"


class SlosQuery(Asked):
    """Which objectives, and over which span they are judged."""

    period: str | None = Field(default=None, max_length=30, description=f"{_PERIOD}; null: each its own window.")
    zone: str = Field(default="UTC", max_length=64, description="IANA time zone in which the days of it begin.")
    since: datetime | None = Field(default=None, description="Start of a span instead; with a time zone.")
    until: datetime | None = Field(default=None, description="Its end; the present when only `since` is given.")
    service: str | None = Field(default=None, max_length=100, description="Only objectives of this service.")
    groups: bool = Field(default=False, description="Judge the groups of objectives, too.")

    @model_validator(mode="after")
    def _has_one_span(self) -> "SlosQuery":
        if self.until is not None and self.since is None:
            raise ValueError("until needs since")
        if self.period is not None and self.since is not None:
            raise ValueError("give a period or since, not both")
        return self

    def interval(self, now: datetime) -> Interval | None:
        """Return the span; None for the windows of the objectives."""
        if self.since is not None:
            return _short(Interval(require_aware(self.since), now if self.until is None else require_aware(self.until)))
        return None if self.period is None else _short(named_period(self.period, now=now, zone=self.zone))


class ReportQuery(Asked):
    """Which report, and how it is written."""

    period: str = Field(default="month", max_length=30, description=f"{_PERIOD}.")
    zone: str = Field(default="UTC", max_length=64, description="IANA time zone in which the days of it begin.")
    format: ReportFormat = Field(default=ReportFormat.JSON, description="`json`, `csv`, `md` or `html`.")
    ids: str | None = Field(default=None, max_length=4000, description="Only these, separated by commas.")


class PointsQuery(Asked):
    """How fine a course is."""

    points: int = Field(default=200, ge=2, le=2000, description="The most steps.")


class NoteQuery(Asked):
    """Why a definition is changed."""

    note: str = Field(default="", max_length=_LONGEST_NOTE, description="Why, for the history.")


class AlertsQuery(CursorQuery):
    """Which alerts."""

    is_open: bool | None = Field(default=None, description="Only open or only ended ones.")


class CorrectionsQuery(Asked):
    """Which corrections."""

    slo_id: str | None = Field(default=None, max_length=100, description="Only those that concern this objective.")
    with_withdrawn: bool = Field(default=False, description="Also those that do not count any more.")


class AnnotationsQuery(RangeQuery):
    """Which annotations; the newest hundred of the span."""

    range: str = Field(default="30d", pattern=r"^[1-9]\d{0,3}[mhd]$", description="The last so long, like `7d`.")
    service: str | None = Field(default=None, max_length=100, description="Only those of this service or of all.")


class DefinitionAsked(Asked):
    """An objective as it is to be."""

    definition: dict[str, Any] = Field(description="In the native form.")
    note: str = Field(default="", max_length=_LONGEST_NOTE, description="Why, for the history.")


class NoteAsked(Asked):
    """Why a definition is changed."""

    note: str = Field(default="", max_length=_LONGEST_NOTE, description="Why, for the history.")


class RevertAsked(NoteAsked):
    """Which revision to go back to."""

    revision: int = Field(ge=0, description="0 is a standard objective as shipped.")


class PreviewAsked(Asked):
    """An objective to try."""

    definition: dict[str, Any] = Field(description="In the native form.")
    days: int = Field(default=30, ge=1, le=90, description="How much of the past to read.")


class BacktestAsked(Asked):
    """A policy to try."""

    alerting: dict[str, Any] | None = Field(
        default=None, description="As in the native form; null tries only the one there is."
    )
    days: int = Field(default=30, ge=1, le=90, description="How much of the past to judge.")


class WhatIfAsked(Asked):
    """Targets and a window to try."""

    targets: list[str | float] = Field(
        default_factory=list, max_length=_MOST_TARGETS, description='Such as "99.5%" or 0.995; none: its own.'
    )
    window: dict[str, Any] | None = Field(default=None, description="As in the native form; null: its own.")


class CorrectionAsked(Asked):
    """Time that is not to count."""

    starts_at: datetime
    ends_at: datetime = Field(description="Of the first occurrence.")
    reason: str = Field(max_length=corrections.LONGEST_REASON)
    slo_id: str | None = Field(default=None, max_length=100, description="For this objective.")
    service: str | None = Field(default=None, max_length=100, description="For a service; without both, for all.")
    rrule: str | None = Field(default=None, description="How it recurs, such as `FREQ=WEEKLY;BYDAY=SU`; null: once.")
    zone: str = Field(default="UTC", max_length=64, description="IANA time zone in whose clock it recurs.")


class AnnotationAsked(Asked):
    """Something that happened."""

    at: datetime
    until: datetime | None = Field(default=None, description="End of what lasted; null for a moment.")
    kind: str = Field(default="note", max_length=20, description="`deploy`, `incident` or `note`.")
    title: str = Field(max_length=1000)
    service: str | None = Field(default=None, max_length=100, description="What it was about; null for everything.")


@dataclass(frozen=True, slots=True)
class Noted:
    """What was stored."""

    id: uuid.UUID


# ---- How they stand ----


async def get_slos(call: Call) -> answers.SloReportOut:
    """Return the report over all objectives."""
    query, now = call.query(SlosQuery), utc_now()
    asked = query.interval(now)

    def read(session: Session) -> answers.SloReportOut:
        entries = catalogue.entries(session, with_inactive=False)
        readable = [item.objective for item in entries if item.objective is not None]
        ids = [item.id for item in readable if query.service in {None, item.service}]
        report = slo_report(session, now=now, interval=asked, ids=ids, group_keys=query.groups)
        return answers.SloReportOut(
            since=report.interval.since,
            until=report.interval.until,
            summary=report.summary,
            objectives=[answers.slo(status) for status in report.statuses],
            broken=[
                answers.BrokenOut(item.slo_id, item.revision, item.problem)
                for item in entries
                if item.problem is not None
            ],
        )

    return await _read(call, read)


async def get_slo(call: Call) -> answers.SloDetailOut:
    """Return one objective with its groups and its definition."""
    slo_id: str = call.path("slo_id")

    def read(session: Session) -> answers.SloDetailOut:
        catalogue.find(session, slo_id)
        (entry,) = catalogue.entries(session, ids=[slo_id])
        (status,) = slo_report(session, now=utc_now(), ids=[slo_id], group_keys=True).statuses
        return answers.detail(status, entry)

    return await _read(call, read)


async def get_burn_down(call: Call) -> answers.BurnDownOut:
    """Return how a budget was spent."""
    points = call.query(PointsQuery).points
    return answers.burn_down(await _read(call, burn_down, call.path("slo_id"), now=utc_now(), points=points))


async def get_forecast(call: Call) -> answers.ForecastOut:
    """Return how a budget goes on."""
    return answers.forecast(await _read(call, look_ahead, call.path("slo_id"), now=utc_now()))


async def get_explanation(call: Call) -> answers.ExplanationOut:
    """Return where a budget went."""
    return answers.explanation(await _read(call, explain_burn, call.path("slo_id"), now=utc_now()))


async def list_slo_alerts(call: Call) -> Any:
    """Return alerts of one objective."""
    query = call.query(AlertsQuery)

    def read(session: Session) -> list[SloAlertRow]:
        objective = catalogue.find(session, call.path("slo_id"), with_inactive=True)
        before = decode_cursor(query.after)
        return slo_alerts.list_alerts(
            session, slo_id=objective.id, is_open=query.is_open, before=before, limit=query.limit
        )

    return listing(await _read(call, read), query.limit, lambda row: (row.started_at, row.id))


async def get_slo_document(call: Call) -> Response:
    """Return the report of a period as a document."""
    query = call.query(ReportQuery)
    _short(named_period(query.period, now=utc_now(), zone=query.zone))
    ids = None if query.ids is None else [part.strip() for part in query.ids.split(",")]
    report = await _read(call, period_report, now=utc_now(), period=query.period, zone=query.zone, ids=ids)
    saved_as = f'attachment; filename="{file_name(report, query.format)}"'
    return Response(
        render(report, query.format),
        media_type=query.format.media_type,
        headers={"Cache-Control": "no-store", "Content-Disposition": saved_as},
    )


# ---- What they are ----


async def list_slo_revisions(call: Call) -> list[answers.RevisionOut]:
    """Return every revision of a definition."""
    return [answers.revision(row) for row in await _read(call, catalogue.revisions, call.path("slo_id"))]


async def put_slo(call: Call) -> answers.SavedOut:
    """Store a definition."""
    body, slo_id = call.body(DefinitionAsked), call.path("slo_id")
    objective = parse_document(body.definition)
    if objective.id != slo_id:
        raise InputError(f"The definition is of {objective.id}, the address of {slo_id}. Nothing was stored.")
    stored = await call.in_thread(
        slo_changes.save, call.viewer, objective, note=body.note, expected_revision=expected_revision(call)
    )
    return _saved(stored)


async def delete_slo(call: Call) -> None:
    """Take an objective out of use."""
    note, slo_id = call.query(NoteQuery).note, call.path("slo_id")
    await call.in_thread(
        slo_changes.deactivate, call.viewer, slo_id, note=note, expected_revision=expected_revision(call)
    )


async def restore_slo(call: Call) -> answers.SavedOut:
    """Take an objective into use again."""
    note = call.body(NoteAsked).note
    return _saved(await call.in_thread(slo_changes.restore, call.viewer, call.path("slo_id"), note=note))


async def revert_slo(call: Call) -> answers.SavedOut:
    """Go back to an earlier revision."""
    body = call.body(RevertAsked)
    stored = await call.in_thread(
        slo_changes.revert,
        call.viewer,
        call.path("slo_id"),
        body.revision,
        note=body.note,
        expected_revision=expected_revision(call),
    )
    return _saved(stored)


# ---- What they would be ----


async def preview_slo(call: Call) -> answers.PreviewOut:
    """Return what an objective that is not stored would say."""
    body, now = call.body(PreviewAsked), utc_now()
    objective = parse_document(body.definition)
    role = slo_changes.role_to_change(objective)
    await call.in_thread(require, call.viewer, role, doing="try an objective that reads PostgreSQL")

    def read(session: Session) -> answers.PreviewOut:
        catalogue.check_members(session, objective)
        prom = call.context.prom
        problems = checks.check(objective, session=session, prom=prom, now=now)
        try:
            history = preview(objective, session=session, prom=prom, now=now, days=body.days)
        except InputError as error:
            raise error.with_context(problems=problems) from None
        incidents = known_incidents(session, objective.service, history.interval)
        course = burndown(history)
        return answers.PreviewOut(
            problems=problems,
            stands=answers.what_if(what_if(history, incidents=incidents)),
            remaining=course.remaining,
            gaps=course.gaps,
            suggested_min_bad=suggest_min_bad(history, incidents=incidents),
        )

    return await _read(call, read)


async def backtest_slo(call: Call) -> answers.BacktestsOut:
    """Return what a policy would have done."""
    body = call.body(BacktestAsked)
    return await _read(
        call, slo_trials.backtests, call.path("slo_id"), now=utc_now(), days=body.days, alerting=body.alerting
    )


async def what_if_slo(call: Call) -> list[answers.WhatIfOut]:
    """Return how an objective would stand under other targets or another window."""
    body = call.body(WhatIfAsked)
    return await _read(
        call, slo_trials.what_ifs, call.path("slo_id"), now=utc_now(), targets=body.targets, window=body.window
    )


# ---- Corrections and annotations ----


async def list_slo_corrections(call: Call) -> Sequence[Correction]:
    """Return corrections."""
    query = call.query(CorrectionsQuery)

    def read(session: Session) -> Sequence[Correction]:
        of = None if query.slo_id is None else catalogue.find(session, query.slo_id, with_inactive=True)
        return corrections.list_corrections(session, objective=of, with_withdrawn=query.with_withdrawn)

    return await _read(call, read)


async def add_slo_correction(call: Call) -> answers.AddedOut:
    """Store a correction."""
    new = NewCorrection(**dict(call.body(CorrectionAsked)))
    return answers.added(await call.in_thread(slo_changes.add_correction, call.viewer, new))


async def withdraw_slo_correction(call: Call) -> None:
    """Let a correction count no longer."""
    await call.in_thread(slo_changes.withdraw_correction, call.viewer, call.path("correction_id"))


async def get_annotations(call: Call) -> list[AnnotationRow]:
    """Return what happened."""
    query = call.query(AnnotationsQuery)
    return await _read(call, list_annotations, query.interval(), service=query.service)


async def add_annotation(call: Call) -> Noted:
    """Note what happened."""
    new = NewAnnotation(**dict(call.body(AnnotationAsked)))
    return Noted(await call.in_thread(slo_changes.add_annotation, call.viewer, new))


async def delete_annotation(call: Call) -> None:
    """Remove a note of what happened."""
    await call.in_thread(slo_changes.delete_annotation, call.viewer, call.path("annotation_id"))


async def _read(call: Call, question: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Ask in a thread: what is computed of histories would hold up the event loop."""

    def ask() -> T:
        with session_scope(call.context.engine) as session:
            return question(session, *args, **kwargs)

    return await call.in_thread(ask)


def _short(span: Interval) -> Interval:
    """Refuse a span that would take long to add up."""
    if span.length > LONGEST_RANGE:
        raise InputError(f"A period is at most {LONGEST_RANGE.days} days; nothing was read.")
    return span


def _saved(objective: Objective) -> answers.SavedOut:
    return answers.SavedOut(objective.id, objective.revision, dump_document(objective))


OPERATIONS = (
    Operation(
        "GET",
        "/slos",
        get_slos,
        "Report how the objectives stand, with budgets and burn rates, each over its window or all over a period.",
        Role.VIEWER,
        answers.SloReportOut,
        query=SlosQuery,
    ),
    Operation(
        "GET",
        "/slos/report",
        get_slo_document,
        "Write the report of a period as JSON, CSV, Markdown or HTML.",
        Role.VIEWER,
        dict[str, Any],
        query=ReportQuery,
    ),
    Operation(
        "POST",
        "/slos/preview",
        preview_slo,
        "Try an objective that is not stored on the past of its source; one that reads SQL needs the role admin.",
        Role.OPERATOR,
        answers.PreviewOut,
        body=PreviewAsked,
        doing="try an objective",
    ),
    Operation(
        "GET",
        "/slos/{slo_id}",
        get_slo,
        "Return how one objective stands, with groups, members and definition.",
        Role.VIEWER,
        answers.SloDetailOut,
    ),
    Operation(
        "PUT",
        "/slos/{slo_id}",
        put_slo,
        "Store an objective as a new revision; one that reads SQL needs the role admin.",
        Role.OPERATOR,
        answers.SavedOut,
        body=DefinitionAsked,
        doing="store an objective",
        headers=MATCH,
    ),
    Operation(
        "DELETE",
        "/slos/{slo_id}",
        delete_slo,
        "Take an objective out of use; its history stays.",
        Role.OPERATOR,
        query=NoteQuery,
        status=204,
        doing="take an objective out of use",
        headers=MATCH,
    ),
    Operation(
        "POST",
        "/slos/{slo_id}/restore",
        restore_slo,
        "Take an objective into use again, as it was defined last.",
        Role.OPERATOR,
        answers.SavedOut,
        body=NoteAsked,
        doing="take an objective into use",
    ),
    Operation(
        "POST",
        "/slos/{slo_id}/revert",
        revert_slo,
        "Store what an earlier revision said as a new one.",
        Role.OPERATOR,
        answers.SavedOut,
        body=RevertAsked,
        doing="go back to an earlier objective",
        headers=MATCH,
    ),
    Operation(
        "GET",
        "/slos/{slo_id}/revisions",
        list_slo_revisions,
        "Return every revision of an objective with what changed, newest first.",
        Role.VIEWER,
        list[answers.RevisionOut],
    ),
    Operation(
        "GET",
        "/slos/{slo_id}/burn-down",
        get_burn_down,
        "Return how the budget of an objective was spent over its window, with gaps, corrections and annotations.",
        Role.VIEWER,
        answers.BurnDownOut,
        query=PointsQuery,
    ),
    Operation(
        "GET",
        "/slos/{slo_id}/forecast",
        get_forecast,
        "Return how the budget goes on at the burn rates of the last hour, six hours and three days.",
        Role.VIEWER,
        answers.ForecastOut,
    ),
    Operation(
        "GET",
        "/slos/{slo_id}/alerts",
        list_slo_alerts,
        "Return the alerts of an objective, newest first.",
        Role.VIEWER,
        list[SloAlertRow],
        query=AlertsQuery,
    ),
    Operation(
        "GET",
        "/slos/{slo_id}/explain",
        get_explanation,
        "Return where the budget went: burn by window, dearest hours and groups, cost of what happened.",
        Role.VIEWER,
        answers.ExplanationOut,
    ),
    Operation(
        "POST",
        "/slos/{slo_id}/backtest",
        backtest_slo,
        "Return which alerts a policy would have sent over the past, and which of them false; nothing is stored.",
        Role.VIEWER,
        answers.BacktestsOut,
        body=BacktestAsked,
    ),
    Operation(
        "POST",
        "/slos/{slo_id}/what-if",
        what_if_slo,
        "Return how an objective would stand under other targets or another window; nothing is stored.",
        Role.VIEWER,
        list[answers.WhatIfOut],
        body=WhatIfAsked,
    ),
    Operation(
        "GET",
        "/slo-corrections",
        list_slo_corrections,
        "Return the corrections: time that does not count against budgets.",
        Role.VIEWER,
        list[Correction],
        query=CorrectionsQuery,
    ),
    Operation(
        "POST",
        "/slo-corrections",
        add_slo_correction,
        "Take time out of budgets, once or recurring, for the past too; the answer says which corrections it meets.",
        Role.OPERATOR,
        answers.AddedOut,
        body=CorrectionAsked,
        status=201,
        doing="correct budgets",
    ),
    Operation(
        "DELETE",
        "/slo-corrections/{correction_id:uuid}",
        withdraw_slo_correction,
        "Let a correction count no longer; it stays listed as withdrawn.",
        Role.OPERATOR,
        status=204,
        doing="withdraw a correction",
    ),
    Operation(
        "GET",
        "/annotations",
        get_annotations,
        "Return deployments, incidents and notes of a span, oldest first.",
        Role.VIEWER,
        list[AnnotationRow],
        query=AnnotationsQuery,
    ),
    Operation(
        "POST",
        "/annotations",
        add_annotation,
        "Note a deployment, an incident or something else on the time axis.",
        Role.OPERATOR,
        Noted,
        body=AnnotationAsked,
        status=201,
        doing="note what happened",
    ),
    Operation(
        "DELETE",
        "/annotations/{annotation_id:uuid}",
        delete_annotation,
        "Remove what was noted.",
        Role.OPERATOR,
        status=204,
        doing="remove a note of what happened",
    ),
)
