"""What was measured over the last hours, by name of the metric: from samples of the host, of pools and of programs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from analytics.core.clock import Interval
from analytics.sources.prometheus import PromClient


@dataclass(frozen=True, slots=True)
class MetricSummary:
    """All samples of one name."""

    name: str
    unit: str
    count: int
    average: float
    minimum: float
    maximum: float
    p95: float
    """At most 4.4 % off, as is p99."""
    p99: float
    latest_at: datetime
    warning: float | None
    """From where its sender warns, as it said last."""
    critical: float | None
    includes_demo: bool


@dataclass(frozen=True, slots=True)
class ResponseTimes:
    """How one group of endpoints answered."""

    group: str
    """``api``, ``page``, ``auth``, …"""
    requests: int
    average_s: float
    p95_s: float | None
    p99_s: float | None


@dataclass(frozen=True, slots=True)
class Summary:
    """What was measured over a period."""

    interval: Interval
    """The period really measured."""
    sample_count: int
    metrics: Sequence[MetricSummary]
    """By name."""
    averages: Mapping[str, float | None]
    """Of ``cpu``, ``memory`` and ``disk``, as ratios; None where nothing was measured."""
    peaks: Mapping[str, float | None]
    response_times: Sequence[ResponseTimes]
    """By group; empty when Prometheus is not there or saw nothing."""


def summary(session: Session, prom: PromClient | None, interval: Interval) -> Summary:
    """Return what was measured over *interval*, by name.

    Raises:
        InputError: If the interval is empty.
    """
    raise NotImplementedError
