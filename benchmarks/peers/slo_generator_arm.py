"""slo-generator as a peer: the budgets of some objectives over thirty days, from the Prometheus it is given."""

import logging
import time
from typing import Any

from lines import answer_each, take_answers
from slo_generator.compute import compute

_STEP = {
    "name": "30 days",
    "window": 30 * 86400,
    "burn_rate_threshold": 1,
    "alert": True,
    "message_alert": "the budget is burning",
    "message_ok": "the budget is fine",
}


def work(question: dict[str, Any]) -> dict[str, Any]:
    """Compute the reports of all objectives one after the other, as its command line does."""
    config = {
        "backends": {"prometheus": {"url": question["url"]}},
        "error_budget_policies": {"default": {"steps": [_STEP]}},
        "exporters": {},
    }
    specs = [_spec(item) for item in question["objectives"]]
    began = time.perf_counter()
    reports = [report for spec in specs for report in compute(spec, config)]
    took_s = time.perf_counter() - began
    budgets = {report["metadata"]["name"]: report.get("error_budget_burn_rate") for report in reports}
    slis = {report["metadata"]["name"]: report.get("sli_measurement") for report in reports}
    return {"took_s": took_s, "count": len(reports), "burn_rates": budgets, "slis": slis}


def _spec(item: dict[str, Any]) -> dict[str, Any]:
    indicator = {"filter_good": item["good"], "filter_valid": item["total"], "operators": []}
    return {
        "apiVersion": "sre.google.com/v2",
        "kind": "ServiceLevelObjective",
        "metadata": {
            "name": item["id"],
            "labels": {"service_name": "bench", "feature_name": "bench", "slo_name": item["id"]},
        },
        "spec": {
            "description": item["id"],
            "backend": "prometheus",
            "method": "good_bad_ratio",
            "exporters": [],
            "error_budget_policy": "default",
            "service_level_indicator": indicator,
            "goal": item["target"],
        },
    }


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    answer_each(take_answers(), work)
