"""Service level objectives: what they are, the ledger of their events, and what the ledger says."""

from analytics.slo.defaults import objective, objectives
from analytics.slo.evaluate import SloStatus
from analytics.slo.ingest import IngestReport, Measured, ingest, measure
from analytics.slo.math import ErrorBudget
from analytics.slo.model import Objective, SloState
from analytics.slo.report import SloReport, SloSummary, slo_report

__all__ = [
    "ErrorBudget",
    "IngestReport",
    "Measured",
    "Objective",
    "SloReport",
    "SloState",
    "SloStatus",
    "SloSummary",
    "ingest",
    "measure",
    "objective",
    "objectives",
    "slo_report",
]
