"""The overview: key figures with their score, work items and the measures of success, read at the same time."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from analytics.core.clock import Interval, utc_now
from analytics.kpi.model import KpiReading
from analytics.kpi.read import read_kpis
from analytics.kpi.score import Score, score_of
from analytics.sources.prometheus import PromClient
from analytics.sources.system import Measurement, record
from analytics.store.parallel import gather
from analytics.store.queries.work_items import WorkKind, work_by_kind

SCORE_NAME = "performance_score"
"""Name of the samples in which the course of the score is kept."""
SCORE_SPAN = timedelta(hours=1)
"""Each sample is the score over the hour before it."""
STEADY_ABOVE = 85.0
STEADY_SHARE = 0.95
CACHE_HITS = 0.90
AVAILABILITY = 0.999
ALERT_RESPONSE_S = 300.0

_STEADY = text(
    "SELECT count(*), count(*) FILTER (WHERE value > :bound) FROM metric_sample"
    " WHERE name = :name AND at >= :since AND at < :until"
)


@dataclass(frozen=True, slots=True)
class SuccessMetric:
    """Something by which the whole is judged, with what counts as success."""

    id: str
    title: str
    value: float | None
    """None when it was not measured."""
    unit: str
    target: float
    is_met: bool | None
    """None without a value."""
    samples: int
    doc: str


@dataclass(frozen=True, slots=True)
class Overview:
    """What the first screen says, over one interval."""

    interval: Interval
    read_at: datetime
    readings: Sequence[KpiReading]
    score: Score
    work: Sequence[WorkKind]
    success: Sequence[SuccessMetric]


def read_overview(engine: Engine, prom: PromClient | None, interval: Interval, *, latest: int = 10) -> Overview:
    """Return the overview of *interval*; what it is made of is asked at the same time.

    Args:
        engine: The pool of PostgreSQL; do not hold a session of it meanwhile.
        prom: Where counters are asked for, or None.
        interval: The time to look at.
        latest: How many of the newest work items of each kind to add; 0 for none.
    """
    questions: Mapping[str, Callable[[Session], Any]] = {
        "kpis": lambda session: read_kpis(session, prom, interval),
        "work": lambda session: work_by_kind(session, interval, latest=latest),
        "steady": lambda session: _steady(session, interval),
    }
    found = gather(engine, questions)
    readings: list[KpiReading] = found["kpis"]
    return Overview(
        interval=interval,
        read_at=utc_now(),
        readings=readings,
        score=score_of(readings),
        work=found["work"],
        success=success(readings, *found["steady"]),
    )


def success(readings: Sequence[KpiReading], samples: int, above: int) -> list[SuccessMetric]:
    """Return the measures of success.

    Args:
        readings: Key figures over the interval.
        samples: How many samples of the score there are.
        above: How many of them lie above 85.
    """
    by_id = {reading.kpi.id: reading for reading in readings}
    steady = above / samples if samples else None
    return [
        SuccessMetric(
            "score_steady",
            "Score above 85",
            steady,
            "ratio",
            STEADY_SHARE,
            None if steady is None else steady >= STEADY_SHARE,
            samples,
            "Share of the samples of the score that lie above 85; the score is sampled every five minutes.",
        ),
        _of_reading(by_id.get("cache_hits"), "cache_hits", "Cache hits", CACHE_HITS),
        _of_reading(by_id.get("availability"), "availability", "Availability", AVAILABILITY),
        SuccessMetric(
            "alert_response",
            "Response to alerts",
            None,
            "s",
            ALERT_RESPONSE_S,
            None,
            0,
            "Time from an alert to the first person who takes it up. Nobody takes alerts up here yet: no data.",
        ),
    ]


def record_score(session: Session, prom: PromClient | None, *, now: datetime) -> Score:
    """Keep a sample of the score over the last hour and return it; without a score none is kept."""
    score = score_of(read_kpis(session, prom, Interval.last(SCORE_SPAN, now=now)))
    if score.value is not None:
        # In tenths, so that samples have few kinds of tags.
        tags = {"coverage": f"{score.coverage:.1f}"}
        record(session, [Measurement(SCORE_NAME, score.value, "points", tags)], now)
    return score


def _of_reading(reading: KpiReading | None, metric: str, title: str, target: float) -> SuccessMetric:
    value = None if reading is None else reading.value
    return SuccessMetric(
        metric,
        title,
        value,
        "ratio",
        target,
        None if value is None else value > target,
        0 if reading is None else reading.samples,
        "" if reading is None else reading.kpi.doc,
    )


def _steady(session: Session, interval: Interval) -> tuple[int, int]:
    """Return how many samples of the score there are, and how many lie above 85."""
    parameters = {"bound": STEADY_ABOVE, "name": SCORE_NAME, "since": interval.since, "until": interval.until}
    samples, above = session.execute(_STEADY, parameters).one()
    return int(samples), int(above)
