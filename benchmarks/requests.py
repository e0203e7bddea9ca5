"""A thousand requests of the interface, fifty at once, on the demo's thirty days: how long they take, and what fails.

Run with ``python -m benchmarks.requests [--once]``; the last line is one JSON object. Everything runs on this machine,
the client beside the one process that answers, so times are upper bounds.
"""

import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import httpx
import psutil
from sqlalchemy import create_engine

from analytics.store.engine import driver_url, session_scope
from benchmarks.aims import REQUESTS, missed, table
from benchmarks.product import Product
from dashboard.auth.accounts import new_token
from dashboard.auth.roles import Role

REQUESTS_IN_ALL, AT_ONCE = 1000, 50
PATHS = (
    "performance/overview",
    "kpis?range=30d",
    "costs?by=service&range=30d",
    "analytics/agent-performance?days=30",
    "analytics/usage?range=7d",
    "agents/graph?range=24h",
    "leads?limit=20",
    "work-items",
)


def main() -> None:
    """Measure and print."""
    count = AT_ONCE if "--once" in sys.argv[1:] else REQUESTS_IN_ALL
    with (
        tempfile.TemporaryDirectory(prefix="helmsight-requests-", ignore_cleanup_errors=True) as name,
        Product(Path(name), workers=()) as product,
    ):
        headers = {"Authorization": f"Bearer {_token(product)}"}
        server = psutil.Process(product.processes["dashboard"].pid)
        figures = asyncio.run(_measure(f"{product.url}/api/v1/", headers, count, server))
    figures |= {"cpus": os.cpu_count(), "load_1m": round(os.getloadavg()[0], 2)}
    print(table(figures, REQUESTS), file=sys.stderr)
    print(f"missed: {', '.join(missed(figures, REQUESTS)) or 'none'}", file=sys.stderr)
    print(json.dumps(figures))


def _token(product: Product) -> str:
    engine = create_engine(driver_url(product.postgres.dsn))
    with session_scope(engine) as session:
        token, _ = new_token(
            session, user_email=product.email(Role.OPERATOR), name="benchmark", role=Role.OPERATOR, expires_at=None
        )
    engine.dispose()
    return token


async def _measure(base: str, headers: dict[str, str], count: int, server: psutil.Process) -> dict[str, Any]:
    limits = httpx.Limits(max_connections=AT_ONCE)
    async with httpx.AsyncClient(base_url=base, headers=headers, timeout=60, limits=limits) as client:
        lead = (await client.get("leads?limit=1")).json()["items"][0]["id"]
        first_s = {path: (await _timed(client, path))[0] for path in PATHS}
        hits = await _lead_hits(client, lead)
        gate = asyncio.Semaphore(AT_ONCE)

        async def ask(path: str) -> tuple[float, int]:
            async with gate:
                return await _timed(client, path)

        started, spent_s = time.perf_counter(), _spent_s(server)
        paths = islice(cycle((*PATHS, f"leads/{lead}")), count)
        answers = await asyncio.gather(*(ask(path) for path in paths))
        took_s, spent_s = time.perf_counter() - started, _spent_s(server) - spent_s
        pools = (await client.get("pools")).json()
        overview = await client.get("performance/overview")
    times = sorted(took for took, _ in answers)
    return {
        "requests": len(times),
        "at_once": AT_ONCE,
        "requests_p50_ms": _ms(statistics.median(times)),
        "requests_p95_ms": _ms(times[int(0.95 * len(times))]),
        "requests_max_ms": _ms(times[-1]),
        "requests_per_s": round(len(times) / took_s, 1),
        "cpu_ms_per_request": round(spent_s * 1000 / len(times), 2),
        "requests_failed": sum(status >= 400 for _, status in answers),
        "pool_exhausted": sum(pool["exhausted"] for pool in pools),
        "lead_hits_of_second_call": hits,
        "overview_bytes": len(overview.content),
        "first_call_ms": {path: _ms(took) for path, took in first_s.items()},
    }


async def _timed(client: httpx.AsyncClient, path: str) -> tuple[float, int]:
    started = time.perf_counter()
    answer = await client.get(path)
    return time.perf_counter() - started, answer.status_code


async def _lead_hits(client: httpx.AsyncClient, lead: str) -> int:
    """Return how many more hits the cache of leads has after a lead was asked for a second time."""
    await client.get(f"leads/{lead}")
    before = await _hits_of_leads(client)
    await client.get(f"leads/{lead}")
    return await _hits_of_leads(client) - before


async def _hits_of_leads(client: httpx.AsyncClient) -> int:
    caches = (await client.get("caches")).json()["caches"]
    return next(int(cache["hits"]) for cache in caches if cache["name"] == "leads")


def _spent_s(server: psutil.Process) -> float:
    """Return how much processor time the dashboard has used."""
    times = server.cpu_times()
    return times.user + times.system


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)


if __name__ == "__main__":
    main()
