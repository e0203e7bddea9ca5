"""RQ: one job for each node, chained by ``depends_on``, and ten naps in one job, both in a ``SimpleWorker``.

Runs in our own environment, with the RQ that we use. Not durable beyond Redis. JSON, retries and results are on.
"""

import logging
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import redis
from lines import answer_each, take_answers
from rq import Queue, Retry

DONE = "peer:rq-done"
HERE = Path(__file__).parent


def note(number: int, last: bool) -> dict[str, Any]:  # noqa: FBT001 - arguments of a job
    """Do nothing but say so; the last one also tells the benchmark."""
    logging.getLogger("rq.worker").info("noted")
    if last:
        client().rpush(DONE, "1")
    return {"number": number}


def naps(count: int, seconds: float, last: bool) -> int:  # noqa: FBT001 - arguments of a job
    """Sleep *count* times, as a run of so many nodes would in a worker that does one thing at a time."""
    for _ in range(count):
        time.sleep(seconds)
    if last:
        client().rpush(DONE, "1")
    return count


def client() -> redis.Redis:
    """Return a connection of its own."""
    return redis.Redis.from_url(os.environ["PEER_REDIS"])


def carry(question: dict[str, Any]) -> dict[str, Any]:
    """Carry ``runs`` chains of ``nodes`` jobs, or ``runs`` jobs of ``naps`` naps."""
    connection = client()
    queue = Queue("peer", connection=connection, serializer="json")
    runs = question["runs"]
    began = time.perf_counter()
    if "naps" in question:
        for number in range(runs):
            queue.enqueue("rq_arm.naps", question["naps"], question["nap_s"], number == runs - 1, retry=Retry(max=3))
    else:
        for number in range(runs):
            before = None
            for place in range(question["nodes"]):
                last = number == runs - 1 and place == question["nodes"] - 1
                before = queue.enqueue("rq_arm.note", number, last, depends_on=before, retry=Retry(max=3))
    if connection.blpop([DONE], timeout=120) is None:
        raise TimeoutError("RQ did not finish")
    return {"seconds": time.perf_counter() - began, "runs": runs, "nodes": runs * question.get("nodes", 1)}


def main() -> None:
    """Start the worker and serve questions."""
    answers = take_answers()
    command = [
        *(sys.executable, "-m", "rq.cli", "worker", "peer", "--worker-class", "rq.SimpleWorker"),
        *("--serializer", "json", "--url", os.environ["PEER_REDIS"], "--path", str(HERE)),
    ]
    worker = subprocess.Popen(command, cwd=HERE)
    try:
        answer_each(answers, carry)
    finally:
        worker.terminate()
        worker.wait(timeout=20)


if __name__ == "__main__":
    main()
