"""What was measured in the demo's thirty days: the host, pools, caches, and the score."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from analytics.core.clock import floor_time
from analytics.demo.chance import load
from analytics.demo.company import stuck_job
from analytics.demo.rows import History, json_of

HOST_EVERY = timedelta(minutes=5)
PARTS_EVERY = timedelta(minutes=15)
CACHES: Mapping[str, float] = {"overview": 0.93, "metrics": 0.96, "pages": 0.98, "leads": 0.84}
"""Share of lookups that hit on a good day, by cache."""
_CALM_S = 3600.0
"""How long noise keeps its direction."""


def add_measures(history: History) -> None:
    """Add samples of the host every five minutes; of pools, caches and the score every quarter of an hour."""
    _host(history)
    _parts(history)


def _host(history: History) -> None:
    starts = _starts(history, HOST_EVERY)
    busy, days = load(starts), _days(starts)
    cpu = 0.14 + 0.16 * busy + 0.04 * _noise(history, starts, HOST_EVERY)
    began, ended = stuck_job(history.until)
    cpu[[began <= start < ended for start in starts]] += 0.62
    since_release = np.array([_days_since_release(history, start) for start in starts])
    memory = 0.46 + 0.03 * busy + 0.012 * since_release + 0.01 * _noise(history, starts, HOST_EVERY)
    disk = 0.52 + 0.0062 * days + 0.003 * np.sin(days * 2 * np.pi)
    for name, values, warning, critical in (
        ("system_cpu_ratio", cpu, 0.70, 0.85),
        ("system_memory_ratio", memory, 0.80, 0.90),
        ("system_disk_ratio", disk, 0.80, 0.90),
    ):
        _add(history, starts, np.clip(values, 0.02, 0.99), name=name, unit="ratio", bounds=(warning, critical))


def _parts(history: History) -> None:
    starts = _starts(history, PARTS_EVERY)
    busy = load(starts)
    wrong = {
        name: np.array([history.incident_at(start, name) is not None for start in starts])
        for name in ("cache_hit_rate", "database_query_latency")
    }
    slow = np.where(wrong["database_query_latency"], 3.0, 1.0)
    used = (0.06 + 0.11 * busy) * slow + 0.02 * _noise(history, starts, PARTS_EVERY)
    _add(history, starts, np.clip(used, 0.0, 1.0), name="db_pool_used_ratio", unit="ratio", tags={"pool": "sync"})
    wait = 0.003 * (1 + busy) * slow**3 * np.exp(0.3 * _noise(history, starts, PARTS_EVERY))
    _add(history, starts, wait, name="db_pool_wait_s", unit="s", tags={"pool": "sync"})
    for name, typical in CACHES.items():
        hits = typical + 0.02 * _noise(history, starts, PARTS_EVERY) - 0.35 * wrong["cache_hit_rate"]
        _add(history, starts, np.clip(hits, 0.0, 0.999), name="cache_hit_ratio", unit="ratio", tags={"cache": name})
    slower = np.array([any(item.slower and item.at <= start for item in history.releases) for start in starts])
    hurt = np.array([any(item.covers(start) for item in history.incidents) for start in starts])
    score = 92.0 + 0.8 * _noise(history, starts, PARTS_EVERY) - 3.5 * slower - 22.0 * hurt
    tags = {"coverage": "0.86"}
    _add(history, starts, np.clip(score, 0.0, 100.0), name="performance_score", unit="points", tags=tags)


def _starts(history: History, every: timedelta) -> list[datetime]:
    first = floor_time(history.since, every) + every
    return [first + place * every for place in range((history.until - first) // every)]


def _days(starts: Sequence[datetime]) -> NDArray[np.float64]:
    return np.array([(start - starts[0]).total_seconds() / 86400 for start in starts], dtype=np.float64)


def _days_since_release(history: History, at: datetime) -> float:
    """Return days since the API was started anew, or since the history began."""
    begun = [release.at for release in history.releases if release.service == "api" and release.at <= at]
    return (at - max(begun, default=history.since)).total_seconds() / 86400


def _noise(history: History, starts: Sequence[datetime], every: timedelta) -> NDArray[np.float64]:
    """Return noise of mean 0 and deviation 1 whose neighbours are alike."""
    reach = max(2, round(_CALM_S / every.total_seconds()))
    raw = history.chance.rng.normal(size=len(starts) + reach - 1)
    smooth: NDArray[np.float64] = np.convolve(raw, np.full(reach, reach**-0.5), mode="valid")
    return smooth


def _add(
    history: History,
    starts: Sequence[datetime],
    values: NDArray[np.float64],
    *,
    name: str,
    unit: str,
    tags: Mapping[str, str] | None = None,
    bounds: tuple[float | None, float | None] = (None, None),
) -> None:
    text, chance = json_of(tags or {}), history.chance
    history.rows["metric_sample"] += [
        (chance.new_id(at), at, name, value, unit, text, *bounds, "demo")
        for at, value in zip(starts, np.round(values, 5).tolist(), strict=True)
    ]
