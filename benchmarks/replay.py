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
        ``hit_rate`` of what is kept for half a minute or longer (None without lookups), ``hit_rate_with_live`` of
        everything, also of what has to be live and stands for seconds, ``lookups``, ``by_question`` with rate and
        lookups, and ``reruns``.
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


async def _counts(http: aiohttp.ClientSession, url: str) -> dict[str, tuple[bool, int, int]]:
    """Return whether answers stand long, hits and misses of every named cache and every question of pages."""
    async with http.get(f"{url}/api/v1/caches") as answer:
        document = await answer.json()
    named = [cache for cache in document["caches"] if cache["name"] != "pages"]
    return {
        cache["name"]: (cache["stands_long"], cache["hits"], cache["misses"])
        for cache in [*named, *document["questions"]]
    }


def _rates(before: Mapping[str, tuple[bool, int, int]], after: Mapping[str, tuple[bool, int, int]]) -> dict[str, Any]:
    grown = {}
    for name, (is_long, hits, misses) in after.items():
        _, old_hits, old_misses = before.get(name, (is_long, 0, 0))
        if hits + misses > old_hits + old_misses:
            grown[name] = (is_long, hits - old_hits, misses - old_misses)
    return {
        "hit_rate": _rate([pair for is_long, *pair in grown.values() if is_long]),
        "hit_rate_with_live": _rate([pair for _, *pair in grown.values()]),
        "lookups": sum(hits + misses for _, hits, misses in grown.values()),
        "by_question": {name: [_rate([pair]), sum(pair)] for name, (_, *pair) in sorted(grown.items())},
    }


def _rate(pairs: Sequence[Sequence[int]]) -> float | None:
    hits, misses = sum(pair[0] for pair in pairs), sum(pair[1] for pair in pairs)
    return round(hits / (hits + misses), 3) if hits + misses else None
