"""Prefect: flows of ten tasks with retries and a line of log each, one after the other, on its server.

The server keeps its state in the same PostgreSQL as everybody; the flows run in this process and talk to it by HTTP.
"""

import os
import subprocess
import sys
import time
import urllib.request
from typing import Any
from urllib.error import URLError

from lines import answer_each, take_answers
from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE


@task(retries=3, cache_policy=NO_CACHE)
def note(number: int, given: Any) -> dict[str, Any]:
    """Do nothing but say so."""
    del given
    get_run_logger().info("noted")
    return {"number": number}


@flow
def chain(number: int, nodes: int) -> Any:
    """Carry *nodes* tasks one after the other, each given what the one before returned."""
    given = None
    for _ in range(nodes):
        given = note(number, given)
    return given


def carry(question: dict[str, Any]) -> dict[str, Any]:
    """Carry ``runs`` flows of ``nodes`` tasks."""
    began = time.perf_counter()
    for number in range(question["runs"]):
        chain(number, question["nodes"])
    return {"seconds": time.perf_counter() - began, "nodes": question["runs"] * question["nodes"]}


def main() -> None:
    """Start the server and serve questions of the form ``{"runs": 3, "nodes": 10}``."""
    answers = take_answers()
    port = os.environ["PEER_PORT"]
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", port]
    server = subprocess.Popen(command)
    try:
        wait_until_healthy(server, f"http://127.0.0.1:{port}/api/health")
        carry({"runs": 1, "nodes": 1})
        answer_each(answers, carry)
    finally:
        server.terminate()
        server.wait(timeout=30)


def wait_until_healthy(server: subprocess.Popen[bytes], url: str) -> None:
    """Wait until the server answers."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise RuntimeError("the server of Prefect ended")
        try:
            with urllib.request.urlopen(url, timeout=2):  # noqa: S310 - our own address
                return
        except (URLError, OSError):
            time.sleep(0.2)
    raise TimeoutError("the server of Prefect did not answer")


if __name__ == "__main__":
    main()
