"""How quickly things are answered: courses against their bounds, and tables of answers, caches, pools and SQL."""

from collections.abc import Callable, Mapping, Sequence

import streamlit as st

from analytics.core.clock import Interval
from analytics.core.memo import CacheStats
from analytics.kpi import KpiReading
from analytics.kpi.timings import Timing
from analytics.store.engine import PoolState
from dashboard import formats
from dashboard.components import charts, states, tables
from dashboard.components.charts import Chart, Series, Threshold
from dashboard.components.tables import Column
from dashboard.links import PAGES
from dashboard.performance_questions import Points, Sampled, Samples

GROUPS: Mapping[str, str] = {
    "api": "API",
    "page": "Pages",
    "auth": "Sign-in",
    "static": "Static files",
    "files": "Uploads and downloads",
    "streamlit": "Streamlit's own",
    "health": "Health probes",
    "metrics": "Metrics",
    "other": "Other",
}
"""Groups of requests in words."""
_ASKED = ("api", "page", "auth")
_HEIGHT = 260
_HUNDRED = 100
_POOL_WORDS = {"sync": "Threads", "async": "Event loop"}


def bounds_of(readings: Sequence[KpiReading], kpi_id: str) -> list[Threshold]:
    """Return the bounds of the figure *kpi_id* as lines: where good ends, and where a warning ends."""
    kpi = next((reading.kpi for reading in readings if reading.kpi.id == kpi_id), None)
    if kpi is None or kpi.good is None or kpi.warning is None:
        return []
    return [
        Threshold(kpi.good, "Warning beyond this", "warning"),
        Threshold(kpi.warning, "Critical beyond this", "critical"),
    ]


def answers_chart(
    courses: Mapping[str, Points], samples: Samples | None, thresholds: Sequence[Threshold], interval: Interval
) -> tuple[Chart, str]:
    """Return how long answers took over time, and in words what is drawn.

    Percentiles of Prometheus where there are any, else the means that processes sampled of themselves.
    """
    lines = [Series(GROUPS[group], courses[group]) for group in _ASKED if group in courses]
    words = "95 % of the requests of a step were answered within this time; from Prometheus, exact to a bucket."
    if not lines and samples is not None:
        lines = [Series(GROUPS.get(line.of, line.of), line.points) for line in samples.of("http_response_s")]
        words = (
            "Mean time to answer, as each process sampled it of itself; without Prometheus there are no percentiles."
        )
    return Chart(
        alt="Time to answer requests over time, by kind of request, against where a warning begins and ends",
        unit="s",
        series=lines,
        interval=interval,
        thresholds=thresholds if lines else (),
        height=_HEIGHT,
        from_zero=True,
    ), words


def caches_chart(samples: Samples, thresholds: Sequence[Threshold]) -> Chart:
    """Return the hit rates of caches over time."""
    lines = samples.of("cache_hit_ratio")
    return Chart(
        alt="Share of lookups that caches answered over time, by cache, against where a warning begins and ends",
        unit="ratio",
        series=[Series(_cache_title(line.of), line.points) for line in lines],
        interval=samples.interval,
        thresholds=thresholds if lines else (),
        height=_HEIGHT,
    )


def pools_chart(samples: Samples, thresholds: Sequence[Threshold]) -> Chart:
    """Return how much of the pools was in use over time."""
    lines = samples.of("db_pool_used_ratio")
    return Chart(
        alt="Share of the connections of each pool in use over time, against where a warning begins and ends",
        unit="ratio",
        series=[Series(_POOL_WORDS.get(line.of, line.of), line.points) for line in lines],
        interval=samples.interval,
        thresholds=thresholds if lines else (),
        height=_HEIGHT,
        from_zero=True,
    )


def draw_chart(title: str, chart: Chart, *, key: str, words: str) -> None:
    """Draw a chart under its title, with what it shows in words below."""
    with st.container(border=True, gap="xsmall", height="stretch"):
        st.markdown(f"**{title}**")
        charts.draw(chart, key=key)
        st.caption(words)


def _area(timing: Timing) -> str:
    group, area = timing.labels
    words = GROUPS.get(group, group)
    return f"{words}: {area}" if area else words


def _page(timing: Timing) -> str:
    return _PAGE_TITLES.get(timing.labels[0], timing.labels[0])


_PAGE_TITLES = {page.key: page.title for page in PAGES}


def endpoints_table(rows: Sequence[Timing]) -> None:
    """Draw answers by group and area: what people and programs ask first, of each group those asked most."""
    places = {group: place for place, group in enumerate(GROUPS)}
    order = sorted(rows, key=lambda item: (places.get(item.labels[0], len(places)), -item.count))
    _timings(order, "Requests", _area, key="performance.endpoints", alt="Times to answer by group of endpoints")


def pages_table(runs: Sequence[Timing], loads: Sequence[Timing]) -> None:
    """Draw how long pages took on the server, and until browsers showed their first content."""
    first = {item.labels: item for item in loads}
    extra: list[Column[Timing]] = [
        Column(
            "First content, p95, ms",
            lambda item: _ms(first[item.labels].p95_s) if item.labels in first else None,
            "number",
            help="From navigation until a browser showed the first content, as browsers report it.",
        )
    ]
    _timings(runs, "Page", _page, key="performance.pages", alt="Times of page runs on the server", extra=extra)


def database_table(rows: Sequence[Timing]) -> None:
    """Draw how long SQL statements took, by the kind of process that sent them."""
    _timings(
        rows,
        "Sent by",
        lambda item: item.labels[0].replace("-", " ").capitalize(),
        key="performance.database",
        alt="Times of SQL statements by the kind of process that sent them",
    )


def _timings(
    rows: Sequence[Timing],
    what: str,
    title: Callable[[Timing], str],
    *,
    key: str,
    alt: str,
    extra: Sequence[Column[Timing]] = (),
) -> None:
    if not rows:
        states.empty("Nothing was counted yet", "Figures appear once somebody asked.", icon=":material/timer:")
        return
    tables.table(
        rows,
        [
            Column(what, title),
            Column("Count", lambda item: item.count, "number", width="small"),
            Column("Mean, ms", lambda item: _ms(item.mean_s), "number", width="small"),
            Column("p50, ms", lambda item: _ms(item.p50_s), "number", width="small"),
            Column("p95, ms", lambda item: _ms(item.p95_s), "number", width="small"),
            Column("p99, ms", lambda item: _ms(item.p99_s), "number", width="small"),
            *extra,
        ],
        alt=alt,
        key=key,
        height="content",
    )


def _ms(seconds: float | None) -> float | None:
    """Return *seconds* in milliseconds, no finer than anybody reads it."""
    if seconds is None:
        return None
    ms = seconds * 1000
    return round(ms, 2) if ms < 1 else round(ms, 1) if ms < _HUNDRED else round(ms)


def _cache_title(name: str) -> str:
    return name.replace("_", " ").capitalize()


def caches_table(caches: Sequence[CacheStats], samples: Samples | None) -> None:
    """Draw every cache of this process with its strategy and what it did."""
    trends: Mapping[str, Sampled] = {} if samples is None else {line.of: line for line in samples.of("cache_hit_ratio")}

    def trend(cache: CacheStats) -> list[float | None]:
        return [value for _, value in trends[cache.name].points] if cache.name in trends else []

    tables.table(
        caches,
        [
            Column("Cache", lambda cache: _cache_title(cache.name)),
            Column("Hit rate", lambda cache: cache.hit_rate, "progress", help="Since this process began."),
            Column("Trend", trend, "share", help="Hit rate over the time range, from 0 to 100 %."),
            Column("Lookups", lambda cache: cache.lookups, "number", width="small"),
            Column("Entries", lambda cache: f"{cache.size:,} of {cache.max_size:,}", width="small"),
            Column(
                "Stands", lambda cache: "varies" if cache.ttl is None else formats.duration(cache.ttl), width="small"
            ),
            Column(
                "Evicted", lambda cache: cache.evictions, "number", width="small", help="Pushed out before their time."
            ),
            Column("Ran out", lambda cache: cache.expired, "number", width="small"),
            Column(
                "Voided", lambda cache: cache.invalidations, "number", width="small", help="What they rest on changed."
            ),
            Column(
                "Missed again", lambda cache: cache.regrets, "number", width="small", help="Pushed out, then asked for."
            ),
            Column(
                "From Redis", lambda cache: cache.shared_hits, "number", width="small", help="Hits that Redis answered."
            ),
            Column(
                "Reading takes, ms",
                lambda cache: _ms(cache.mean_compute_s),
                "number",
                width="small",
                help="Mean of misses.",
            ),
            Column("Holds", lambda cache: cache.holds, width="medium"),
        ],
        alt="Caches of this process with hit rate, size, evictions and how long answers stand",
        key="performance.caches",
        height="content",
    )


def questions_table(questions: Sequence[CacheStats]) -> None:
    """Draw what each question of pages did, those that cost most first."""
    order = sorted(questions, key=lambda item: -(item.mean_compute_s or 0.0) * item.misses)
    tables.table(
        order,
        [
            Column("Question", lambda item: item.name.replace("_", " ").capitalize()),
            Column("Hit rate", lambda item: item.hit_rate, "progress"),
            Column("Asked", lambda item: item.lookups, "number", width="small"),
            Column("Read", lambda item: item.misses, "number", width="small"),
            Column("Reading takes, ms", lambda item: _ms(item.mean_compute_s), "number", width="small"),
            Column("Entries", lambda item: f"{item.size:,} of {item.max_size:,}", width="small"),
            Column("Evicted", lambda item: item.evictions, "number", width="small"),
        ],
        alt="Questions of pages with their hit rate and how long they take to read",
        key="performance.questions",
        height="content",
    )


def pools_table(pools: Sequence[PoolState]) -> None:
    """Draw the pools of this process."""
    tables.table(
        pools,
        [
            Column("Pool", lambda pool: _POOL_WORDS.get(pool.name, pool.name)),
            Column("In use", lambda pool: pool.used, "progress", help="Of the connections it may open."),
            Column("Taken", lambda pool: pool.checked_out, "number", width="small"),
            Column("Free", lambda pool: pool.checked_in, "number", width="small", help="Open and waiting to be taken."),
            Column("Keeps", lambda pool: pool.size, "number", width="small"),
            Column("At most", lambda pool: pool.most, "number", width="small"),
            Column("Beyond", lambda pool: pool.overflow, "number", width="small", help="Open beyond what it keeps."),
            Column("Found open", lambda pool: pool.hit_rate, "ratio", width="small", help="Of all that were taken."),
            Column(
                "Mean wait, ms",
                lambda pool: _ms(pool.mean_wait_s),
                "number",
                width="small",
                help="Until a caller had one, opening included.",
            ),
            Column("Exhausted", lambda pool: pool.exhausted, "number", width="small", help="Callers who got an error."),
            Column("Replaced", lambda pool: pool.invalid, "number", width="small", help="Found dead, or thrown away."),
            Column("Taken ever", lambda pool: pool.checkouts, "number", width="small"),
        ],
        alt="Connection pools of this process",
        key="performance.pools",
        height="content",
    )
