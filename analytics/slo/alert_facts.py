"""What an alert says: the numbers when it began, the worst of it, and a sentence for people."""

from datetime import datetime, timedelta
from math import isfinite
from typing import Any

import numpy as np
from sqlalchemy.orm import Session

from analytics.core.clock import Interval, floor_time
from analytics.slo.backtest import peak_burn
from analytics.slo.evaluate import SloStatus
from analytics.slo.ledger import Want, read
from analytics.slo.math import burn_rate, time_to_exhaustion
from analytics.slo.model import BUCKET, BurnPair
from analytics.slo.windows import pairs_of
from analytics.store.tables import SloAlert

_LONGEST = timedelta(days=31)
"""Of an alert that lasted longer, the worst of the last so long is told."""
_UNITS = ((timedelta(days=1), "d"), (timedelta(hours=1), "h"), (timedelta(minutes=1), "min"))


def at_start(session: Session, status: SloStatus, kind: str, pair: BurnPair | None) -> dict[str, Any]:
    """Return what there is to say of an alert of *status* that begins: only what JSON can hold."""
    facts: dict[str, Any] = {
        "target": str(status.objective.target),
        "sli": status.sli,
        "bad": status.total - status.good,
        "total": status.total,
        "remaining_ratio": None if status.budget is None else _finite(status.budget.remaining_ratio),
        "measured_until": None if status.measured_at is None else status.measured_at.isoformat(),
    }
    if pair is not None and status.measured_at is not None:
        facts |= _burning(session, status, pair, status.measured_at)
    title = status.objective.title + (f" {status.group_key}" if status.group_key else "")
    return facts | {"message": f"{title}: {_sentence(kind, facts, status)}"}


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


def _burning(session: Session, status: SloStatus, pair: BurnPair, until: datetime) -> dict[str, Any]:
    """Return how fast both windows of *pair* burn, and what the long one has spent."""
    span = Interval(until - pair.long, until)
    (history,) = read(session, [Want(status.objective, span, group_key=status.group_key)])
    places = np.array([0, history.place(until - pair.short)])
    good, total = (sums.tolist() for sums in history.between(places, np.full_like(places, len(history))))
    ratio = status.objective.budget_ratio
    rates = [burn_rate(kept, whole, budget_ratio=ratio) for kept, whole in zip(good, total, strict=True)]
    bad = total[0] - good[0]
    allowed = 0.0 if status.budget is None else status.budget.total_events
    return {
        "long_s": pair.long.total_seconds(),
        "short_s": pair.short.total_seconds(),
        "factor": pair.factor,
        "burn_long": _finite(rates[0]),
        "burn_short": _finite(rates[1]),
        "bad": bad,
        "total": total[0],
        "spent": bad / allowed if allowed > 0 else None,
    }


def _sentence(kind: str, facts: dict[str, Any], status: SloStatus) -> str:
    bad = f"{facts['bad']:,.0f} of {facts['total']:,.0f} {status.unit} were bad"
    if kind == "no_data":
        seen = "" if status.measured_at is None else f" since {status.measured_at:%Y-%m-%d %H:%M} UTC"
        why = f" {status.read_error}" if status.read_error else ""
        return f"nothing was measured{seen}.{why}"
    if kind == "exhausted":
        return f"the error budget is used up; {bad} in its window."
    if kind == "violated":
        return f"the target of this period cannot be met any more; {bad} so far."
    window = in_words(timedelta(seconds=facts["long_s"]))
    spent = "" if facts["spent"] is None else f", {facts['spent']:.1%} of the budget"
    rate, left = facts["burn_long"], facts["remaining_ratio"]
    if rate is None or left is None:
        return f"{bad} in the last {window}, and none may be."
    lasts = time_to_exhaustion(left, rate, period=status.objective.period)
    ends = "" if not lasts else f" At this rate it is gone in {in_words(lasts)}."
    return f"the budget burns {rate:.1f} times too fast; {bad} in the last {window}{spent}.{ends}"


def _finite(value: float | None) -> float | None:
    return value if value is not None and isfinite(value) else None
