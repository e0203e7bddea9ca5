"""Good and total events of the demo's objectives, five minutes at a time, with its incidents in them.

Objectives whose rows the demo has (model calls, assessments, agent runs) are counted from those rows; the others are
drawn.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import orjson
from numpy.typing import NDArray

from analytics.core.clock import floor_time
from analytics.demo.chance import Chance, load
from analytics.demo.company import Incident
from analytics.demo.objectives import AGENT_RUNS, API_SLICES, MODEL_CALLS
from analytics.demo.rows import COLUMNS, History
from analytics.slo.ledger import Bucket
from analytics.slo.model import BUCKET, WHOLE


@dataclass(frozen=True, slots=True)
class Traffic:
    """Events of one objective on an average workday, and the share of bad ones on a good day."""

    events: float
    """In five minutes."""
    bad_ratio: float


TRAFFIC: Mapping[str, Traffic] = {
    "api_availability": Traffic(160, 0.0002),
    "api_latency_p95": Traffic(160, 0.022),
    "api_latency_p99": Traffic(160, 0.0035),
    "dashboard_load_time": Traffic(14, 0.035),
    "database_query_latency": Traffic(900, 0.0052),
    "cache_hit_rate": Traffic(420, 0.12),
    "websocket_connection_success": Traffic(9, 0.0012),
}


def demo_buckets(
    chance: Chance, history: History, *, since: datetime, until: datetime, incidents: Sequence[Incident]
) -> list[Bucket]:
    """Return every bucket of ``[since, until)``, whose ends are bounds of buckets, for all objectives."""
    starts = [since + place * BUCKET for place in range((until - since) // BUCKET)]
    busy = load(starts)
    buckets: list[Bucket] = []
    for slo_id, traffic in TRAFFIC.items():
        total = chance.rng.poisson(traffic.events * busy).astype(np.float64)
        bad = chance.rng.binomial(total.astype(np.int64), _bad_ratios(slo_id, traffic, starts, incidents))
        buckets += _pack(slo_id, starts, total - bad, total)
        if slo_id == "api_availability":
            buckets += _pack(API_SLICES, starts, total - bad, total)
    calls = _model_calls(history)
    for slo_id, moments in (
        ("llm_api_success_rate", calls[WHOLE]),
        ("assessment_completion_rate", _assessments(history)),
        (AGENT_RUNS, _agent_runs(history)),
    ):
        buckets += _pack(slo_id, starts, *_counted(moments, since, len(starts)))
    for group_key, moments in calls.items():
        buckets += _pack(MODEL_CALLS, starts, *_counted(moments, since, len(starts)), group_key)
    return buckets


def _bad_ratios(
    slo_id: str, traffic: Traffic, starts: Sequence[datetime], incidents: Sequence[Incident]
) -> NDArray[np.float64]:
    ratios = np.full(len(starts), traffic.bad_ratio)
    for incident in incidents:
        if slo_id in incident.bad_ratio:
            ratios[[incident.covers(start) for start in starts]] = incident.bad_ratio[slo_id]
    return ratios


def _pack(
    slo_id: str,
    starts: Sequence[datetime],
    good: NDArray[np.float64],
    total: NDArray[np.float64],
    group_key: str = WHOLE,
) -> Iterator[Bucket]:
    measured_s = BUCKET.total_seconds()
    for start, part, whole in zip(starts, good.tolist(), total.tolist(), strict=True):
        yield Bucket(slo_id, start, part, whole, measured_s, group_key)


def _model_calls(history: History) -> Mapping[str, list[tuple[datetime, bool]]]:
    """Return when models were called and whether they answered, in all and by model."""
    at, is_ok, model = (COLUMNS["llm_call"].index(name) for name in ("at", "ok", "model"))
    found: dict[str, list[tuple[datetime, bool]]] = defaultdict(list, {WHOLE: []})
    for row in history.rows["llm_call"]:
        moment = (row[at], row[is_ok])
        found[WHOLE].append(moment)
        found[orjson.dumps({"model": row[model]}).decode()].append(moment)
    return found


def _agent_runs(history: History) -> list[tuple[datetime, bool]]:
    ended, status = (COLUMNS["agent_run"].index(name) for name in ("finished_at", "status"))
    return [(row[ended], row[status] == "completed") for row in history.rows["agent_run"]]


def _assessments(history: History) -> list[tuple[datetime, bool]]:
    names = COLUMNS["work_item"]
    kind, status, ended = names.index("kind"), names.index("status"), names.index("finished_at")
    return [
        (row[ended], row[status] == "completed")
        for row in history.rows["work_item"]
        if row[kind] == "assessment" and row[ended] is not None
    ]


def _counted(
    moments: Sequence[tuple[datetime, bool]], since: datetime, count: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    good, total = np.zeros(count), np.zeros(count)
    for at, is_good in moments:
        place = (floor_time(at, BUCKET) - since) // BUCKET
        if 0 <= place < count:
            total[place] += 1
            good[place] += is_good
    return good, total
