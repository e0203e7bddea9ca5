"""How soon pages show their data when millions of facts are behind them.

Half of the facts are runs of agents, half are events of journeys, over ninety days, beside the demo's thirty.

- ``data_on_screen_p95_ms``: from a click on another time range to the frame after the script has ended, as a reader
  meets it: the first click on a range reads, later ones find what was read a moment ago. Over all pages.
- ``uncached_p95_ms``: a page opened over a range that nobody has asked for yet, until the server has sent everything.
"""

import argparse
import json
import random
import statistics
import sys
import tempfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
from sqlalchemy import Engine, text

from analytics.core.clock import utc_now
from analytics.core.settings import load_settings
from analytics.rollup.upkeep import keep_up
from analytics.store.engine import make_engine
from analytics.store.partitions import ensure_partitions
from benchmarks.browsing import browser, click_times, percentile, reader
from benchmarks.product import PASSWORD, Product
from benchmarks.rollup import DAYS, insert_runs
from benchmarks.sessions import in_own_loop, open_session, sign_in
from dashboard.auth.roles import Role

PAGES = ("", "operations", "performance", "analytics", "insights", "journeys", "contexts", "agents")
RANGES = (("7d", "24h"), ("30d", "6h"))
CLICKS = 6
ASKED = 8

_EVENTS = text("""
    INSERT INTO event (id, at, kind, source, subject, service, duration_ms, cost_usd)
    SELECT uuidv7(at - now()), at,
        (ARRAY['web.page_view', 'web.page_view', 'web.page_view', 'web.search', 'web.download', 'social.share',
            'message.received', 'web.signup', 'web.purchase'])[1 + floor(9 * a ^ 1.4)::int],
        (ARRAY['web', 'shop', 'social', 'mail'])[1 + floor(4 * b)::int], 'person' || floor(200000 * c ^ 1.5)::int,
        CASE WHEN d < 0.3 THEN (ARRAY['search', 'mail', 'hosting'])[1 + floor(3 * b)::int] END,
        exp(random_normal(5.5, 1)), CASE WHEN d < 0.3 THEN round((0.001 * a)::numeric, 6) END
    FROM (SELECT CAST(:since AS timestamptz) + n * CAST(:step AS interval) AS at,
              random() AS a, random() AS b, random() AS c, random() AS d FROM generate_series(0, :count - 1) n) drawn
""")


def main() -> None:
    """Measure alone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--facts", type=int, default=10_000_000, help="runs of agents and events together")
    print(json.dumps(measure(parser.parse_args().facts)))


def measure(facts: int) -> dict[str, Any]:
    """Return the figures with so many *facts* behind the pages."""
    with (
        tempfile.TemporaryDirectory(prefix="helmsight-behind-", ignore_cleanup_errors=True) as root,
        Product(Path(root), workers=("scheduler",)) as product,
    ):
        engine = make_engine(
            load_settings(home=product.root / "home", store={"dsn": product.postgres.dsn, "statement_timeout": 3600}),
            role="benchmark",
        )
        fill(engine, facts)
        engine.dispose()
        clicks = on_screen(product)
        uncached = without_cache(product)
    return {
        "facts": facts,
        "data_on_screen_p95_ms": round(percentile(sorted(time for times in clicks.values() for time in times), 0.95)),
        "data_on_screen_p50_ms": round(statistics.median(time for times in clicks.values() for time in times)),
        "uncached_p95_ms": round(percentile(sorted(time for times in uncached.values() for time in times), 0.95)),
        "uncached_p50_ms": round(statistics.median(time for times in uncached.values() for time in times)),
        "by_page": {
            page or "overview": {
                "on_screen_p95_ms": round(percentile(sorted(clicks[page]), 0.95)),
                "uncached_p50_ms": round(statistics.median(uncached[page])),
                "uncached_max_ms": round(max(uncached[page])),
            }
            for page in clicks
        },
    }


def fill(engine: Engine, facts: int) -> None:
    """Write the facts and sum them."""
    until = utc_now()
    since = until - timedelta(days=DAYS)
    with engine.begin() as connection:
        ensure_partitions(connection, since=since)
    step = timedelta(days=1)
    for day in range(DAYS):
        count = facts // 2 // DAYS
        insert_runs(engine, since + day * step, count, step.total_seconds())
        with engine.begin() as connection:
            connection.execute(text("SET LOCAL synchronous_commit = off"))
            connection.execute(_EVENTS, {"since": since + day * step, "count": count, "step": step / count})
    print("facts written", file=sys.stderr)
    keep_up(engine, now=until, late_every=timedelta(0))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))
    print("... and summed", file=sys.stderr)


def on_screen(product: Product) -> dict[str, list[float]]:
    """Return milliseconds from click to drawn, by page."""
    found: dict[str, list[float]] = {}
    with browser() as running, reader(running, product.url) as person:
        person.sign_in(product.email(Role.ADMIN), PASSWORD)
        for page in PAGES:
            found[page] = []
            for names in RANGES:
                with person.tab() as tab:
                    person.load(tab, f"/{page}")
                    found[page] += click_times(tab, names, CLICKS)
            print(f"{page or 'overview'}: {[round(time) for time in found[page]]}", file=sys.stderr)
    return found


def without_cache(product: Product) -> dict[str, list[float]]:
    """Return milliseconds of first runs over ranges that nobody has asked for, by page."""

    async def ask() -> dict[str, list[float]]:
        found: dict[str, list[float]] = {}
        chance = random.Random(7)
        jar = aiohttp.CookieJar(unsafe=True)
        async with aiohttp.ClientSession(cookie_jar=jar) as client:
            await sign_in(client, product.url, product.email(Role.ADMIN), PASSWORD)
            for page in PAGES:
                found[page] = []
                for _ in range(ASKED):
                    # A session keeps the range that it was opened with.
                    async with open_session(client, product.url) as session:
                        answer = await session.rerun(page, _some_range(chance.random))
                        found[page].append(answer.seconds * 1000)
        return found

    return in_own_loop(ask)


def _some_range(chance: Callable[[], float]) -> str:
    """Return a range of one to thirty days that ends in the last thirty, as the query of a page."""
    until = utc_now() - chance() * timedelta(days=30)
    since = until - timedelta(days=1) - chance() * timedelta(days=29)
    return urlencode({"range": "custom", "from": f"{since:%Y-%m-%dT%H:%MZ}", "to": f"{until:%Y-%m-%dT%H:%MZ}"})


if __name__ == "__main__":
    main()
