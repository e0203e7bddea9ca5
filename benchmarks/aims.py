"""What the figures have to reach, which of them do not, and a table of them for ``docs/benchmarks.md``."""

from collections.abc import Mapping
from typing import Any, Literal

Bound = tuple[Literal["<=", ">="], float]

WORKFLOW: dict[str, Bound | None] = {
    "nodes_per_s": None,
    "nodes_per_s_end_to_end": None,
    "nodes_per_s_bare": None,
    "vs_dbos": (">=", 10),
    "vs_dbos_end_to_end": None,
    "vs_celery": (">=", 2),
    "vs_rq_job_per_node": (">=", 20),
    "vs_prefect": (">=", 200),
    "runs_50ms_vs_simpleworker": (">=", 20),
    "start_p50_ms": ("<=", 25),
    "execution_share": (">=", 0.97),
    "commits_per_node": ("<=", 0.03),
    "montage_s": ("<=", 1),
    "plan_10k_s": ("<=", 0.5),
    "makespan_ratio.median": ("<=", 1.06),
    "makespan_ratio.p90": ("<=", 1.25),
    "rss_mb_50_runs": ("<=", 250),
    "list_p95_ms_1m_rows": ("<=", 20),
    "drop_month_s": ("<=", 0.2),
}
CHAOS: dict[str, Bound | None] = {
    "lost_runs": ("<=", 0),
    "completed_nodes_rerun": ("<=", 0),
    "nodes_without_effect": ("<=", 0),
    "double_unsafe": ("<=", 0),
    "resume_s_max": ("<=", 20),
    "cancel_p95_s": ("<=", 1),
}
SLO: dict[str, Bound | None] = {
    "budgets_ms": None,
    "slo_generator_ms": None,
    "vs_slo_generator": (">=", 200),
    "slo_generator_max_error_points": None,
    "report_ms": None,
    "burndown_ms_9": ("<=", 60),
    "max_error_points": ("<=", 0.1),
    "backfill_s": ("<=", 5),
    "ingest_and_evaluate_ms": ("<=", 60),
    "backtest_ms_9": ("<=", 300),
    "false_pages_low_traffic": ("<=", 0),
    "false_pages_low_traffic_unguarded": None,
    "false_pages": None,
    "false_pages_unguarded": None,
    "incidents": None,
    "incidents_told": None,
    "lost_detections": ("<=", 0),
    "pages_agree_with_prometheus": (">=", 1),
    "page_minutes": None,
}

INSIGHTS: dict[str, Bound | None] = {
    "anomaly_hit": (">=", 0.8),
    "anomaly_false_per_day": ("<=", 0.02),
    "anomaly_hit_gaussian": None,
    "anomaly_hit_mad": None,
    "us_per_point": ("<=", 30),
    "regression_hit_1sigma": None,
    "regression_hit_1.5sigma": None,
    "regression_hit_2sigma": (">=", 0.95),
    "regression_hit_3sigma": None,
    "regression_hit_2sigma_real": None,
    "regression_fp": ("<=", 0.05),
    "regression_fp_real": None,
    "regression_ms": ("<=", 5),
    "forecast_mase_vs_seasonal_naive": ("<=", 0.8),
    "forecast_mase_vs_seasonal_naive_made": None,
    "forecast_mase_vs_seasonal_naive_real": None,
    "forecast_inside_interval": None,
    "forecast_ms": ("<=", 5),
    "correlation_hit": None,
    "correlation_false_per_family": None,
}
ROLLUP: dict[str, Bound | None] = {
    "rows": None,
    "overview_ms": None,
    "overview_ms_at_1m": None,
    "overview_growth": ("<=", 4),
    "overview_vs_fetch_rows": (">=", 500),
    "overview_vs_fetch_rows_30d": None,
    "overview_vs_covering_index": (">=", 20),
    "overview_vs_raw": None,
    "ranking_ms": None,
    "ranking_vs_raw": (">=", 100),
    "series_ms": None,
    "series_vs_raw": None,
    "percentile_error": ("<=", 0.045),
    "sum_error": ("<=", 1e-6),
    "size_ratio.dense": ("<=", 0.3),
    "size_ratio.sparse": ("<=", 0.6),
    "upkeep_us_per_event": ("<=", 10),
    "upkeep_pass_ms": None,
    "overview_mb": None,
    "memory_vs_fetch_rows": ("<=", 0.02),
}

REQUESTS: dict[str, Bound | None] = {
    "requests_p50_ms": None,
    "requests_p95_ms": ("<=", 500),
    "requests_max_ms": None,
    "requests_per_s": None,
    "cpu_ms_per_request": ("<=", 10),
    "requests_failed": ("<=", 0),
    "pool_exhausted": ("<=", 0),
    "lead_hits_of_second_call": (">=", 1),
    "overview_bytes": ("<=", 1_000_000),
}


def rollup(rows: int) -> dict[str, Bound | None]:
    """Return the aims of the rollup for so many rows; with a million, most hold the fixed costs alone."""
    if rows >= 10_000_000:
        return ROLLUP
    of_many = ("overview_vs_covering_index", "ranking_vs_raw", "upkeep_us_per_event")
    return {**ROLLUP, **dict.fromkeys(of_many), "overview_vs_fetch_rows": (">=", 100)}


def missed(figures: Mapping[str, Any], aims: Mapping[str, Bound | None]) -> list[str]:
    """Return the keys whose figure does not reach its aim; what was not measured is neither reached nor missed."""
    return [key for key, bound in aims.items() if bound is not None and _is_missed(value_of(figures, key), bound)]


def _is_missed(value: Any, bound: Bound) -> bool:
    if value is None:
        return False
    sign, limit = bound
    return bool(value > limit) if sign == "<=" else bool(value < limit)


def value_of(figures: Mapping[str, Any], key: str) -> Any:
    """Return the figure at *key*, whose parts are separated by dots; None when it was not measured."""
    value: Any = figures
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def table(figures: Mapping[str, Any], aims: Mapping[str, Bound | None]) -> str:
    """Return the figures as a table of Markdown."""
    words = {"<=": "at most", ">=": "at least"}
    lines = ["| Key | Value | Aim |", "|---|---|---|"]
    for key, bound in aims.items():
        value = value_of(figures, key)
        if value is not None:
            aim = "" if bound is None else f"{words[bound[0]]} {bound[1]:g}"
            lines.append(f"| `{key}` | {value:,} | {aim} |")
    return "\n".join(lines)
