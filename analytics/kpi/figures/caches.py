"""The caches of the processes."""

from analytics.kpi.model import CellSource, CounterSource, Direction, Kpi, QuantileSource
from analytics.sources.prometheus import matcher

_HIT = f"helmsight_cache_lookups_total{{{matcher('result', 'hit')}}}"

KPIS = (
    Kpi(
        "cache_hits",
        "Cache hits",
        "cache",
        "ratio",
        Direction.HIGHER,
        "Lookups that a cache could answer.",
        CounterSource(_HIT, total="helmsight_cache_lookups_total"),
        target=0.95,
        good=0.85,
        warning=0.75,
        dims={"cache": "cache"},
    ),
    Kpi(
        "cache_lookups",
        "Cache lookups",
        "cache",
        "count",
        Direction.NEITHER,
        "Times that somebody looked into a cache.",
        CounterSource("helmsight_cache_lookups_total"),
        dims={"cache": "cache", "result": "result"},
    ),
    Kpi(
        "cache_evictions",
        "Cache evictions",
        "cache",
        "count",
        Direction.LOWER,
        "Entries that caches gave up before their time, to make room for others.",
        CellSource("sample.name", "value_sum", "value_n", key="cache_evictions"),
        dims={"tags": "sample.name_tags"},
    ),
    Kpi(
        "cache_p95",
        "Answer from a cache, p95",
        "cache",
        "s",
        Direction.LOWER,
        "95 % of the lookups that a named cache could answer, from this process or from Redis, took no longer than"
        " this; exact to a bucket of the histogram.",
        QuantileSource("helmsight_cache_answer_duration_seconds", 0.95, matcher("source", "process|shared", "=~")),
        target=0.001,
        good=0.005,
        warning=0.025,
        weight=0.5,
        dims={"cache": "cache", "source": "source"},
    ),
)
