"""Servers and workers of their own that may be killed, with a lease of two seconds and kinds that leave marks."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.effects import install
from benchmarks.stand import Stand, Worker, forget_bench_kinds

LEASE_S = 2


@pytest.fixture(scope="package")
def stand() -> Iterator[Stand]:
    with tempfile.TemporaryDirectory(prefix="helmsight-faults-", ignore_cleanup_errors=True) as name:
        environment = {"HELMSIGHT_WORKER__LEASE": f"{LEASE_S}s"}
        # Without fsync what was committed still survives the death of the server, only not that of the machine.
        with Stand(Path(name), environment=environment, server_settings={"fsync": "off"}) as stand:
            install(stand)
            yield stand
        forget_bench_kinds()


@pytest.fixture
def workers(stand: Stand):
    """Gives so many live run workers; those that an earlier test left are taken first."""

    def live(count: int) -> list[Worker]:
        found = [worker for worker in stand.workers.values() if worker.kind == "run" and worker.process.poll() is None]
        for extra in found[count:]:
            stand.stop_worker(extra)
        new = [stand.start_worker("run") for _ in range(count - len(found))]
        stand.wait_ready(*new)
        return [*found[:count], *new]

    return live


@pytest.fixture
def model(stand: Stand) -> Iterator[Worker]:
    """A live model worker."""
    found = stand.start_worker("model")
    stand.wait_ready(found)
    yield found
    if found.name in stand.workers:
        stand.stop_worker(found)
