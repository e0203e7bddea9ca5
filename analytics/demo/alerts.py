"""Alerts that the demo's history would have raised, as the policies of its objectives have it."""

from collections.abc import Sequence

from analytics.core.clock import Interval
from analytics.demo.chance import Chance
from analytics.slo.alert_facts import burn_facts
from analytics.slo.backtest import firing_spans
from analytics.slo.evaluate import EVENTS, SLICES
from analytics.slo.history import History
from analytics.slo.model import Budgeting, BurnPair
from analytics.slo.windows import pairs_of
from analytics.store.tables import DEMO, SloAlert


def demo_alerts(chance: Chance, histories: Sequence[History]) -> list[SloAlert]:
    """Return the alerts of every pair that fires over each of *histories*, all of them over."""
    alerts: list[SloAlert] = []
    for history in histories:
        faster: list[Interval] = []
        for pair in pairs_of(history.objective):
            spans = firing_spans(history, pair, since=history.interval.since + pair.long)
            alerts += [_alert(chance, history, pair, span, is_inhibited=_is_within(span, faster)) for span in spans]
            faster += spans
    return alerts


def _alert(chance: Chance, history: History, pair: BurnPair, span: Interval, *, is_inhibited: bool) -> SloAlert:
    objective, until = history.objective, span.since
    so_far = history.within(Interval(history.interval.since, until)).totals()
    allowed = objective.budget_ratio * history.totals()[1]
    window = history.within(Interval(until - pair.long, until))
    left = 1 - (so_far[1] - so_far[0]) / allowed if allowed > 0 else None
    unit = EVENTS if objective.budgeting is Budgeting.OCCURRENCES else SLICES
    facts = burn_facts(window, pair, allowed=allowed, remaining_ratio=left, unit=unit)
    return SloAlert(
        id=chance.new_id(until),
        slo_id=objective.id,
        kind="burn",
        severity=pair.severity,
        tier=pair.tier,
        started_at=span.since,
        ended_at=span.until,
        is_inhibited=is_inhibited,
        detail={**facts, "message": f"{objective.title}: {facts['message']}", "reason": "It no longer fires."},
        origin=DEMO,
    )


def _is_within(span: Interval, others: Sequence[Interval]) -> bool:
    return any(other.since <= span.since and span.until <= other.until for other in others)
