"""How quick, light and clean the pages are, beside the same application with Streamlit's defaults, in the same run.

``python -m benchmarks.pages [--quick]``; the last line is one JSON object. Both servers run on the same database and
are measured in turn, so that what else the machine does burdens both.

- ``first_load_s``, ``repeat_load_s``: from navigation until the script has ended and nothing waits for data or for a
  chart's code, with an empty and with a filled HTTP cache. The slowest page; each page is the median of its loads.
- ``rerun_p50_ms``, ``rerun_p95_ms``: from a click on another time range to the frame after the script has ended.
- ``cpu_per_rerun_vs_defaults``: processor time of the server for one rerun, over all pages, shipped over defaults.
- ``health_p95_20_sessions_vs_defaults``: time of ``/healthz`` while 20 sessions rerun a page every two seconds.
- ``bytes_vs_defaults``: bytes of a first load of every page, sockets included.
- ``replayed_hit_rate``: share of what pages asked that caches answered, of what is kept for half a minute or longer,
  while 20 readers walk through the pages that everybody finds in the navigation and click every two seconds;
  ``replayed_hit_rate_all_pages``: through all pages; ``…_with_live``: of everything, also of what stands for seconds.
- ``data_on_screen_p95_ms`` (with ``--facts 10000000``): from a click to the frame with data, so many facts behind it.
- ``outside_requests``: requests of the shipped pages to any other host, for every role and page.
- ``axe_new_findings``: what WCAG 2.2 A and AA find on them, light and dark, beyond Streamlit's own sidebar.
"""

import argparse
import asyncio
import dataclasses
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import psutil
from axe_core_python.sync_playwright import Axe
from playwright.sync_api import Browser
from sqlalchemy import create_engine, text

from analytics.store.engine import driver_url
from benchmarks import pages_behind
from benchmarks.browsing import Load, browser, click_times, findings, percentile, reader
from benchmarks.product import PASSWORD, Product, answers, wait_until
from benchmarks.replay import replayed
from benchmarks.sessions import in_own_loop, open_session, sign_in
from dashboard.auth.roles import Role
from dashboard.links import DEFAULT_PAGE, pages_for
from dashboard.processes.servers import free_port

T = TypeVar("T")

SESSIONS = 20
RANGES = ("7d", "24h")
WARM_UP_CLICKS = 2
TARGETS = {
    "first_load_s": 3.0,
    "rerun_p95_ms": 500.0,
    "cpu_per_rerun_vs_defaults": 0.35,
    "health_p95_20_sessions_vs_defaults": 0.2,
    "bytes_vs_defaults": 0.45,
    "data_on_screen_p95_ms": 300.0,
    "outside_requests": 0,
    "axe_new_findings": 0,
}
FLOORS = {"replayed_hit_rate": 0.9}


@dataclasses.dataclass(frozen=True)
class Effort:
    """How much is measured."""

    loads: int
    clicks: int
    reruns: int
    rounds: int
    health_s: float
    replay_s: float


FULL = Effort(loads=5, clicks=10, reruns=12, rounds=5, health_s=15, replay_s=60)
QUICK = Effort(loads=1, clicks=4, reruns=4, rounds=1, health_s=6, replay_s=30)


@dataclasses.dataclass(frozen=True)
class Server:
    """One of the two servers."""

    name: str
    url: str
    process: psutil.Process


def main() -> None:
    """Measure, print progress and the tables, and the JSON object last."""
    parser = argparse.ArgumentParser(description="Measure the pages beside the same app with Streamlit's defaults.")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions, for a look")
    parser.add_argument("--facts", type=int, default=0, help="measure pages with so many facts behind them, too")
    given = parser.parse_args()
    effort = QUICK if given.quick else FULL
    with (
        tempfile.TemporaryDirectory(prefix="helmsight-pages-", ignore_cleanup_errors=True) as root,
        both_servers(Path(root)) as (product, shipped, defaults),
    ):
        result = measure(product, shipped, defaults, effort)
    if given.facts:
        result["behind"] = behind = pages_behind.measure(given.facts)
        result["data_on_screen_p95_ms"] = behind["data_on_screen_p95_ms"]
    result["missed"] = [name for name, most in TARGETS.items() if result.get(name, 0.0) > most]
    result["missed"] += [name for name, least in FLOORS.items() if (result[name] or 0.0) < least]
    say(f"missed: {result['missed'] or 'nothing'}")
    print(json.dumps(result))


@contextmanager
def both_servers(root: Path) -> Iterator[tuple[Product, Server, Server]]:
    """Run the product, and beside it the same application with defaults on the same stores."""
    with Product(root, workers=("scheduler",)) as product:
        port = free_port()
        product.start_process(
            "defaults",
            (sys.executable, "-m", "benchmarks.with_defaults"),
            product.variables() | {"HELMSIGHT_HTTP__PORT": str(port), "PYTHONPATH": str(Path(__file__).parents[1])},
        )
        url = f"http://127.0.0.1:{port}"
        wait_until(lambda: answers(f"{url}/healthz"), "the server with defaults", product.log("defaults"))
        yield (
            product,
            Server("shipped", product.url, psutil.Process(product.processes["dashboard"].pid)),
            Server("defaults", url, psutil.Process(product.processes["defaults"].pid)),
        )


def measure(product: Product, shipped: Server, defaults: Server, effort: Effort) -> dict[str, Any]:
    """Return every figure."""
    paths = page_paths(product, Role.ADMIN)
    with ExitStack() as stack:
        running = stack.enter_context(browser())
        pages = {path: loads_of(running, product, shipped, path, effort) for path in paths.values()}
        say("bytes of first loads, shipped and defaults")
        sizes = {
            server.name: {
                path: one_load(running, product, server, Role.ADMIN, path).bytes_received for path in paths.values()
            }
            for server in (shipped, defaults)
        }
        roles = {role.label: by_role(running, product, shipped, role) for role in Role}
    say("caches while 20 readers walk through pages")
    everybodys = {spec.key for specs in pages_for(Role.VIEWER).values() for spec in specs if spec.is_listed}
    replay = replay_of(product, shipped, {key: path for key, path in paths.items() if key in everybodys}, effort)
    replay_all = replay_of(product, shipped, paths, effort)
    say("processor time of reruns")
    cpu = in_turn((shipped, defaults), effort.rounds, lambda server: cpu_per_rerun(product, server, paths, effort))
    say("health under 20 sessions")
    health = in_turn((shipped, defaults), effort.rounds, lambda server: health_under_load(product, server, effort))
    figures = summary(paths=paths, pages=pages, sizes=sizes, roles=roles, cpu=cpu, health=health)
    rates = {
        "replayed_hit_rate": replay["hit_rate"],
        "replayed_hit_rate_with_live": replay["hit_rate_with_live"],
        "replayed_hit_rate_all_pages": replay_all["hit_rate"],
        "replayed_hit_rate_all_pages_with_live": replay_all["hit_rate_with_live"],
    }
    return {**figures, **rates, "replay": replay, "replay_all_pages": replay_all}


def summary(
    *,
    paths: dict[str, str],
    pages: dict[str, dict[str, Any]],
    sizes: dict[str, dict[str, int]],
    roles: dict[str, dict[str, Any]],
    cpu: dict[str, list[dict[str, float]]],
    health: dict[str, list[float]],
) -> dict[str, Any]:
    """Return the figures of the task, and what they are made of by page and role."""
    clicks = sorted(value for page in pages.values() for value in page["clicks_ms"])
    cpu_ms = {
        name: {key: statistics.median(found[key] for found in rounds) for key in paths} for name, rounds in cpu.items()
    }
    health_ms = {name: statistics.median(rounds) for name, rounds in health.items()}
    per_page = {
        key: {
            **{name: value for name, value in pages[path].items() if name != "clicks_ms"},
            "rerun_p50_ms": round(statistics.median(pages[path]["clicks_ms"])),
            "cpu_per_rerun_ms": round(cpu_ms["shipped"][key], 1),
            "cpu_per_rerun_vs_defaults": round(cpu_ms["shipped"][key] / cpu_ms["defaults"][key], 3),
            "bytes": sizes["shipped"][path],
            "bytes_vs_defaults": round(sizes["shipped"][path] / sizes["defaults"][path], 3),
        }
        for key, path in paths.items()
    }
    for key, row in per_page.items():
        say(f"{key}: {row}")
    return {
        "first_load_s": max(row["first_load_s"] for row in per_page.values()),
        "first_load_median_s": round(statistics.median(row["first_load_s"] for row in per_page.values()), 2),
        "repeat_load_s": max(row["repeat_load_s"] for row in per_page.values()),
        "rerun_p50_ms": round(statistics.median(clicks)),
        "rerun_p95_ms": round(percentile(clicks, 0.95)),
        "cpu_per_rerun_vs_defaults": round(sum(cpu_ms["shipped"].values()) / sum(cpu_ms["defaults"].values()), 3),
        "health_p95_20_sessions_ms": round(health_ms["shipped"], 1),
        "health_p95_20_sessions_vs_defaults": round(health_ms["shipped"] / health_ms["defaults"], 3),
        "bytes_vs_defaults": round(sum(sizes["shipped"].values()) / sum(sizes["defaults"].values()), 3),
        "outside_requests": sum(len(role["outside"]) for role in roles.values()),
        "axe_new_findings": sum(len(role["findings"]) for role in roles.values()),
        "pages": per_page,
        "roles": roles,
    }


def page_paths(product: Product, role: Role) -> dict[str, str]:
    """Return the address of every page that *role* may open, by the page's key."""
    paths = {}
    for spec in (spec for specs in pages_for(role).values() for spec in specs):
        if spec.key == DEFAULT_PAGE:
            paths[spec.key] = "/"
        elif spec.key == "run":
            paths[spec.key] = f"/run?run={some_run(product)}"
        else:
            paths[spec.key] = f"/{spec.key}"
    return paths


def some_run(product: Product) -> str:
    """Return the id of the latest run that completed."""
    engine = create_engine(driver_url(product.postgres.dsn))
    with engine.connect() as connection:
        found = connection.execute(
            text("SELECT id FROM run WHERE status = 'completed' ORDER BY created_at DESC LIMIT 1")
        ).scalar_one()
    engine.dispose()
    return str(found)


def one_load(running: Browser, product: Product, server: Server, role: Role, path: str) -> Load:
    """Load *path* once with an empty cache."""
    with reader(running, server.url) as person:
        person.sign_in(product.email(role), PASSWORD)
        with person.tab() as page:
            return person.load(page, path)


def loads_of(running: Browser, product: Product, server: Server, path: str, effort: Effort) -> dict[str, Any]:
    """Load *path* with an empty and with a filled cache, then click through time ranges."""
    first, repeated, titles = [], [], []
    clicks: list[float] = []
    for number in range(effort.loads):
        with reader(running, server.url) as person:
            person.sign_in(product.email(Role.ADMIN), PASSWORD)
            with person.tab() as page:
                load = person.load(page, path)
                first.append(load.complete_s)
                titles.append(load.title_s)
            with person.tab() as page:
                repeated.append(person.load(page, path).complete_s)
                if number == effort.loads - 1:
                    clicks = click_times(page, RANGES, effort.clicks + WARM_UP_CLICKS)[WARM_UP_CLICKS:]
    row = {
        "first_load_s": round(statistics.median(first), 2),
        "first_title_s": round(statistics.median(titles), 2),
        "repeat_load_s": round(statistics.median(repeated), 2),
        "clicks_ms": clicks,
    }
    say(
        f"{path}: first {row['first_load_s']} s, again {row['repeat_load_s']} s,"
        f" click {statistics.median(clicks):.0f} ms"
    )
    return row


def by_role(running: Browser, product: Product, server: Server, role: Role) -> dict[str, Any]:
    """Open every page of *role*, light and dark; return what was asked of other hosts and what axe finds."""
    axe = Axe()
    found: list[str] = []
    with reader(running, server.url) as person:
        person.sign_in(product.email(role), PASSWORD)
        paths = page_paths(product, role)
        with person.tab() as page:
            for scheme in ("light", "dark"):
                page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
                for key, path in paths.items():
                    person.load(page, path)
                    page.wait_for_load_state("networkidle")
                    found += [f"{key} {scheme}: {finding}" for finding in findings(axe, page)]
        outside = person.traffic.outside
    say(f"{role.label}: {len(paths)} pages, {len(outside)} outside requests, {len(found)} findings")
    return {"pages": list(paths), "outside": outside, "findings": found}


def in_turn(servers: tuple[Server, ...], rounds: int, once: Callable[[Server], T]) -> dict[str, list[T]]:
    """Measure each server once a round, in turn."""
    measured: dict[str, list[T]] = {server.name: [] for server in servers}
    for _ in range(rounds):
        for server in servers:
            measured[server.name].append(once(server))
    return measured


def cpu_per_rerun(product: Product, server: Server, paths: dict[str, str], effort: Effort) -> dict[str, float]:
    """Return by page the processor time of one rerun in milliseconds; two warm-up reruns are not counted."""

    async def reruns() -> dict[str, float]:
        spent = {}
        async with client(server, product, Role.ADMIN) as http:
            for key, path in paths.items():
                page, _, query = path.strip("/").partition("?")
                async with open_session(http, server.url) as session:
                    for _ in range(WARM_UP_CLICKS):
                        await session.rerun(page, query)
                    before = processor_s(server)
                    for _ in range(effort.reruns):
                        await session.rerun(page, query)
                    spent[key] = (processor_s(server) - before) / effort.reruns * 1000
        return spent

    return in_own_loop(reruns)


def health_under_load(product: Product, server: Server, effort: Effort) -> float:
    """Return the 95th percentile of ``/healthz`` in milliseconds while 20 sessions rerun the overview."""

    async def load() -> float:
        done = asyncio.Event()
        times: list[float] = []

        async def visitor(http: aiohttp.ClientSession, offset_s: float) -> None:
            await asyncio.sleep(offset_s)
            async with open_session(http, server.url) as session:
                while not done.is_set():
                    due = time.perf_counter() + 2.0
                    await session.rerun()
                    await asyncio.sleep(max(0.0, due - time.perf_counter()))

        async with client(server, product, Role.VIEWER) as http, asyncio.TaskGroup() as tasks:
            for number in range(SESSIONS):
                tasks.create_task(visitor(http, number * 2.0 / SESSIONS))
            await asyncio.sleep(4)
            until = time.perf_counter() + effort.health_s
            while time.perf_counter() < until:
                start = time.perf_counter()
                async with http.get(f"{server.url}/healthz") as answer:
                    await answer.read()
                times.append((time.perf_counter() - start) * 1000)
                await asyncio.sleep(0.05)
            done.set()
        return percentile(sorted(times), 0.95)

    return in_own_loop(load)


def replay_of(product: Product, server: Server, paths: dict[str, str], effort: Effort) -> dict[str, Any]:
    """Return what the caches of *server* did while readers walked through *paths*."""

    async def walk() -> dict[str, Any]:
        async with client(server, product, Role.ADMIN) as http:
            return await replayed(http, server.url, list(paths.values()), readers=SESSIONS, seconds=effort.replay_s)

    return in_own_loop(walk)


def client(server: Server, product: Product, role: Role) -> "Client":
    """Return a client that is signed in as *role* inside of ``async with``."""
    return Client(server.url, product.email(role))


class Client:
    """An HTTP client that is signed in."""

    def __init__(self, url: str, email: str) -> None:
        self._url, self._email = url, email

    async def __aenter__(self) -> aiohttp.ClientSession:
        self._http = aiohttp.ClientSession(
            cookie_jar=aiohttp.CookieJar(unsafe=True), connector=aiohttp.TCPConnector(limit=0)
        )
        await sign_in(self._http, self._url, self._email, PASSWORD)
        return self._http

    async def __aexit__(self, *_: object) -> None:
        await self._http.close()


def processor_s(server: Server) -> float:
    """Return the processor time that *server* has used, in seconds."""
    times = server.process.cpu_times()
    return float(times.user + times.system)


def say(line: str) -> None:
    """Print progress."""
    print(line, flush=True)


if __name__ == "__main__":
    main()
