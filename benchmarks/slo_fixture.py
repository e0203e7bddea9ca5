"""A Prometheus with a month of counters whose truth is known: traffic by hour and weekday, restarts, incidents.

Every event is drawn minute by minute, so that the good and total events of each objective are known exactly; the
counters are those that Helmsight itself exports, so that its standard objectives measure them. Not part of the product.
"""

import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from analytics.core.clock import Interval
from analytics.core.telemetry import LATENCY_BUCKETS_S
from analytics.slo import Objective, objective, objectives
from analytics.slo.defaults import counted
from analytics.slo.model import SqlEvents
from analytics.sources.prometheus import PromClient, matcher
from dashboard.processes.servers import free_port

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
INSTANCES = ("a", "b", "c", "d")
AREAS = ("runs", "workflows", "documents", "slos")
LOW_TRAFFIC = "assessment_completion_rate"
RESETS = 5
"""How often each instance starts anew in a month."""

_BLOCK = timedelta(hours=54)
_START_S = 120

_RATES: Mapping[str, tuple[float, float]] = {
    "api_availability": (420.0, 0.00025),
    "api_latency_p95": (420.0, 0.018),
    "api_latency_p99": (420.0, 0.0035),
    "dashboard_load_time": (9.0, 0.055),
    "llm_api_success_rate": (16.0, 0.0045),
    LOW_TRAFFIC: (0.31, 0.034),
    "database_query_latency": (900.0, 0.0035),
    "cache_hit_rate": (260.0, 0.15),
    "websocket_connection_success": (5.0, 0.0016),
}
"""Events in a minute of the busiest hour of a workday, and the share of bad ones when nothing is wrong."""


@dataclass(frozen=True, slots=True)
class Incident:
    """A time in which more events of one objective are bad."""

    slo_id: str
    interval: Interval
    bad_ratio: float


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """What really happened to one objective, by minute."""

    good: NDArray[np.float64]
    total: NDArray[np.float64]


@dataclass(slots=True)
class Fixture:
    """A month of counters and what is true of them."""

    interval: Interval
    """Scrapes are at its start and at each minute after it, up to its end."""
    truth: dict[str, Truth] = field(default_factory=dict)
    incidents: list[Incident] = field(default_factory=list)
    series: dict[str, list[tuple[str, NDArray[np.int64]]]] = field(default_factory=dict)
    """By metric family: labels with the counter at each scrape."""

    @property
    def minutes(self) -> int:
        """Return how many minutes there are."""
        return self.interval.length // MINUTE

    def __len__(self) -> int:
        return sum(len(family) for family in self.series.values())

    def within(self, slo_id: str, interval: Interval) -> tuple[float, float]:
        """Return the good and total events of an objective in *interval*, as they happened."""
        first = (interval.since - self.interval.since) // MINUTE
        last = (interval.until - self.interval.since) // MINUTE
        truth = self.truth[slo_id]
        return float(truth.good[first:last].sum()), float(truth.total[first:last].sum())


def measured_objectives() -> list[Objective]:
    """Return the nine standard objectives, with counters for the two that are counted from rows otherwise."""
    counters = {
        "llm_api_success_rate": counted("helmsight_llm_calls_total", good=matcher("outcome", "ok")),
        LOW_TRAFFIC: counted("helmsight_assessments_total", good=matcher("outcome", "completed")),
    }
    found = []
    for item in objectives():
        indicator = counters[item.id] if isinstance(item.indicator, SqlEvents) else item.indicator
        found.append(Objective(item.id, item.title, item.service, Decimal(item.target), indicator, item.description))
    return found


def make(*, until: datetime, days: int, seed: int = 11) -> Fixture:
    """Draw *days* of events that end at *until*, with 14 incidents for a month, some of them at night."""
    made = Fixture(Interval(until - days * DAY, until))
    chance = np.random.default_rng(seed)
    made.incidents = _incidents(chance, made.interval)
    starts = [made.interval.since + place * MINUTE for place in range(made.minutes)]
    busy = _load(starts)
    ratios = {slo_id: _ratios(made, slo_id) for slo_id in _RATES}
    drawing = _Drawing(made, chance, busy, ratios)
    drawing.draw()
    return made


class _Drawing:
    """Draws the events of every family of counters and keeps the truth."""

    def __init__(
        self,
        made: Fixture,
        chance: np.random.Generator,
        busy: NDArray[np.float64],
        ratios: Mapping[str, NDArray[np.float64]],
    ) -> None:
        self.made, self.chance, self.busy, self.ratios = made, chance, busy, ratios
        count = max(1, round(RESETS * made.interval.length / (30 * DAY)))
        self.resets = {
            name: np.sort(chance.choice(np.arange(10, made.minutes), count, replace=False)) for name in INSTANCES
        }

    def draw(self) -> None:
        self._requests()
        self._histogram(
            "helmsight_page_load_duration_seconds", "page", ("overview", "slos"), {3.0: "dashboard_load_time"}
        )
        self._outcomes("helmsight_llm_calls_total", "llm_api_success_rate", ("ok", "error"))
        self._outcomes("helmsight_assessments_total", LOW_TRAFFIC, ("completed", "failed"))
        self._histogram(
            "helmsight_db_query_duration_seconds",
            "role",
            ("dashboard", "run", "scheduler"),
            {0.1: "database_query_latency"},
        )
        self._outcomes("helmsight_cache_lookups_total", "cache_hit_rate", ("hit", "miss"), label="result")
        self._outcomes("helmsight_websocket_opens_total", "websocket_connection_success", ("ok", "failed"))

    def _events(self, slo_id: str, share: float) -> NDArray[np.int64]:
        return self.chance.poisson(_RATES[slo_id][0] * share * self.busy)

    def _keep(self, slo_id: str, good: NDArray[np.int64], total: NDArray[np.int64]) -> None:
        before = self.made.truth.get(slo_id)
        kept = Truth(good.astype(np.float64), total.astype(np.float64))
        if before is not None:
            kept = Truth(before.good + kept.good, before.total + kept.total)
        self.made.truth[slo_id] = kept

    def _count(self, family: str, labels: str, instance: str, events: NDArray[np.int64]) -> None:
        """Keep the counter of *events*: 0 at the first scrape, and anew from each restart."""
        sums = np.concatenate([[0], np.cumsum(events)])
        value = sums.copy()
        for place in self.resets[instance]:
            # The restart falls into the minute before the scrape: its events are those the new process counted.
            value[place + 1 :] = sums[place + 1 :] - sums[place]
        self.made.series.setdefault(family, []).append((f'{labels},instance="{instance}"', value))

    def _requests(self) -> None:
        family = "helmsight_http_requests_total"
        share = 1 / (len(INSTANCES) * len(AREAS))
        by_area = {area: np.zeros(self.made.minutes, dtype=np.int64) for area in AREAS}
        for instance in INSTANCES:
            for area in AREAS:
                total = self._events("api_availability", share)
                bad = self.chance.binomial(total, self.ratios["api_availability"])
                refused = self.chance.binomial(total - bad, 0.02)
                for status, events in (("5xx", bad), ("4xx", refused), ("2xx", total - bad - refused)):
                    labels = f'group="api",area="{area}",method="GET",status_class="{status}"'
                    self._count(family, labels, instance, events)
                self._keep("api_availability", total - bad, total)
                by_area[area] += total
        bounds = {0.5: "api_latency_p95", 2.0: "api_latency_p99"}
        for area, total in by_area.items():
            self._durations("helmsight_http_request_duration_seconds", f'group="api",area="{area}"', "a", total, bounds)

    def _histogram(self, name: str, label: str, values: Sequence[str], bounds: Mapping[float, str]) -> None:
        for place, value in enumerate(values):
            for slo_id in bounds.values():
                total = self._events(slo_id, 1 / len(values))
                self._durations(name, f'{label}="{value}"', INSTANCES[place % len(INSTANCES)], total, bounds)

    def _durations(
        self, name: str, labels: str, instance: str, total: NDArray[np.int64], bounds: Mapping[float, str]
    ) -> None:
        """Spread *total* events over the buckets of a histogram, so that each bound splits as its ratio says."""
        slow = np.stack([self.ratios[bounds[bound]] for bound in sorted(bounds)])
        slow = np.minimum.accumulate(slow, axis=0)
        cuts = [0, *(LATENCY_BUCKETS_S.index(bound) + 1 for bound in sorted(bounds)), len(LATENCY_BUCKETS_S) + 1]
        parts = np.concatenate([1 - slow[:1], slow[:-1] - slow[1:], slow[-1:]])
        shares = np.zeros((self.made.minutes, cuts[-1]))
        for part, first, last in zip(parts, cuts, cuts[1:], strict=False):
            shares[:, first:last] = part[:, None] / (last - first)
        within = np.cumsum(self.chance.multinomial(total, shares), axis=1)
        for place, bound in enumerate([*LATENCY_BUCKETS_S, None]):
            le = "+Inf" if bound is None else str(bound)
            self._count(f"{name}_bucket", f'{labels},le="{le}"', instance, within[:, place])
        self._count(f"{name}_count", labels, instance, total)
        for bound, slo_id in bounds.items():
            self._keep(slo_id, within[:, LATENCY_BUCKETS_S.index(bound)], total)

    def _outcomes(self, family: str, slo_id: str, outcomes: tuple[str, str], *, label: str = "outcome") -> None:
        for instance in INSTANCES:
            total = self._events(slo_id, 1 / len(INSTANCES))
            bad = self.chance.binomial(total, self.ratios[slo_id])
            for outcome, events in zip(outcomes, (total - bad, bad), strict=True):
                self._count(family, f'{label}="{outcome}"', instance, events)
            self._keep(slo_id, total - bad, total)


def _load(starts: Sequence[datetime]) -> NDArray[np.float64]:
    """Return how busy each minute is, 1/16 at night to 1 on a workday's afternoon."""
    hours = np.array([start.hour + start.minute / 60 for start in starts])
    weekend = np.array([start.weekday() >= 5 for start in starts])
    daily = 1 / 16 + 15 / 16 * np.clip(np.sin((hours - 6) / 16 * np.pi), 0, None) ** 1.5
    return daily * np.where(weekend, 0.35, 1.0)


def _incidents(chance: np.random.Generator, interval: Interval) -> list[Incident]:
    """Return 14 incidents a month, over all objectives; of any length, at any hour."""
    names = list(_RATES)
    count = max(3, round(14 * interval.length / (30 * DAY)))
    found = []
    for place in range(count):
        slo_id = names[place % len(names)]
        since = interval.since + 4 * DAY * (interval.length / (31 * DAY))
        since += (interval.until - since - 6 * timedelta(hours=1)) * float(chance.random())
        since = since.replace(second=0, microsecond=0)
        length = timedelta(minutes=int(chance.integers(12, 200)))
        severe = min(0.9, float(1 - objective(slo_id).target) * float(chance.uniform(2, 30)))
        found.append(Incident(slo_id, Interval(since, min(since + length, interval.until)), severe))
    return sorted(found, key=lambda item: item.interval.since)


def _ratios(made: Fixture, slo_id: str) -> NDArray[np.float64]:
    ratios = np.full(made.minutes, _RATES[slo_id][1])
    for incident in made.incidents:
        if incident.slo_id == slo_id:
            first = (incident.interval.since - made.interval.since) // MINUTE
            ratios[first : first + incident.interval.length // MINUTE] = incident.bad_ratio
    return ratios


# ---- Into a Prometheus ----


@contextmanager
def served(made: Fixture, root: Path, *, scrape_offset: timedelta = timedelta(0)) -> Iterator[str]:
    """Serve the counters from a Prometheus of their own for the block, and yield its address.

    Args:
        made: The counters.
        root: An empty directory.
        scrape_offset: How long after each full minute the scrapes were, as they are in real life.
    """
    _write_blocks(made, root, scrape_offset)
    program = shutil.which("prometheus")
    if program is None:
        raise RuntimeError("the prometheus program is not installed")
    (root / "prometheus.yml").write_text("scrape_configs: []\n", encoding="utf-8")
    port = free_port()
    command = [
        program,
        f"--config.file={root / 'prometheus.yml'}",
        f"--storage.tsdb.path={root / 'data'}",
        "--storage.tsdb.retention.time=100y",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (root / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            deadline = time.monotonic() + _START_S
            with PromClient(url) as client:
                while not client.is_ready():
                    if process.poll() is not None or time.monotonic() > deadline:
                        raise RuntimeError((root / "log").read_text(encoding="utf-8")[-2000:])
                    time.sleep(0.1)
            yield url
        finally:
            process.terminate()


def _write_blocks(made: Fixture, root: Path, offset: timedelta) -> None:
    tool = shutil.which("promtool")
    if tool is None:
        raise RuntimeError("the promtool program is not installed")
    cuts = [made.interval.since]
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    while cuts[-1] < made.interval.until:
        cuts.append(min(made.interval.until, epoch + ((cuts[-1] - epoch) // _BLOCK + 1) * _BLOCK))
    with ThreadPoolExecutor(2) as pool:
        for _ in pool.map(
            lambda place: _write_block(tool, made, root, (cuts[place], cuts[place + 1]), offset), range(len(cuts) - 1)
        ):
            pass


def _write_block(tool: str, made: Fixture, root: Path, span: tuple[datetime, datetime], offset: timedelta) -> None:
    first = (span[0] - made.interval.since) // MINUTE
    # The scrape at the very end belongs to the last block.
    last = (span[1] - made.interval.since) // MINUTE + (span[1] == made.interval.until)
    origin = int(made.interval.since.timestamp())
    shift = offset.total_seconds()
    stamps = [f"{origin + 60 * place + shift:.3f}" for place in range(first, last)]
    text = root / f"{first}.om"
    with text.open("w", encoding="utf-8") as sink:
        for family, members in made.series.items():
            name = family.removesuffix("_total") if family.endswith("_total") else family
            sink.write(f"# TYPE {name} {'counter' if family.endswith('_total') else 'unknown'}\n")
            for labels, values in members:
                head = f"{family}{{{labels}}} "
                sink.writelines(
                    f"{head}{value} {stamp}\n" for value, stamp in zip(values[first:last].tolist(), stamps, strict=True)
                )
        sink.write("# EOF\n")
    command = [
        tool,
        "tsdb",
        "create-blocks-from",
        "openmetrics",
        "--max-block-duration=54h",
        str(text),
        str(root / "data"),
    ]
    subprocess.run(command, check=True, capture_output=True)
    text.unlink()
