"""What is doubtful about an objective when its source is asked: refused queries, missing series, wrong bounds."""

import math
import re
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from analytics.core.clock import Interval, floor_time
from analytics.core.errors import DependencyError, InputError
from analytics.slo.ingest import CLOSED_AFTER
from analytics.slo.model import (
    BUCKET,
    BooleanEvents,
    Budgeting,
    CompositeEvents,
    Indicator,
    LatencyEvents,
    NativeLatencyEvents,
    Objective,
    PromEvents,
    PromIndicator,
    RawRatio,
    SqlEvents,
)
from analytics.slo.sources import postgres
from analytics.slo.sources.compile import compiled, has_window, together, with_window
from analytics.slo.sources.reading import MAX_GROUPS
from analytics.slo.specs.problems import Level, Problem, Problems
from analytics.sources.prometheus import PromClient, Sample

__all__ = ["Level", "Problem", "check"]

_DAY = timedelta(days=1)
_FEWEST_BAD = 10
"""When a budget allows fewer bad events than these, each of them is a large part of it."""
_MOST_BOUNDS_SHOWN = 20
_SLACK = 1.01
_PER_SECOND = re.compile(r"\b(?:rate|irate|deriv)\s*\(")


def check(objective: Objective, *, session: Session, prom: PromClient | None, now: datetime) -> list[Problem]:
    """Return what is doubtful about *objective*, errors first; empty when all is well.

    It asks the source about the last day, by a few queries. A source that is away is one warning: then nothing was
    checked. Composites have no source and no problems here.

    Raises:
        DependencyError: If PostgreSQL is away.
    """
    found = Problems()
    events = objective.indicator
    if isinstance(events, SqlEvents):
        _check_rows(found, objective, session, now)
    elif not isinstance(events, CompositeEvents):
        try:
            _check_series(found, objective, events, prom, now)
        except DependencyError as error:
            found.warn("indicator", error.message.rstrip("."), "nothing was checked")
    return sorted(found.found, key=lambda problem: problem.level is not Level.ERROR)


# ---- Prometheus ----


def _check_series(
    found: Problems, objective: Objective, events: PromIndicator, prom: PromClient | None, now: datetime
) -> None:
    if prom is None:
        raise DependencyError("No Prometheus is set up")
    if isinstance(events, PromEvents):
        _check_writing(found, events)
    at = floor_time(now - CLOSED_AFTER, BUCKET)
    asked = compiled(events)
    total_path, part_path = _paths(events)
    total = _ask(found, total_path, prom, _summed(asked.total), at)
    part = None
    if total is not None or isinstance(events, PromEvents):
        part = _ask(found, part_path, prom, _summed(asked.good or asked.bad or ""), at)
    if isinstance(events, LatencyEvents) and not _has_bound(found, events, prom, at):
        return
    if isinstance(events, PromEvents) and events.present is not None:
        present = _ask(found, "indicator.events.present", prom, _summed(events.present), at)
        if present is not None and not present:
            found.warn("indicator.events.present", "it has no value now", "check its name and labels")
    if total is None or part is None:
        return
    if not total:
        found.warn(total_path, "there is no series for it in the last day", "check its name and labels")
        return
    _check_numbers(found, objective, asked, total, part)
    if objective.group_by:
        _check_groups(found, objective, events, prom, at)


def _check_writing(found: Problems, events: PromEvents) -> None:
    """Warn of expressions that count something else than the events of a bucket."""
    for name in ("total", "good", "bad"):
        expression = getattr(events, name)
        if expression is None:
            continue
        path = f"indicator.events.{name}"
        if not has_window(expression):
            found.warn(
                path,
                "it has no {window}, so it does not count the events of one bucket",
                "write increase(metric[{window}])",
            )
        is_rate = _PER_SECOND.search(expression) is not None
        if is_rate and not events.per_second:
            found.warn(path, "it is a rate but is taken as a count", "set per_second, or write increase")
        if not is_rate and events.per_second and "increase" in expression:
            found.warn(path, "it is a count but is taken as a rate", "leave per_second out")


def _has_bound(found: Problems, events: LatencyEvents, prom: PromClient, at: datetime) -> bool:
    """Refuse a threshold that is no bucket: how many answers were within it would be a guess."""
    path = "indicator.latency.threshold"
    query = f"count by (le) ({events.histogram}_bucket{{{events.matchers}}})"
    answer = _ask(found, "indicator.latency.matchers", prom, query, at)
    if not answer:
        return True
    bounds = [float(sample.labels.get("le", "nan")) for sample in answer]
    threshold = float(events.threshold)
    if threshold in bounds:
        return True
    nearest = sorted(filter(math.isfinite, bounds), key=lambda bound: abs(bound - threshold))[:_MOST_BOUNDS_SHOWN]
    listed = ", ".join(f"{bound:g}" for bound in sorted(nearest))
    found.error(path, f"{threshold:g} lies between the buckets of {events.histogram}", f"take one of {listed}")
    return False


def _check_numbers(
    found: Problems, objective: Objective, asked: PromEvents, total: Sequence[Sample], part: Sequence[Sample]
) -> None:
    """Judge what was counted in a day."""
    total_path, part_path = _paths(objective.indicator)
    count, counted = total[0].value, part[0].value if part else 0.0
    if count is None or counted is None or not math.isfinite(count) or not math.isfinite(counted):
        found.warn(total_path, "it is not a number, so nothing is measured", "guard it against a division by zero")
        return
    which = "good" if asked.good is not None else "bad"
    if isinstance(objective.indicator, RawRatio):
        if not 0 <= counted <= _SLACK:
            found.error(part_path, f"it is {counted:g}, but a ratio is between 0 and 1", "divide it by 100")
        return
    if not part:
        meaning = "all events count as bad" if which == "good" else "no event counts as bad"
        found.warn(part_path, f"there is no series for the {which} events: {meaning}", "check its name and labels")
    if counted > count * _SLACK:
        found.warn(part_path, f"there are more {which} events than events", "make both count the same events")
    _check_volume(found, objective, count * (_DAY.total_seconds() if asked.per_second else 1.0))


def _check_groups(found: Problems, objective: Objective, events: PromIndicator, prom: PromClient, at: datetime) -> None:
    total_path, _ = _paths(events)
    try:
        grouped = compiled(events, objective.group_by)
    except InputError as error:
        found.error("group_by", error.message.rstrip("."))
        return
    groups = _ask(found, total_path, prom, grouped.total, at) or ()
    for place, name in enumerate(objective.group_by):
        if not any(sample.labels.get(name) for sample in groups):
            hint = "keep it in the expression: sum by (…)" if isinstance(events, PromEvents) else None
            found.error(f"group_by[{place}]", f"no series has the label {name!r}", hint)
    _check_group_count(found, len(groups))


# ---- PostgreSQL ----


def _check_rows(found: Problems, objective: Objective, session: Session, now: datetime) -> None:
    at = floor_time(now - CLOSED_AFTER, BUCKET)
    reading = postgres.read(session, objective, Interval(at - _DAY, at))
    path = "indicator.sql.rows"
    if reading.error is not None:
        found.error(
            path, reading.error.message.rstrip("."), "return at (timestamptz) and good (boolean) for each event"
        )
        return
    for warning in reading.warnings:
        found.warn("group_by", warning.rstrip("."))
    total = float(reading.whole.total.sum())
    if total == 0:
        found.warn(path, "it has no row in the last day", "check its conditions")
        return
    _check_volume(found, objective, total)


# ---- Both ----


def _check_volume(found: Problems, objective: Objective, a_day: float) -> None:
    if objective.budgeting is not Budgeting.OCCURRENCES or objective.budget_ratio == 0:
        return
    total = a_day * (objective.period / _DAY)
    allowed = objective.budget_ratio * total
    if allowed < _FEWEST_BAD:
        found.warn(
            "target",
            f"about {total:,.0f} events in the window allow {allowed:.1f} bad ones, so single ones decide",
            "take a lower target, a longer window or more kinds of events",
        )


def _check_group_count(found: Problems, count: int) -> None:
    if count > MAX_GROUPS:
        found.warn(
            "group_by", f"there are {count} groups; the first {MAX_GROUPS} by name are kept", "group by fewer labels"
        )


def _ask(found: Problems, path: str, prom: PromClient, expression: str, at: datetime) -> Sequence[Sample] | None:
    """Return the answer for the last day; None, with a problem, when Prometheus refuses or does not manage it."""
    try:
        answer = prom.instant(with_window(expression, _DAY), at)
    except InputError as error:
        found.error(path, error.message.rstrip("."))
        return None
    except DependencyError:
        if not prom.is_ready():
            raise
        found.warn(path, "Prometheus did not compute it over a day in time", "record a part of it by a rule")
        return None
    for warning in answer.warnings:
        found.warn(path, f"Prometheus warns: {warning}")
    return answer


def _summed(expression: str) -> str:
    return together("sum", f"\n{expression}\n", ())


def _paths(events: Indicator) -> tuple[str, str]:
    """Return where in the native form the total and the other part are written."""
    match events:
        case PromEvents(good=good):
            return "indicator.events.total", f"indicator.events.{'bad' if good is None else 'good'}"
        case LatencyEvents():
            return "indicator.latency.histogram", "indicator.latency.threshold"
        case NativeLatencyEvents():
            return "indicator.native_latency.histogram", "indicator.native_latency.threshold"
        case BooleanEvents():
            return "indicator.boolean.metric", "indicator.boolean.metric"
        case _:
            return "indicator.raw.query", "indicator.raw.query"
