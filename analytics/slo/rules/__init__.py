"""Prometheus recording and alert rules of objectives, with the names that Sloth gives them."""

from analytics.slo.rules.generate import RuleOptions, rules_for, rules_for_objectives
from analytics.slo.rules.model import RuleDocument, RuleSlo
from analytics.slo.rules.windows import CATALOGUE, AlertWindows, load_windows

__all__ = [
    "CATALOGUE",
    "AlertWindows",
    "RuleDocument",
    "RuleOptions",
    "RuleSlo",
    "load_windows",
    "rules_for",
    "rules_for_objectives",
]
