"""What the editor of objectives and the report of a period ask; beside :mod:`dashboard.data`, in the same form.

Drafts are asked about as JSON documents, so that answers are remembered by what is written in them.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import orjson

from analytics.core.clock import Interval, utc_now
from analytics.core.errors import InputError, PolicyError
from analytics.slo import catalogue, checks, ledger, preview
from analytics.slo.backtest import Incident
from analytics.slo.history import History
from analytics.slo.model import Objective, SqlEvents
from analytics.slo.period_report import PeriodReport, period_report
from analytics.slo.specs.native import parse_document
from analytics.slo.trials import known_incidents
from analytics.store.engine import session_scope
from dashboard.auth.roles import Role
from dashboard.context import AppContext
from dashboard.data import question
from dashboard.reading import Question

_SOON = timedelta(seconds=5)
_MINUTE = timedelta(seconds=60)


@question(fresh_for=_MINUTE)
def slo_period_report(context: AppContext, period: str, zone: str, slo_id: str | None = None) -> PeriodReport:
    """Return the report of a period, over all objectives or one."""
    ids = None if slo_id is None else [slo_id]
    with session_scope(context.engine) as session:
        return period_report(session, now=utc_now(), period=period, zone=zone, ids=ids)


@question(fresh_for=_SOON)
def slo_entries(context: AppContext) -> Sequence[catalogue.Entry]:
    """Return all objectives with where they come from, also those out of use or that cannot be read."""
    with session_scope(context.engine) as session:
        return catalogue.entries(session)


@question(fresh_for=_MINUTE)
def slo_incidents(context: AppContext, service: str, interval: Interval) -> list[Incident]:
    """Return the incidents that are known of *service*, oldest first."""
    with session_scope(context.engine) as session:
        return known_incidents(session, service, interval)


@question(fresh_for=_MINUTE)
def slo_history(context: AppContext, document: str, interval: Interval) -> History:
    """Return what the ledger holds of the objective that *document* defines, by five minutes."""
    objective = parse_document(orjson.loads(document))
    with session_scope(context.engine) as session:
        return ledger.histories(session, [objective], interval)[objective.id]


@question(fresh_for=_MINUTE, role=Role.OPERATOR, is_kept=False)
def slo_preview(context: AppContext, document: str, now: datetime, days: int) -> History:
    """Return the history of the objective that *document* defines, straight from Prometheus."""
    if context.prom is None:
        # Not an outage: nothing comes back by itself.
        raise InputError(
            "No Prometheus is set up, so the objective cannot be tried; set HELMSIGHT_PROMETHEUS__URL. It can be saved,"
            " and is measured from then on."
        )
    return _previewed(context, _without_sql(document), now, days)


@question(fresh_for=_MINUTE, role=Role.ADMIN, is_kept=False)
def slo_preview_of_rows(context: AppContext, document: str, now: datetime, days: int) -> History:
    """Return the history of the objective that *document* defines, straight from PostgreSQL."""
    return _previewed(context, parse_document(orjson.loads(document)), now, days)


@question(fresh_for=_MINUTE, role=Role.OPERATOR, is_kept=False)
def slo_problems(context: AppContext, document: str) -> list[checks.Problem]:
    """Return what is doubtful about the objective that *document* defines when Prometheus is asked."""
    return _checked(context, _without_sql(document))


@question(fresh_for=_MINUTE, role=Role.ADMIN, is_kept=False)
def slo_problems_of_rows(context: AppContext, document: str) -> list[checks.Problem]:
    """Return the same when PostgreSQL is asked."""
    return _checked(context, parse_document(orjson.loads(document)))


def _without_sql(document: str) -> Objective:
    """Return the objective of *document*; SQL that is not stored is run for those alone who may store it."""
    objective = parse_document(orjson.loads(document))
    if isinstance(objective.indicator, SqlEvents):
        raise PolicyError("Trying an objective that reads PostgreSQL needs the role admin; nothing was read.")
    return objective


def _previewed(context: AppContext, objective: Objective, now: datetime, days: int) -> History:
    with session_scope(context.engine) as session:
        return preview.preview(objective, session=session, prom=context.prom, now=now, days=days)


def _checked(context: AppContext, objective: Objective) -> list[checks.Problem]:
    with session_scope(context.engine) as session:
        return checks.check(objective, session=session, prom=context.prom, now=utc_now())


OF_DRAFTS: tuple[Question[..., Any], ...] = (
    slo_period_report,
    slo_entries,
    slo_incidents,
    slo_history,
    slo_preview,
    slo_preview_of_rows,
)
"""What a definition, a correction or an annotation changes, beside :data:`dashboard.data.OF_SLOS`."""
