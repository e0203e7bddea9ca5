"""What policies, targets and windows that nobody stored would have meant; the API and the MCP server ask alike."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from analytics.slo import catalogue
from analytics.slo.backtest import backtest, suggest_min_bad
from analytics.slo.model import AlertPolicy, Objective
from analytics.slo.specs.native import dump_document, parse_document
from analytics.slo.trials import trials
from analytics.slo.what_if import what_if
from dashboard.api.areas import slo_answers as answers


def backtests(
    session: Session, slo_id: str, *, now: datetime, days: int, alerting: Mapping[str, Any] | None = None
) -> answers.BacktestsOut:
    """Return what the policy of an objective, and *alerting* beside it, would have done over the last *days*.

    Raises:
        NotFoundError: If there is no such objective.
        SpecError: If *alerting*, in the native form, cannot be used.
    """
    objective = catalogue.find(session, slo_id)
    tried = None if alerting is None else _with(objective, alerting=alerting).alerting
    trial = trials(session, [objective], now=now, days=days, policy=tried)[objective.id]

    def outcome(policy: AlertPolicy) -> answers.BacktestOut:
        return answers.backtest(backtest(trial.history, policy, incidents=trial.incidents, since=trial.since))

    return answers.BacktestsOut(
        slo_id=objective.id,
        current=outcome(objective.alerting),
        tried=None if tried is None else outcome(tried),
        suggested_min_bad=suggest_min_bad(trial.history, incidents=trial.incidents),
    )


def own_alerting(session: Session, slo_id: str) -> dict[str, Any]:
    """Return the policy of an objective in the native form; what has its default value is left out.

    Raises:
        NotFoundError: If there is no such objective.
    """
    return dict(dump_document(catalogue.find(session, slo_id)).get("alerting", {}))


def what_ifs(
    session: Session,
    slo_id: str,
    *,
    now: datetime,
    targets: Sequence[str | float] = (),
    window: Mapping[str, Any] | None = None,
) -> list[answers.WhatIfOut]:
    """Return how an objective would stand with each of *targets*, or its own, over *window*, or its own.

    Raises:
        NotFoundError: If there is no such objective.
        SpecError: If a target or the window, in the native form, cannot be used.
    """
    objective = catalogue.find(session, slo_id)
    other = {} if window is None else {"window": window}
    tried = [_with(objective, target=target, **other) for target in targets] or [_with(objective, **other)]
    days = -(-max(tried[0].period, objective.period) // timedelta(days=1))
    trial = trials(session, [objective], now=now, days=days)[objective.id]
    return [
        answers.what_if(what_if(trial.history, target=item.target, window=item.window, incidents=trial.incidents))
        for item in tried
    ]


def _with(objective: Objective, **fields: Any) -> Objective:
    """Return *objective* with *fields* of its native form written anew."""
    return parse_document({**dump_document(objective), **fields})
