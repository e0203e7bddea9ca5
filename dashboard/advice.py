"""What explains the score besides its figures: findings, index advice, parts that do worse than the rest."""

from datetime import timedelta

from sqlalchemy.orm import Session

from analytics.core.clock import Interval
from analytics.core.words import duration, percent
from analytics.database.advice import index_advice
from analytics.database.model import IndexAdvice
from analytics.insights.findings import InsightRow, get_insight, list_insights
from analytics.insights.model import Evidence, InsightKind
from analytics.kpi import read_kpis
from analytics.kpi.recommendations import Cause, Recommendation, recommend, worst_parts
from analytics.kpi.score import score_of
from analytics.store.engine import session_scope
from dashboard.context import AppContext

_SEEN_WITHIN = timedelta(days=1)
_MOST_REGRESSIONS = 3
_SUREST = 0.999
_MOST_INDEXES = 2
_MOST_STATEMENTS = 20
_DATABASE_FIGURE = "db_p95"


def advise(context: AppContext, interval: Interval) -> list[Recommendation]:
    """Return what to do for a better score over *interval*, what brings most first.

    Index advice, for which statements are planned, stands for five minutes.
    """
    indexes = context.caches.remember("queries", "advice:indexes", lambda: _indexes(context))
    with session_scope(context.engine) as session:
        score = score_of(read_kpis(session, context.prom, interval))
        causes = [*worst_parts(session, context.prom, score, interval), *_regressions(session, interval), *indexes]
    return recommend(score, causes)


def _regressions(session: Session, interval: Interval) -> list[Cause]:
    rows = list_insights(session, kinds=[InsightKind.REGRESSION], since=interval.until - _SEEN_WITHIN)
    lasting = [row for row in rows if row.is_good is False and row.until is None]
    return [_regression(row, get_insight(session, row.id).evidence) for row in lasting[:_MOST_REGRESSIONS]]


def _regression(row: InsightRow, evidence: Evidence) -> Cause:
    release = next((item for item in evidence.happened if item.kind == "deploy"), None)
    numbers = {number.label: number.value for number in evidence.numbers if number.value is not None}
    return Cause(
        rule="regression",
        kpi_id=row.kpi_id if not row.dim else "",
        title=f"Look at {release.title}" if release is not None else "Look at what changed",
        evidence=f"{row.title} ({percent(min(row.confidence, _SUREST))} sure)",
        page="insights",
        params={"id": str(row.id)},
        # Of a part of the figure, what it was before says nothing of the whole.
        value_after=numbers.get("Before") if not row.dim else None,
        numbers=numbers,
    )


def _indexes(context: AppContext) -> list[Cause]:
    with session_scope(context.engine) as session:
        report = index_advice(session, most=_MOST_STATEMENTS).value
    return [] if report is None else [_index(item) for item in report.items[:_MOST_INDEXES]]


def _index(item: IndexAdvice) -> Cause:
    share = "" if item.share is None else f", {percent(item.share)} of the time of all statements"
    return Cause(
        rule="missing_index",
        kpi_id=_DATABASE_FIGURE,
        title=f"Create an index on {item.table} ({', '.join(item.columns)})",
        evidence=f"{item.reason} It saves about {duration(item.saves_s)}{share}.",
        page="database",
        numbers={"saves_s": item.saves_s, "calls": item.calls, "cost_before": item.cost_before},
    )
