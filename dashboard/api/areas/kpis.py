"""Key figures: readings, courses, splits, the rows behind them, their thresholds; and metrics by name."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

from pydantic import Field
from sqlalchemy.orm import Session

from analytics.core.clock import Interval, utc_now
from analytics.kpi import (
    Bounds,
    Kpi,
    KpiReading,
    KpiSeries,
    MetricCourse,
    Summary,
    kpi_rows,
    kpi_series,
    metric_course,
    read_by,
    read_kpis,
    reset_thresholds,
    set_thresholds,
    summary,
)
from analytics.kpi.samples import MOST_SAMPLES, Taken, take_samples
from analytics.kpi.split import MOST_KEYS
from analytics.kpi.thresholds import LONGEST_NOTE, ThresholdRevision, history
from analytics.store.engine import session_scope
from dashboard.api.operations import (
    PREFIX,
    Asked,
    Call,
    CursorQuery,
    Listing,
    Operation,
    RangeQuery,
    decode_cursor,
    listing,
)
from dashboard.api.revisions import MATCH, expected_revision
from dashboard.auth.roles import Role

T = TypeVar("T")

_CACHE = "metrics"

_STEP = r"^[1-9]\d{0,3}[mhd]$"
_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}
_KEY = Field(default="", max_length=500, description="Which value of it; the parts of a pair are joined by U+001F.")
_FORCE = Field(default=False, description="Read anew instead of answering from the cache.")
_NOTE = Field(default="", max_length=LONGEST_NOTE, description="Why, for the history.")


class FreshRange(RangeQuery):
    """A span, and whether what is kept of it will do."""

    force_refresh: bool = _FORCE


class KpisQuery(FreshRange):
    """Which key figures over which span."""

    ids: str | None = Field(default=None, max_length=2000, description="Only these, separated by commas.")


class SeriesQuery(FreshRange):
    """A key figure over time."""

    hours: int | None = Field(default=None, ge=1, le=9600, description="The last so many hours, in place of `range`.")
    step: str = Field(default="1h", alias="interval", pattern=_STEP, description="A step, like `5m`, `1h`, `1d`.")
    dim: str = Field(default="", max_length=50, description="Of one value of this dimension.")
    key: str = _KEY

    def interval(self, *, now: datetime | None = None) -> Interval:
        """Return the time to look at."""
        return super().interval(now=now) if self.hours is None else Interval.last(timedelta(hours=self.hours), now=now)


class SplitQuery(FreshRange):
    """A key figure by a dimension."""

    most: int = Field(default=20, ge=1, le=MOST_KEYS, description="The most values, those with the most samples.")


class RowsQuery(RangeQuery, CursorQuery):
    """The rows behind a key figure."""

    dim: str = Field(default="", max_length=50, description="Of one value of this dimension.")
    key: str = _KEY


class SummaryQuery(Asked):
    """Over how long metrics are summed up."""

    hours: int = Field(default=24, ge=1, le=9600, description="The last so many hours.")
    force_refresh: bool = _FORCE


class MetricQuery(SummaryQuery):
    """A metric over time."""

    name: str = Field(min_length=1, max_length=200, description="Its name, as in the summary.")
    interval: str = Field(default="1h", pattern=_STEP, description="A step, like `5m`, `1h`, `1d`.")


class BoundsAsked(Asked):
    """The thresholds of a key figure: all of them, or none, and it is only measured."""

    target: float | None = Field(default=None, description="As good as this, or better: on target.")
    good: float | None = Field(default=None, description="Else as good as this: good; beyond it, a warning.")
    warning: float | None = Field(default=None, description="Beyond this: critical.")
    note: str = _NOTE


class NoteQuery(Asked):
    """Why thresholds are changed."""

    note: str = _NOTE


class SamplesAsked(Asked):
    """Samples of programs."""

    samples: list[Any] = Field(
        description=f"At most {MOST_SAMPLES:,} objects with `name`, `value` and, if you like, `unit`, `at`, `tags`,"
        " `warning`, `critical`, `id`; each is checked by itself."
    )


@dataclass(frozen=True, slots=True)
class KpiOut:
    """A key figure over an interval."""

    id: str
    title: str
    group: str
    unit: str
    direction: str
    """``higher`` or ``lower`` is better; empty for neither."""
    doc: str
    source: str
    target: float | None
    good: float | None
    warning: float | None
    revision: int
    """Of the thresholds; 0: as shipped."""
    weight: float
    dims: list[str]
    key: str
    value: float | None
    state: str
    samples: int
    measured_at: datetime | None
    since: datetime
    until: datetime
    previous: float | None
    includes_demo: bool
    series: list[tuple[datetime, float | None]]


@dataclass(frozen=True, slots=True)
class PointOut:
    """One step of a course."""

    start: datetime
    value: float | None
    samples: int


@dataclass(frozen=True, slots=True)
class SeriesOut:
    """A key figure over time."""

    id: str
    title: str
    unit: str
    key: str
    since: datetime
    until: datetime
    step_s: float
    measured_at: datetime | None
    includes_demo: bool
    target: float | None
    good: float | None
    warning: float | None
    points: list[PointOut]


@dataclass(frozen=True, slots=True)
class BoundsOut:
    """One state of the thresholds of a key figure."""

    kpi_id: str
    revision: int
    target: float | None
    good: float | None
    warning: float | None
    note: str
    created_at: datetime | None
    created_by: str


async def list_kpis(call: Call) -> list[KpiOut]:
    """Return key figures."""
    query = call.query(KpisQuery)
    ids = [part.strip() for part in query.ids.split(",")] if query.ids else None

    def read(session: Session) -> list[KpiOut]:
        return [_kpi(reading) for reading in read_kpis(session, call.context.prom, query.interval(), ids=ids)]

    return await _kept(call, query, list[KpiOut], read)


async def get_kpi(call: Call) -> KpiOut:
    """Return one key figure."""
    query, kpi_id = call.query(FreshRange), call.path("kpi_id")

    def read(session: Session) -> KpiOut:
        (found,) = read_kpis(session, call.context.prom, query.interval(), ids=[kpi_id])
        return _kpi(found)

    return await _kept(call, query, KpiOut, read)


async def get_kpi_series(call: Call) -> SeriesOut:
    """Return one key figure over time."""
    query, kpi_id = call.query(SeriesQuery), call.path("kpi_id")

    def read(session: Session) -> SeriesOut:
        prom, interval, step = call.context.prom, query.interval(), _length(query.step)
        return _series(kpi_series(session, prom, kpi_id, interval, step=step, dim=query.dim, key=query.key))

    return await _kept(call, query, SeriesOut, read)


async def split_kpi(call: Call) -> list[KpiOut]:
    """Return one key figure by a dimension."""
    query, kpi_id, dim = call.query(SplitQuery), call.path("kpi_id"), call.path("dim")

    def read(session: Session) -> list[KpiOut]:
        found = read_by(session, call.context.prom, kpi_id, dim, query.interval(), most=query.most)
        return [_kpi(reading) for reading in found]

    return await _kept(call, query, list[KpiOut], read)


async def list_kpi_rows(call: Call) -> Listing:
    """Return the rows behind a key figure."""
    query = call.query(RowsQuery)
    rows = await call.ask(
        kpi_rows,
        call.path("kpi_id"),
        query.interval(),
        dim=query.dim,
        key=query.key,
        limit=query.limit,
        after=decode_cursor(query.after),
    )
    return listing(rows, query.limit, lambda row: (row["at"], row["id"]))


async def list_kpi_thresholds(call: Call) -> list[BoundsOut]:
    """Return the history of thresholds."""
    return [_revision(item) for item in await call.ask(history, call.path("kpi_id"))]


async def set_kpi_thresholds(call: Call) -> BoundsOut:
    """Set thresholds."""
    body = call.body(BoundsAsked)
    changed = await call.ask(
        set_thresholds,
        call.path("kpi_id"),
        Bounds(body.target, body.good, body.warning),
        actor=call.viewer.actor,
        note=body.note,
        expected_revision=expected_revision(call),
    )
    return await _current(call, changed)


async def reset_kpi_thresholds(call: Call) -> BoundsOut:
    """Go back to the standard thresholds."""
    changed = await call.ask(
        reset_thresholds,
        call.path("kpi_id"),
        actor=call.viewer.actor,
        note=call.query(NoteQuery).note,
        expected_revision=expected_revision(call),
    )
    return await _current(call, changed)


async def get_metric_summary(call: Call) -> Summary:
    """Return metrics of the last hours, summed up by name."""
    query = call.query(SummaryQuery)

    def read(session: Session) -> Summary:
        return summary(session, call.context.prom, Interval.last(timedelta(hours=query.hours)))

    return await _kept(call, query, Summary, read)


async def get_metric_series(call: Call) -> MetricCourse:
    """Return one metric over time."""
    query = call.query(MetricQuery)

    def read(session: Session) -> MetricCourse:
        interval = Interval.last(timedelta(hours=query.hours))
        return metric_course(session, query.name, interval, step=_length(query.interval))

    return await _kept(call, query, MetricCourse, read)


async def add_samples(call: Call) -> Taken:
    """Keep samples of programs."""
    return await call.ask(take_samples, call.body(SamplesAsked).samples, now=utc_now())


async def _kept(call: Call, query: FreshRange | SummaryQuery, kind: Any, read: Callable[[Session], T]) -> T:
    """Return what *read* says, or said in the last half minute, to the same question; changes of the area void it."""
    caches, path = call.context.caches, call.request.url.path
    key = (path, query.model_dump_json(exclude={"force_refresh"}))

    def ask() -> T:
        with session_scope(call.context.engine) as session:
            return read(session)

    tag = path.removeprefix(PREFIX).split("/")[1]
    return await call.in_thread(caches.remember, _CACHE, key, ask, of=kind, tags=(tag,), force=query.force_refresh)


def _length(step: str) -> timedelta:
    return int(step[:-1]) * _UNITS[step[-1]]


async def _current(call: Call, changed: Kpi) -> BoundsOut:
    found: Sequence[ThresholdRevision] = await call.ask(history, changed.id)
    return _revision(found[0])


def _revision(item: ThresholdRevision) -> BoundsOut:
    return BoundsOut(
        kpi_id=item.kpi_id,
        revision=item.revision,
        target=item.bounds.target,
        good=item.bounds.good,
        warning=item.bounds.warning,
        note=item.note,
        created_at=item.created_at,
        created_by=item.created_by,
    )


def _series(found: KpiSeries) -> SeriesOut:
    return SeriesOut(
        id=found.kpi.id,
        title=found.kpi.title,
        unit=found.kpi.unit,
        key=found.key,
        since=found.interval.since,
        until=found.interval.until,
        step_s=found.step.total_seconds(),
        measured_at=found.measured_at,
        includes_demo=found.includes_demo,
        target=found.kpi.target,
        good=found.kpi.good,
        warning=found.kpi.warning,
        points=[PointOut(point.start, point.value, point.samples) for point in found.points],
    )


def _kpi(reading: KpiReading) -> KpiOut:
    kpi = reading.kpi
    return KpiOut(
        id=kpi.id,
        title=kpi.title,
        group=kpi.group,
        unit=kpi.unit,
        direction=str(kpi.direction),
        doc=kpi.doc,
        source=kpi.source,
        target=kpi.target,
        good=kpi.good,
        warning=kpi.warning,
        revision=kpi.revision,
        weight=kpi.weight,
        dims=list(kpi.dims),
        key=reading.key,
        value=reading.value,
        state=str(reading.state),
        samples=reading.samples,
        measured_at=reading.measured_at,
        since=reading.interval.since,
        until=reading.interval.until,
        previous=reading.previous,
        includes_demo=reading.includes_demo,
        series=list(reading.series),
    )


OPERATIONS = (
    Operation(
        "GET",
        "/kpis",
        list_kpis,
        "Return key figures over a range; a value is null when nothing was measured, never 0.",
        Role.VIEWER,
        list[KpiOut],
        query=KpisQuery,
    ),
    Operation(
        "GET", "/kpis/{kpi_id}", get_kpi, "Return one key figure over a range.", Role.VIEWER, KpiOut, query=FreshRange
    ),
    Operation(
        "GET",
        "/kpis/{kpi_id}/series",
        get_kpi_series,
        "Return one key figure over time: the last `hours` by steps of `interval`, or a range.",
        Role.VIEWER,
        SeriesOut,
        query=SeriesQuery,
    ),
    Operation(
        "GET",
        "/kpis/{kpi_id}/by/{dim}",
        split_kpi,
        "Return one key figure by one of its dimensions, such as agent, model or source.",
        Role.VIEWER,
        list[KpiOut],
        query=SplitQuery,
    ),
    Operation(
        "GET",
        "/kpis/{kpi_id}/rows",
        list_kpi_rows,
        "Return the rows that a key figure rests on, newest first.",
        Role.ANALYST,
        Listing,
        query=RowsQuery,
    ),
    Operation(
        "GET",
        "/kpis/{kpi_id}/thresholds",
        list_kpi_thresholds,
        "Return every state of a key figure's thresholds, newest first; revision 0 is as shipped.",
        Role.VIEWER,
        list[BoundsOut],
    ),
    Operation(
        "PUT",
        "/kpis/{kpi_id}/thresholds",
        set_kpi_thresholds,
        "Set the thresholds of a key figure, as a new revision.",
        Role.OPERATOR,
        BoundsOut,
        body=BoundsAsked,
        doing="set thresholds",
        headers=MATCH,
    ),
    Operation(
        "DELETE",
        "/kpis/{kpi_id}/thresholds",
        reset_kpi_thresholds,
        "Go back to the standard thresholds of a key figure, as a new revision.",
        Role.OPERATOR,
        BoundsOut,
        query=NoteQuery,
        doing="reset thresholds",
        headers=MATCH,
    ),
    Operation(
        "GET",
        "/metrics/summary",
        get_metric_summary,
        "Return the samples of the last hours by name: count, average, minimum, maximum, p95, p99.",
        Role.VIEWER,
        Summary,
        query=SummaryQuery,
    ),
    Operation(
        "GET",
        "/metrics/series",
        get_metric_series,
        "Return the samples of one name over time: how many, average, minimum and maximum of each step.",
        Role.VIEWER,
        MetricCourse,
        query=MetricQuery,
    ),
    Operation(
        "POST",
        "/metrics/samples",
        add_samples,
        "Keep measured values that a program sends; each that cannot be used is told, and the rest goes in.",
        Role.OPERATOR,
        Taken,
        body=SamplesAsked,
        doing="send samples",
    ),
)
