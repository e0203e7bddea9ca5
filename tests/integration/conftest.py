"""Real Prometheuses with known series."""

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from analytics.sources.prometheus import PromClient
from dashboard.processes.servers import free_port

MINUTE = timedelta(minutes=1)


@pytest.fixture(scope="session")
def known_start() -> datetime:
    """When the known counters start.

    Two processes answer 60 requests of the API a minute each; one starts again at 01:30. From 01:00 to 01:10 the other
    answers 6 more a minute with an error of its own. 57 of 60 take at most half a second, 0.2 s on
    average. Four jobs wait in one queue, as both processes say, and two in another. Nothing is seen from 02:00 to
    02:20.
    """
    return datetime(2026, 3, 2, tzinfo=UTC)


@pytest.fixture(scope="session")
def prometheus_url(serve: Callable[[str], str], known_start: datetime) -> str:
    """The address of a Prometheus that holds the known counters."""
    return serve(_open_metrics(known_start))


@pytest.fixture(scope="session")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], str]]:
    """A function that starts a Prometheus with the samples of an OpenMetrics text and returns its address."""
    with ExitStack() as stack:
        yield lambda text: stack.enter_context(_served(tmp_path_factory.mktemp("prometheus"), text))


@contextmanager
def _served(root: Path, text: str) -> Iterator[str]:
    program, tool = shutil.which("prometheus"), shutil.which("promtool")
    if program is None or tool is None:
        pytest.skip("the prometheus program is not installed")
    (root / "known.om").write_text(text, encoding="utf-8")
    (root / "prometheus.yml").write_text("scrape_configs: []\n", encoding="utf-8")
    subprocess.run(
        [tool, "tsdb", "create-blocks-from", "openmetrics", str(root / "known.om"), str(root / "data")],
        check=True,
        capture_output=True,
    )
    port = free_port()
    command = [
        program,
        f"--config.file={root / 'prometheus.yml'}",
        f"--storage.tsdb.path={root / 'data'}",
        "--storage.tsdb.retention.time=100y",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (root / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_until_ready(url, process, root / "log")
            yield url
        finally:
            process.terminate()


@pytest.fixture
def prom(prometheus_url: str) -> Iterator[PromClient]:
    """A client of that Prometheus."""
    with PromClient(prometheus_url) as client:
        yield client


def _wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 30
    with PromClient(url) as client:
        while not client.is_ready():
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"Prometheus did not start:\n{log.read_text(encoding='utf-8')[-2000:]}")
            time.sleep(0.1)


def _open_metrics(start: datetime) -> str:
    requests: list[str] = []
    buckets: list[str] = []
    counts: list[str] = []
    sums: list[str] = []
    waiting: list[str] = []
    errors = 0
    for minute in range(181):
        if 120 < minute < 140:
            continue
        stamp = int((start + minute * MINUTE).timestamp())
        errors += 6 if 60 < minute <= 70 else 0
        since_restart = 60 * (minute if minute < 90 else minute - 90)
        for instance, value in (("a", 60 * minute), ("b", since_restart)):
            labels = f'group="api",method="GET",status_class="2xx",instance="{instance}"'
            requests.append(f"helmsight_http_requests_total{{{labels}}} {value} {stamp}")
        labels = 'group="api",method="GET",status_class="5xx",instance="a"'
        requests.append(f"helmsight_http_requests_total{{{labels}}} {errors} {stamp}")
        for bound, share in (("0.5", 0.95), ("2.0", 1.0), ("+Inf", 1.0)):
            value = 60 * minute * share
            name = "helmsight_http_request_duration_seconds_bucket"
            buckets.append(f'{name}{{group="api",le="{bound}"}} {value:g} {stamp}')
        counts.append(f'helmsight_http_request_duration_seconds_count{{group="api"}} {60 * minute} {stamp}')
        sums.append(f'helmsight_http_request_duration_seconds_sum{{group="api"}} {12 * minute} {stamp}')
        for instance, queue, value in (("a", "io", 4), ("b", "io", 4), ("a", "cpu", 2)):
            waiting.append(f'helmsight_queue_depth{{queue="{queue}",instance="{instance}"}} {value} {stamp}')
    return "\n".join(
        [
            "# TYPE helmsight_http_requests counter",
            *sorted(requests, key=lambda line: line.split("}")[0]),
            "# TYPE helmsight_http_request_duration_seconds histogram",
            *sorted(buckets, key=lambda line: line.split("}")[0]),
            *counts,
            *sums,
            "# TYPE helmsight_queue_depth gauge",
            *sorted(waiting, key=lambda line: line.split("}")[0]),
            "# EOF",
            "",
        ]
    )
