"""What stands out in the course of key figures: anomalies, regressions, forecasts, correlations, capacity, bounds."""

from analytics.insights.engine import Look, find_insights
from analytics.insights.findings import InsightDetail, InsightRow, get_insight, give_feedback, list_insights
from analytics.insights.model import Evidence, Finding, InsightKind
from analytics.insights.outlook import Capacity, Outlook, capacity, look_ahead, threshold_advice

__all__ = [
    "Capacity",
    "Evidence",
    "Finding",
    "InsightDetail",
    "InsightKind",
    "InsightRow",
    "Look",
    "Outlook",
    "capacity",
    "find_insights",
    "get_insight",
    "give_feedback",
    "list_insights",
    "look_ahead",
    "threshold_advice",
]
