"""What the rules of our own objectives are made of."""

import re

from analytics.slo.model import (
    Budgeting,
    CompositeEvents,
    Objective,
    PromEvents,
    RawRatio,
    SqlEvents,
)
from analytics.slo.rules.model import SECONDS, WINDOW, RuleSlo, filled, prom_duration, rule_alert
from analytics.slo.sources.compile import compiled
from analytics.slo.windows import guard_of, pairs_of

SPEC = "helmsight/v1"


def rule_slo_of(objective: Objective) -> RuleSlo | str:
    """Return *objective* as its rules need it, or why there are none.

    Rules are for the objective as a whole, not for its groups. Events weigh the same over the period too. Prometheus
    has no calendar: a calendar window is taken as a rolling one of its nominal length.
    """
    indicator = objective.indicator
    if isinstance(indicator, SqlEvents):
        return "its events are counted in PostgreSQL"
    if isinstance(indicator, CompositeEvents):
        return "it is made of other objectives"
    events = compiled(indicator)
    bad, total = _counts(events)
    ratio, counts = f"{bad}\n/\n({total} > 0)\n", objective.budgeting is Budgeting.OCCURRENCES
    if isinstance(indicator, RawRatio):
        ratio, counts = events.bad or f"1 - {events.good}", False
    policy = objective.alerting
    return RuleSlo(
        name=objective.id.removeprefix(f"{objective.service}-"),
        service=objective.service,
        objective=float(objective.target * 100),
        target=objective.target,
        ratio=_by_slices(objective, ratio),
        alert_name=policy.name or alert_name(objective.service, objective.id),
        labels=objective.labels,
        page=rule_alert(policy, policy.page),
        ticket=rule_alert(policy, policy.ticket),
        spec=SPEC,
        mode="helmsight",
        period=objective.period,
        pairs=tuple(pairs_of(objective)),
        bad=bad if counts else None,
        total=total if counts else None,
        min_bad=guard_of(objective),
    )


def alert_name(service: str, slo_id: str) -> str:
    """Return a name for the alerts of an objective, such as ``ApiAvailabilityErrorBudgetBurn``."""
    whole = slo_id if slo_id.startswith(service) else f"{service} {slo_id}"
    words = re.findall(r"[A-Za-z0-9]+", whole)
    name = "".join(word[:1].upper() + word[1:] for word in words)
    return f"{'Slo' if name[:1].isdigit() else ''}{name}ErrorBudgetBurn"


def _counts(events: PromEvents) -> tuple[str, str]:
    """Return queries of bad and of all events; where the part has no series yet, there were none of it."""
    total, part = _summed(events.total), _summed(events.bad or events.good or "")
    part = f"({part} or 0 * {total})"
    scale = f" * {SECONDS}" if events.per_second else ""
    return f"{part if events.bad else f'({total} - {part})'}{scale}", f"{total}{scale}"


def _summed(query: str) -> str:
    query = query.strip()
    if "#" in query:  # A comment would swallow the bracket.
        query = f"\n{query}\n"
    return f"({query})" if query.startswith("sum(") else f"sum({query})"


def _by_slices(objective: Objective, ratio: str) -> str:
    """Return *ratio*, or where the budget counts slices of time, the share of bad ones or their mean."""
    length = prom_duration(objective.slices.length)
    sliced = ratio.strip()
    match objective.budgeting:
        case Budgeting.OCCURRENCES:
            return ratio
        case Budgeting.TIMESLICES:
            sliced = f"({sliced}) > bool {1 - objective.slices.target:f}"
        case Budgeting.RATIO_TIMESLICES:
            pass
    return f"avg_over_time(({filled(sliced, objective.slices.length)})[{WINDOW}:{length}])\n"
