"""What both versions of OpenSLO have in common: windows of time, budgets, targets, and queries of Prometheus."""

import re
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from analytics.core.errors import InputError
from analytics.slo.model import (
    BUCKET,
    Budgeting,
    CalendarUnit,
    CalendarWindow,
    PromEvents,
    PromIndicator,
    RawRatio,
    RollingWindow,
    Slices,
    Window,
)
from analytics.slo.specs.durations import duration_text
from analytics.slo.specs.fields import Fields
from analytics.slo.specs.problems import nearest
from analytics.slo.specs.promql import selector
from analytics.slo.specs.queries import checked, is_per_second, with_placeholder

METHODS = {
    "Occurrences": Budgeting.OCCURRENCES,
    "Timeslices": Budgeting.TIMESLICES,
    "RatioTimeslices": Budgeting.RATIO_TIMESLICES,
}
OPERATORS = {"lte": "<=", "gte": ">=", "lt": "<", "gt": ">"}
PROMETHEUS = frozenset({"prometheus", "promql", "thanos", "mimir", "cortex", "victoriametrics", "sloth"})
"""Sources, in small letters, that are asked with PromQL."""

_SHORTHAND = re.compile(r"(\d{1,6})([mhdwMQY])", re.ASCII)
_LENGTHS = {
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
    "M": timedelta(days=30),
    "Q": timedelta(days=90),
    "Y": timedelta(days=365),
}
_CALENDAR = {
    "d": CalendarUnit.DAY,
    "w": CalendarUnit.WEEK,
    "M": CalendarUnit.MONTH,
    "Q": CalendarUnit.QUARTER,
    "Y": CalendarUnit.YEAR,
}
_START = re.compile(r"\d{4}-\d{2}-\d{2}[ T]\d{2}:\d{2}:\d{2}Z?", re.ASCII)
_FIXED = re.compile(r"\[(?:\d+(?:ms|[ywdhms]))+\]", re.ASCII)
_SUM = re.compile(r"sum\s*\((.*)\)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Shorthand:
    """A length of time such as ``4w``, in OpenSLO's own spelling."""

    count: int
    unit: str

    @property
    def length(self) -> timedelta:
        """Return how long it is, months of 30, quarters of 90 and years of 365 days."""
        return self.count * _LENGTHS[self.unit]


def shorthand(body: Fields, name: str, *, required: bool = False) -> Shorthand | None:
    """Return the length of time in the field *name*."""
    text = body.text(name, required=required)
    if text is None:
        return None
    match = _SHORTHAND.fullmatch(text)
    if match is None or int(match[1]) == 0:
        body.error(
            name, f"{text[:40]!r} is no length of time", "a number and one of m, h, d, w, M, Q and Y, such as 4w"
        )
        return None
    return Shorthand(int(match[1]), match[2])


def window_of(part: Fields, field: str, length: Shorthand) -> Window | None:
    """Return the window that lasts *length*, as the fields ``isRolling`` and ``calendar`` of *part* say.

    Args:
        part: The fields of the window.
        field: Which of them says how long it is.
        length: How long that is.
    """
    calendar = part.mapping("calendar")
    if part.flag("isRolling", default=calendar is None):
        if calendar:
            part.problems.forgive(calendar.path, "a rolling window has no calendar; it was not read")
        return part.problems.built(part.at(field), lambda: RollingWindow(length.length))
    if calendar is None:
        part.error("calendar", "it is missing", "a window that does not roll needs startTime and timeZone")
        return None
    start, zone = calendar.text("startTime", required=True), calendar.text("timeZone") or "UTC"
    if start and not _START.fullmatch(start):
        calendar.error("startTime", f"{start[:40]!r} is no time", "write it like 2026-01-01 00:00:00")
    calendar.close(is_lenient=True)
    unit = _CALENDAR.get(length.unit)
    if length.count == 1 and length.unit == "m":
        part.problems.forgive(part.at(field), "1m is a minute; it was read as a month", "write 1M")
        unit = CalendarUnit.MONTH
    if unit is None or length.count != 1:
        part.error(field, f"no span of the calendar is {length.count}{length.unit} long", "take 1d, 1w, 1M, 1Q or 1Y")
        return None
    _warn_of_start(calendar, start, unit)
    return part.problems.built(calendar.at("timeZone"), lambda: CalendarWindow(unit, zone))


def _warn_of_start(calendar: Fields, start: str | None, unit: CalendarUnit) -> None:
    if start and "00:00:00" not in start:
        calendar.problems.warn(
            calendar.at("startTime"), f"a {unit} is counted from midnight here, in its time zone, not from {start}"
        )


def method_of(spec: Fields) -> Budgeting:
    """Return how the budget counts."""
    text = spec.text("budgetingMethod")
    if text is None:
        spec.problems.forgive(spec.at("budgetingMethod"), "it is missing; Occurrences was taken")
        return Budgeting.OCCURRENCES
    found = METHODS.get(text)
    if found is None:
        spec.error("budgetingMethod", f"{text[:40]!r} is not known", nearest(text, METHODS))
    return found or Budgeting.OCCURRENCES


def target_of(objective: Fields) -> Decimal | None:
    """Return the target, which one of two fields gives."""
    given = [name for name in ("target", "targetPercent") if objective.has(name)]
    if len(given) != 1:
        wanted = "exactly one of target and targetPercent is needed"
        objective.problems.error(objective.path if given else objective.at("target"), wanted)
        return None
    found = objective.number(given[0])
    highest = 1 if given[0] == "target" else 100
    if found is None:
        return None
    if not 0 < found <= highest:
        hint = f"write targetPercent: {found}" if highest == 1 and 1 < found <= 100 else None  # noqa: PLR2004
        objective.error(given[0], f"{found} is not above 0 and at most {highest}", hint)
        return None
    return found / highest


def slices_of(objective: Fields, budgeting: Budgeting) -> Slices:
    """Return how time is cut; slices shorter than a bucket are made as long as one."""
    length, share = shorthand(objective, "timeSliceWindow"), objective.number("timeSliceTarget")
    if budgeting is Budgeting.OCCURRENCES:
        return Slices()
    if budgeting is Budgeting.TIMESLICES and share is None:
        objective.error("timeSliceTarget", "it is missing", "the share of good events from which a slice is good")
    cut = length.length if length else BUCKET
    if length is None:
        objective.problems.forgive(objective.at("timeSliceWindow"), "it is missing; 5m was taken")
    if cut < BUCKET:
        path = objective.at("timeSliceWindow")
        objective.problems.warn(path, f"slices are at least 5m long here; {duration_text(cut)} was made that")
        cut = BUCKET
    target = Slices().target if share is None or budgeting is Budgeting.RATIO_TIMESLICES else share
    return objective.problems.built(objective.at("timeSliceWindow"), lambda: Slices(cut, target)) or Slices()


# ---- Queries ----


def prometheus_events(body: Fields, *, total: str, good: str | None, bad: str | None) -> PromEvents | None:
    """Return events counted by queries that have been through :func:`windowed`."""
    if (good is None) == (bad is None):
        return None
    rates = {is_per_second(query) for query in (total, good or bad or "")}
    if len(rates) > 1:
        body.problems.warn(body.path, "one query counts events and the other gives them per second")
    return PromEvents(total, good=good, bad=bad, per_second=rates == {True})


def threshold_events(query: str, operator: str, value: Decimal) -> PromIndicator:
    """Return the share of time in which *query* compares well with *value*, looked at every minute."""
    return RawRatio(f"avg_over_time((({query}) {operator} bool {value:f})[{{window}}:1m])", is_success=True)


def windowed(body: Fields, name: str, query: str, *, is_counter: bool) -> str | None:
    """Return *query* with ``{window}`` where OpenSLO, which has no rule for it, leaves the window open.

    A query with a fixed range gets the window for it; of a counter without a range the increase is taken, and of
    anything else the sum of a value each minute.
    """
    found = with_placeholder(query)
    if "{window}" not in found and _FIXED.search(found):
        fixed = sorted(set(_FIXED.findall(found)))
        body.problems.warn(body.at(name), f"the fixed range {', '.join(fixed)} is taken for the length of the window")
        found = _FIXED.sub("[{window}]", found)
    elif "{window}" not in found:
        found = _opened(found, is_counter=is_counter)
    return checked(body, name, found)


def _opened(query: str, *, is_counter: bool) -> str:
    inner = _SUM.fullmatch(query.strip())
    if is_counter and _is_selector(query):
        return f"sum(increase({query.strip()}[{{window}}]))"
    if is_counter and inner and _is_selector(inner[1]):
        return f"sum(increase({inner[1].strip()}[{{window}}]))"
    return f"{'increase' if is_counter else 'sum_over_time'}(({query.strip()})[{{window}}:1m])"


def _is_selector(text: str) -> bool:
    try:
        selector(text)
    except InputError:
        return False
    return True
