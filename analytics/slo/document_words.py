"""How reports put numbers into words, and what they say of how the numbers were made."""

import math
from datetime import datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from analytics.core.clock import Interval
from analytics.slo.evaluate import SloStatus
from analytics.slo.model import WHOLE
from analytics.slo.period_report import CostlyTime, Line, PeriodReport, TakenOut
from analytics.slo.specs.durations import plain

NOTHING = "no data"
DASH = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"
_MOST_PLACES = 6
_WHOLE_NUMBERS_FROM = 100

METHOD = (
    (
        "Good and total events are counted in buckets of five minutes. Shares are sums of good over sums of total, so"
        " that a busy hour weighs more than a quiet one. Objectives that budget time count slices of time instead."
    ),
    (
        "Every objective is judged over the period of this report, whatever its own window is. The error budget is the"
        " share of the events seen that may be bad; its minutes are those of a full outage over the whole period."
    ),
    (
        "Coverage is the share of the time so far that was measured. Below 90 % no verdict is given: time that was not"
        " measured is not uptime."
    ),
    (
        "Time that corrections take out counts neither as good nor as bad. Corrections and changed targets count for"
        " the past, too, so a report that is made again later may differ."
    ),
    (
        "What cost most are stretches of whole hours whose share of bad events was above the one allowed, with as many"
        " bad events as an alert of the objective needs, and one per cent of the budget or more."
    ),
)


def verdict(status: SloStatus) -> str:
    """Return ``met``, ``missed``, ``too little data`` or ``no data``."""
    if status.sli is None:
        return NOTHING
    if status.compliant is None:
        return "too little data"
    return "met" if status.compliant else "missed"


def target_text(target: Decimal) -> str:
    """Return a target as it was written: ``99.9 %``."""
    return f"{plain(target * 100)} %"


def share_text(share: float | None, *, target: Decimal | None = None) -> str:
    """Return *share* in per cent, with as many places as tell it from 100 % and from *target*."""
    if share is None:
        return NOTHING
    if not math.isfinite(share):
        return f"{MINUS}∞" if share < 0 else "∞"
    apart = [float(other) for other in (1, target) if other is not None and float(other) != share]
    text = ""
    for places in range(1, _MOST_PLACES):
        text = f"{share * 100:.{places}f}"
        if all(text != f"{other * 100:.{places}f}" for other in apart):
            break
    return f"{_minus(text.removesuffix('.0'))} %"


def points_text(change: float | None) -> str:
    """Return a change of a share in percentage points, with its sign."""
    if change is None:
        return DASH
    if round(change * 100, 3) == 0:
        return "unchanged"
    text = f"{change * 100:+.3f}".rstrip("0").rstrip(".")
    return f"{_minus(text)} points"


def count_text(count: float | None) -> str:
    """Return a number of events; whole from 100 on."""
    if count is None or not math.isfinite(count):
        return DASH
    if abs(count) >= _WHOLE_NUMBERS_FROM or count == round(count):
        return _minus(f"{count:,.0f}")
    return _minus(f"{count:.2f}".rstrip("0").rstrip("."))


def minutes_text(minutes: float) -> str:
    """Return a length given in minutes: ``43.2 min``, ``7.2 h``, ``3.1 d``."""
    size, unit = next(((size, unit) for size, unit in ((1440, "d"), (60, "h")) if abs(minutes) >= 2 * size), (1, "min"))
    return _minus(f"{f'{minutes / size:.1f}'.removesuffix('.0')} {unit}")


def length_text(length: timedelta) -> str:
    """Return a length of time in one unit."""
    return minutes_text(length / timedelta(minutes=1))


def moment_text(moment: datetime, zone: str) -> str:
    """Return *moment* on the clock of *zone*."""
    return f"{moment.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M}"


def times_text(interval: Interval, zone: str) -> str:
    """Return from when to when *interval* is, the date once where both ends share it."""
    since, until = moment_text(interval.since, zone), moment_text(interval.until, zone)
    return f"{since} to {until[11:] if since[:10] == until[:10] else until}"


def period_text(report: PeriodReport) -> str:
    """Return which period is reported, for people."""
    return f"{span_text(report.interval, report.zone)} ({report.zone})"


def span_text(interval: Interval, zone: str) -> str:
    """Return days from first to last where *interval* is whole days of *zone*, else its ends."""
    first, end = (moment.astimezone(ZoneInfo(zone)) for moment in (interval.since, interval.until))
    if any((end.hour, end.minute, first.hour, first.minute)):
        return times_text(interval, zone)
    last = end.date() - timedelta(days=1)
    return f"{first:%Y-%m-%d}" if first.date() == last else f"{first:%Y-%m-%d} to {last:%Y-%m-%d}"


def name_of(status: SloStatus) -> str:
    """Return what the objective, or a group of it, is called."""
    title = status.objective.title
    return title if status.group_key == WHOLE else f"{title} {status.group_key}"


def budget_parts(status: SloStatus) -> tuple[str, str]:
    """Return the whole budget in what it counts, and as time of a full outage."""
    if status.budget is None:
        return DASH, ""
    return f"{count_text(status.budget.total_events)} {status.unit}", minutes_text(status.budget.minutes)


def left_parts(status: SloStatus) -> tuple[str, str]:
    """Return what is left of the budget in what it counts, and as time; only that it is exhausted when it is."""
    budget = status.budget
    if budget is None:
        return DASH, ""
    left = f"{count_text(budget.remaining_events)} {status.unit}"
    return left, "exhausted" if budget.is_exhausted else minutes_text(budget.minutes * budget.remaining_ratio)


def before_text(line: Line) -> str:
    """Return what was spent of the budget the period before; empty when that is not known."""
    spent = line.spent_before
    return "" if spent is None else f"before: {share_text(spent)}"


def alerts_text(line: Line) -> str:
    """Return how many pages and tickets there were."""
    parts = [
        f"{count}\N{NO-BREAK SPACE}{name}{'' if count == 1 else 's'}"
        for count, name in ((line.pages, "page"), (line.tickets, "ticket"))
        if count
    ]
    return ", ".join(parts) or "none"


COSTLY_HEAD = ("When", "Objective", "Of the budget", "As an outage", "Bad", "What happened then")
NOTHING_COSTLY = "No stretch of time cost one per cent of a budget or more."
CORRECTION_HEAD = ("Reason", "Concerns", "Taken out", "Entered by")
NO_CORRECTIONS = "None: all time counts."


def costly_row(item: CostlyTime, zone: str) -> tuple[str, ...]:
    """Return the cells below :data:`COSTLY_HEAD`."""
    cost = item.cost
    return (
        times_text(cost.interval, zone),
        item.objective.title,
        "no budget" if cost.share is None else share_text(cost.share),
        DASH if cost.share is None else minutes_text(cost.minutes),
        count_text(cost.bad),
        "; ".join(f"{row.kind}: {row.title}" for row in item.annotations) or "nothing noted",
    )


def correction_row(item: TakenOut) -> tuple[str, ...]:
    """Return the cells below :data:`CORRECTION_HEAD`."""
    correction = item.correction
    scope = correction.slo_id or (f"service {correction.service}" if correction.service else "all objectives")
    times = f", {item.times} times" if item.times > 1 else ""
    return correction.reason, scope, f"{length_text(item.length)}{times}", correction.created_by


def notes_of(report: PeriodReport) -> list[str]:
    """Return what a reader has to know before the numbers."""
    notes = []
    if not report.is_over:
        notes.append(f"The period is not over: numbers are those up to {moment_text(report.made_at, report.zone)}.")
    if any(line.status.includes_demo for line in report.lines):
        notes.append("Some of the events are demo history.")
    return notes


def headline(report: PeriodReport) -> str:
    """Return the outcome in one sentence."""
    counts = report.summary
    unknown = f", of {counts.unknown} too little is known" if counts.unknown else ""
    return f"{counts.compliant} of {counts.total} objectives met, {counts.violated} missed{unknown}."


def _minus(text: str) -> str:
    return text.replace("-", MINUS)
