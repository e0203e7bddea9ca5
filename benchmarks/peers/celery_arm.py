"""Celery: plain tasks, acknowledged late, retried, one line of log each; one solo worker, which is its fastest here.

Not durable beyond the broker, and no workflow: just as many tasks as our runs have nodes. The clock runs from the
first task sent to the last one done.
"""

import os
import subprocess
import sys
import time
from typing import Any

import redis
from celery import Celery
from celery.utils.log import get_task_logger
from lines import answer_each, take_answers

DONE = "peer:done"
app = Celery("celery_arm", broker=os.environ["PEER_REDIS"])
app.conf.update(
    task_acks_late=True, task_ignore_result=True, worker_prefetch_multiplier=64, broker_connection_retry_on_startup=True
)
_log = get_task_logger(__name__)
_left = redis.Redis.from_url(os.environ["PEER_REDIS"])


@app.task(autoretry_for=(OSError,), max_retries=3)
def note(number: int, last: bool) -> dict[str, Any]:  # noqa: FBT001 - arguments of a task
    """Do nothing but say so; the last one also tells the benchmark."""
    _log.info("noted")
    if last:
        _left.rpush(DONE, "1")
    return {"number": number}


def carry(question: dict[str, Any]) -> dict[str, Any]:
    """Send ``tasks`` tasks and wait for the last."""
    tasks = question["tasks"]
    began = time.perf_counter()
    for number in range(tasks):
        note.delay(number, number == tasks - 1)
    if _left.blpop([DONE], timeout=120) is None:
        raise TimeoutError("Celery did not finish")
    return {"seconds": time.perf_counter() - began, "nodes": tasks}


def main() -> None:
    """Start the worker and serve questions of the form ``{"tasks": 1000}``."""
    answers = take_answers()
    options = ["--pool=solo", "--loglevel=INFO", "--without-gossip", "--without-mingle"]
    command = [sys.executable, "-m", "celery", "-A", "celery_arm", "worker", *options]
    worker = subprocess.Popen(command, cwd=os.path.dirname(__file__))  # noqa: PTH120
    try:
        carry({"tasks": 1})
        answer_each(answers, carry)
    finally:
        worker.terminate()
        worker.wait(timeout=20)


if __name__ == "__main__":
    main()
