"""A morning of readers replayed: who goes from page to page, and what the caches answer of what the pages ask."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

import aiohttp

from benchmarks.sessions import open_session

EVERY_S = 2.0
"""Between two clicks of a reader."""


async def replayed(
    http: aiohttp.ClientSession, url: str, paths: Sequence[str], *, readers: int, seconds: float
) -> dict[str, Any]:
    """Let *readers* walk through *paths*, each from another start, clicking every two seconds; return what caches did.

    Returns:
        ``hit_rate`` over all lookups (None without any), ``lookups``, ``by_question`` with the rates of those asked
        most, and ``reruns``.
    """
    before = await _counts(http, url)
    until = time.perf_counter() + seconds

    async def reader(number: int) -> int:
        await asyncio.sleep(number * EVERY_S / readers)
        clicks = 0
        async with open_session(http, url) as session:
            while time.perf_counter() < until:
                due = time.perf_counter() + EVERY_S
                page, _, query = paths[(number + clicks) % len(paths)].strip("/").partition("?")
                await session.rerun(page, query)
                clicks += 1
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
        return clicks

    clicks = await asyncio.gather(*(reader(number) for number in range(readers)))
    after = await _counts(http, url)
    return {**_rates(before, after), "reruns": sum(clicks)}


async def _counts(http: aiohttp.ClientSession, url: str) -> dict[str, tuple[int, int]]:
    """Return hits and misses of every named cache and every question of pages."""
    async with http.get(f"{url}/api/v1/caches") as answer:
        document = await answer.json()
    named = [cache for cache in document["caches"] if cache["name"] != "pages"]
    return {cache["name"]: (cache["hits"], cache["misses"]) for cache in [*named, *document["questions"]]}


def _rates(before: Mapping[str, tuple[int, int]], after: Mapping[str, tuple[int, int]]) -> dict[str, Any]:
    grown = {
        name: (hits - before.get(name, (0, 0))[0], misses - before.get(name, (0, 0))[1])
        for name, (hits, misses) in after.items()
    }
    hits, misses = sum(pair[0] for pair in grown.values()), sum(pair[1] for pair in grown.values())
    asked = sorted(((name, *pair) for name, pair in grown.items() if sum(pair)), key=lambda item: -(item[1] + item[2]))
    return {
        "hit_rate": round(hits / (hits + misses), 3) if hits + misses else None,
        "lookups": hits + misses,
        "by_question": {name: [round(hit / (hit + miss), 3), hit + miss] for name, hit, miss in asked},
    }
