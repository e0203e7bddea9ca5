"""What the overview and the detail of a key figure ask; beside :mod:`dashboard.data`, in the same form."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from analytics.kpi import KpiReading, kpi_rows, read_by
from analytics.kpi.overview import Overview, read_overview
from analytics.kpi.recommendations import Recommendation
from analytics.kpi.thresholds import ThresholdRevision, history
from analytics.store.engine import session_scope
from analytics.store.queries.annotations import AnnotationRow, list_annotations
from analytics.store.queries.projects import project_names
from dashboard.advice import advise
from dashboard.auth.roles import Role
from dashboard.context import AppContext
from dashboard.data import question
from dashboard.filters import Span

_SOON = timedelta(seconds=5)
_MINUTE = timedelta(seconds=60)
KPIS = "kpis"
"""What stands for key figures and their thresholds, to be made void when those change."""
_KPIS = (KPIS,)
MOST_ROWS = 100
MOST_KEYS = 50


@question(tags=_KPIS)
def overview(context: AppContext, span: Span) -> Overview:
    """Return the overview of *span*."""
    return read_overview(context.engine, context.prom, span.interval())


@question(fresh_for=_MINUTE, tags=_KPIS)
def recommendations(context: AppContext, span: Span) -> list[Recommendation]:
    """Return what to do for a better score over *span*, what brings most first."""
    return advise(context, span.interval())


@dataclass(frozen=True, slots=True)
class Split:
    """One figure by a dimension."""

    readings: Sequence[KpiReading]
    """Those with the most samples first."""
    names: Mapping[str, str]
    """What keys are called that are ids: of projects."""


@question(tags=_KPIS)
def kpi_split(context: AppContext, span: Span, kpi_id: str, dim: str) -> Split:
    """Return one figure by *dim*."""
    with session_scope(context.engine) as session:
        readings = read_by(session, context.prom, kpi_id, dim, span.interval(), most=MOST_KEYS)
        ids = [uuid.UUID(reading.key) for reading in readings if reading.key] if dim == "project" else []
        names = {str(key): name for key, name in project_names(session, ids).items()} if ids else {}
        return Split(readings, names)


@question(fresh_for=_SOON, role=Role.ANALYST)
def rows_behind(
    context: AppContext, span: Span, kpi_id: str, dim: str = "", key: str = ""
) -> Sequence[Mapping[str, Any]]:
    """Return the newest rows that one figure, or one part of it, rests on."""
    with session_scope(context.engine) as session:
        return kpi_rows(session, kpi_id, span.interval(), dim=dim, key=key, limit=MOST_ROWS)


@question(fresh_for=_SOON, tags=_KPIS)
def threshold_history(context: AppContext, kpi_id: str) -> Sequence[ThresholdRevision]:
    """Return every state of the thresholds of one figure, newest first."""
    with session_scope(context.engine) as session:
        return history(session, kpi_id)


@question(fresh_for=_MINUTE, tags=("annotations",))
def happened(context: AppContext, span: Span) -> list[AnnotationRow]:
    """Return deployments, incidents and notes of *span*."""
    with session_scope(context.engine) as session:
        return list_annotations(session, span.interval())
