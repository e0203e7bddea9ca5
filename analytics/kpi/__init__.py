"""Key figures: defined once, read over any interval, and honest about what is not known."""

from analytics.kpi.model import Bounds, Direction, Kpi, KpiPoint, KpiReading, KpiSeries, KpiState
from analytics.kpi.read import read_kpis
from analytics.kpi.registry import kpi, registry
from analytics.kpi.series import kpi_series, many_series
from analytics.kpi.split import kpi_rows, read_by
from analytics.kpi.summary import MetricCourse, MetricSummary, Summary, metric_course, summary
from analytics.kpi.thresholds import effective, reset_thresholds, set_thresholds

__all__ = [
    "Bounds",
    "Direction",
    "Kpi",
    "KpiPoint",
    "KpiReading",
    "KpiSeries",
    "KpiState",
    "MetricCourse",
    "MetricSummary",
    "Summary",
    "effective",
    "kpi",
    "kpi_rows",
    "kpi_series",
    "many_series",
    "metric_course",
    "read_by",
    "read_kpis",
    "registry",
    "reset_thresholds",
    "set_thresholds",
    "summary",
]
