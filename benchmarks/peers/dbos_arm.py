"""DBOS: workflows of ten durable steps, many at once on one event loop, called directly.

Each step may be retried and writes one line of log; DBOS has no cache of results. Called directly because that is its
fastest way: its queues ask the database once a second.
"""

import asyncio
import os
import threading
import time
from typing import Any

from dbos import DBOS
from lines import answer_each, take_answers


@DBOS.step(retries_allowed=True, max_attempts=4)
async def note(number: int, given: Any) -> dict[str, Any]:
    """Do nothing but say so."""
    del given
    DBOS.logger.info("noted")
    return {"number": number}


@DBOS.workflow()
async def chain(number: int, nodes: int) -> Any:
    """Carry *nodes* steps one after the other, each given what the one before returned."""
    given = None
    for _ in range(nodes):
        given = await note(number, given)
    return given


async def carry(runs: int, at_once: int, nodes: int) -> float:
    """Carry *runs* workflows, *at_once* at a time; return the seconds."""
    slots = asyncio.Semaphore(at_once)

    async def one(number: int) -> None:
        async with slots:
            await chain(number, nodes)

    began = time.perf_counter()
    await asyncio.gather(*(one(number) for number in range(runs)))
    return time.perf_counter() - began


def main() -> None:
    """Serve questions of the form ``{"runs": 100, "at_once": 50, "nodes": 10}``."""
    answers = take_answers()
    DBOS(config={"name": "peer", "system_database_url": os.environ["PEER_DSN"], "log_level": "INFO"})
    DBOS.launch()
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()

    def work(question: dict[str, Any]) -> dict[str, Any]:
        seconds = asyncio.run_coroutine_threadsafe(carry(**question), loop).result()
        return {"seconds": seconds, "nodes": question["runs"] * question["nodes"]}

    answer_each(answers, work)
    os._exit(0)


if __name__ == "__main__":
    main()
