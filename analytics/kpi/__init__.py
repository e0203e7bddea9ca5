"""Key figures: defined once, read over any interval, and honest about what is not known."""

from analytics.kpi.model import Direction, Kpi, KpiReading, KpiState
from analytics.kpi.read import read_kpis
from analytics.kpi.registry import kpi, registry

__all__ = ["Direction", "Kpi", "KpiReading", "KpiState", "kpi", "read_kpis", "registry"]
