"""The client against a real Prometheus, and against servers that misbehave."""

import http.server
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from urllib.parse import parse_qs

import pytest

from analytics.core.clock import Interval
from analytics.core.errors import DependencyError, InputError
from analytics.sources.prometheus import PromClient, matcher
from dashboard.processes.servers import free_port

pytestmark = [pytest.mark.integration, pytest.mark.prometheus]
MINUTE = timedelta(minutes=1)


def test_a_value_at_a_moment_comes_with_its_labels(prom: PromClient, known_start: datetime) -> None:
    query = f"helmsight_http_requests_total{{{matcher('instance', 'a')},{matcher('status_class', '2xx')}}}"
    (sample,) = prom.instant(query, known_start + 10 * MINUTE)
    assert sample.value == 600
    assert sample.labels["instance"] == "a"
    assert prom.instant(query, known_start - timedelta(days=1)) == []


def test_numbers_that_are_none_come_as_none_and_scalars_as_samples(prom: PromClient, known_start: datetime) -> None:
    assert prom.instant("vector(0) / 0", known_start)[0].value is None
    assert prom.instant("1 / vector(0)", known_start)[0].value == float("inf")
    assert prom.instant("scalar(vector(7))", known_start)[0].value == 7


def test_a_range_is_half_open_and_longer_than_one_answer(prom: PromClient, known_start: datetime) -> None:
    seconds = timedelta(seconds=1)
    (short,) = prom.range("vector(1)", Interval(known_start, known_start + 3 * MINUTE), MINUTE)
    assert short.times.tolist() == [(known_start + place * MINUTE).timestamp() for place in range(3)]
    (long,) = prom.range("vector(1)", Interval(known_start, known_start + 25_000 * seconds), seconds)
    assert len(long.times) == 25_000
    assert (long.times[1:] - long.times[:-1] == 1).all()


def test_a_query_longer_than_an_address_may_be_is_answered(prom: PromClient, known_start: datetime) -> None:
    assert prom.instant(f"vector(1){' ' * 200_000}+ vector(1)", known_start)[0].value == 2


def test_a_query_that_is_not_one_is_the_callers_fault(prom: PromClient) -> None:
    with pytest.raises(InputError, match="refused the query"):
        prom.instant("sum(")


def test_a_prometheus_that_is_away_is_named_and_not_ready() -> None:
    with PromClient(f"http://127.0.0.1:{free_port()}") as client:
        assert not client.is_ready()
        with pytest.raises(DependencyError, match="did not answer") as caught:
            client.instant("up")
    assert caught.value.context["part"] == "prometheus"


@contextmanager
def serving(answer: Callable[[], tuple[int, bytes]]) -> Iterator[tuple[str, list[dict[str, list[str]]]]]:
    """Serve *answer* to every POST; yield the address and the bodies that came."""
    bodies: list[dict[str, list[str]]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode()))
            status, content = answer()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/prefix", bodies
        finally:
            server.shutdown()
            thread.join()


def test_warnings_are_kept_and_the_query_travels_in_the_body() -> None:
    answer = {"status": "success", "warnings": ["a store is away"], "data": {"resultType": "vector", "result": []}}
    with serving(lambda: (200, json.dumps(answer).encode())) as (url, bodies), PromClient(url) as client:
        assert client.instant("up").warnings == ("a store is away",)
        assert bodies[0]["query"] == ["up"]


@pytest.mark.parametrize(
    ("status", "content"),
    [(503, b"starting"), (500, b""), (200, b"<html>"), (200, b'{"status":"error"}'), (302, b"")],
)
def test_a_failing_server_is_asked_once(status: int, content: bytes) -> None:
    with serving(lambda: (status, content)) as (url, bodies), PromClient(url) as client:
        with pytest.raises(DependencyError):
            client.instant("up")
        assert len(bodies) == 1


def test_a_server_that_is_too_slow_is_left_after_the_timeout() -> None:
    done = threading.Event()

    def slow() -> tuple[int, bytes]:
        done.wait(10)
        return 200, b"{}"

    with serving(slow) as (url, bodies), PromClient(url, timeout=timedelta(seconds=0.3)) as client:
        started = time.monotonic()
        with pytest.raises(DependencyError, match="Timeout"):
            client.instant("up")
        assert time.monotonic() - started < 5
        assert len(bodies) == 1
        done.set()
