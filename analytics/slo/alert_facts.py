"""What an alert says: the numbers when it began, the worst of it, and a sentence for people."""

import json
from datetime import timedelta
from math import isfinite
from typing import Any

import numpy as np
from sqlalchemy.orm import Session

from analytics.core.clock import Interval, floor_time
from analytics.core.errors import InvariantError
from analytics.slo.backtest import peak_burn
from analytics.slo.evaluate import SloStatus
from analytics.slo.history import History
from analytics.slo.ledger import Want, read
from analytics.slo.math import burn_rate, time_to_exhaustion
from analytics.slo.model import BUCKET, Budgeting, BurnPair
from analytics.slo.windows import pairs_of
from analytics.store.tables import SloAlert

_LONGEST = timedelta(days=31)
"""Of an alert that lasted longer, the worst of the last so long is told."""
_UNITS = ((timedelta(days=1), "d"), (timedelta(hours=1), "h"), (timedelta(minutes=1), "min"))


def at_start(session: Session, status: SloStatus, kind: str, pair: BurnPair | None) -> dict[str, Any]:
    """Return what there is to say of an alert of *status* that begins: only what JSON can hold."""
    bad, total = status.total - status.good, status.total
    left = None if status.budget is None else status.budget.remaining_ratio
    facts: dict[str, Any] = {
        "target": str(status.objective.target),
        "sli": status.sli,
        "bad": bad,
        "total": total,
        "remaining_ratio": None if left is None else _finite(left),
        "measured_until": None if status.measured_at is None else status.measured_at.isoformat(),
    }
    match kind:
        case "exhausted":
            said = f"the error budget is used up; {_counted(bad, total, status.unit)} in its window."
        case "violated":
            said = f"the target of this period cannot be met any more; {_counted(bad, total, status.unit)} so far."
        case "no_data":
            since = "" if status.measured_at is None else f" since {status.measured_at:%Y-%m-%d %H:%M} UTC"
            said = f"nothing was measured{since}." + (f" {status.read_error}" if status.read_error else "")
        case _:
            if pair is None or status.measured_at is None:
                raise InvariantError("An alert of a burn needs a pair of windows and a time; nothing was stored.")
            slo = status.objective
            grain = BUCKET if slo.budgeting is Budgeting.OCCURRENCES else slo.slices.length
            until = floor_time(status.measured_at, grain)
            (history,) = read(session, [Want(slo, Interval(until - pair.long, until), group_key=status.group_key)])
            allowed = 0.0 if status.budget is None else status.budget.total_events
            burning = burn_facts(history, pair, allowed=allowed, remaining_ratio=left, unit=status.unit)
            said = burning.pop("message")
            facts |= burning
    labels = json.loads(status.group_key) if status.group_key else {}
    group = ", ".join(f"{name}={value}" for name, value in labels.items())
    title = f"{status.objective.title} ({group})" if group else status.objective.title
    return {**facts, "message": f"{title}: {said}"}


def burn_facts(
    history: History, pair: BurnPair, *, allowed: float, remaining_ratio: float | None, unit: str
) -> dict[str, Any]:
    """Return how fast both windows of *pair* burn at the end of *history*, and what the long one has spent.

    Args:
        history: As long as the long window.
        pair: Which fires.
        allowed: How many may be bad in the window of the objective.
        remaining_ratio: Share of the budget that is left; None without events.
        unit: What is counted.
    """
    places = np.array([0, history.place(history.interval.until - pair.short)])
    good, total = (sums.tolist() for sums in history.between(places, np.full_like(places, len(history))))
    ratio, bad = history.objective.budget_ratio, total[0] - good[0]
    long, short = (burn_rate(*sums, budget_ratio=ratio) for sums in zip(good, total, strict=True))
    spent = bad / allowed if allowed > 0 else None
    said = f"{_counted(bad, total[0], unit)} in the last {in_words(pair.long)}"
    if long is None or spent is None or remaining_ratio is None:
        said = f"{said}, and none may be."
    else:
        lasts = time_to_exhaustion(remaining_ratio, long, period=history.objective.period)
        ends = f" At this rate it is gone in {in_words(lasts)}." if lasts else ""
        said = f"the budget burns {long:.1f} times too fast; {said}, {spent:.1%} of the budget.{ends}"
    return {
        "long_s": pair.long.total_seconds(),
        "short_s": pair.short.total_seconds(),
        "factor": pair.factor,
        "burn_long": _finite(long),
        "burn_short": _finite(short),
        "bad": bad,
        "total": total[0],
        "spent": spent,
        "message": said,
    }


def at_end(session: Session, status: SloStatus, alert: SloAlert) -> dict[str, Any]:
    """Return the worst of a burn *alert* that is over: its highest burn rate and what it spent; else nothing."""
    pair = next((item for item in pairs_of(status.objective) if item.tier == alert.tier), None)
    if alert.kind != "burn" or pair is None or alert.ended_at is None:
        return {}
    until = floor_time(alert.ended_at, BUCKET)
    began = max(floor_time(alert.started_at, BUCKET), until - _LONGEST)
    span = Interval(began - pair.long, until)
    (history,) = read(session, [Want(status.objective, span, group_key=status.group_key)])
    first = history.place(began)
    good, total = history.between(np.array([first]), np.array([len(history)]))
    allowed = 0.0 if status.budget is None else status.budget.total_events
    return {
        "peak_burn": _finite(peak_burn(history, pair, (max(0, first - 1), len(history)))),
        "spent_during": float(total[0] - good[0]) / allowed if allowed > 0 else None,
    }


def in_words(length: timedelta) -> str:
    """Return *length* in its two largest units, such as ``1 d 6 h``."""
    words = []
    for unit, name in _UNITS:
        count, length = length // unit, length % unit
        if count:
            words.append(f"{count} {name}")
    return " ".join(words[:2]) or "0 min"


def _counted(bad: float, total: float, unit: str) -> str:
    return f"{bad:,.0f} of {total:,.0f} {unit} were bad"


def _finite(value: float | None) -> float | None:
    return value if value is not None and isfinite(value) else None
