"""Short leases, the third-party kinds, a door."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from runs_kit import LEASE
from sqlalchemy import Engine

from analytics.core.settings import Settings, WorkerSettings
from analytics.live.client import connect
from worker.enqueue import Door
from worker.workflow import definition, kinds

PLUGIN = Path(__file__).parent / "plugin"


@pytest.fixture(autouse=True)
def third_party_kinds(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(PLUGIN))
    monkeypatch.setenv("PYTHONPATH", str(PLUGIN))
    kinds.registry.cache_clear()
    definition.config_validator.cache_clear()
    yield
    kinds.registry.cache_clear()
    definition.config_validator.cache_clear()
    sys.modules.pop("helmsight_test_kinds", None)


@pytest.fixture
def quick(settings: Settings) -> Settings:
    return settings.model_copy(update={"worker": WorkerSettings(lease=LEASE, http_allow_private=True)})


@pytest.fixture
def door(engine: Engine, quick: Settings) -> Iterator[Door]:
    client = connect(quick)
    yield Door(engine, client, quick)
    client.close()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "executions.log"


@pytest.fixture
def run_worker_process(quick: Settings):
    """Starts a real run worker, as the supervisor does; kills it at the end if it still lives."""

    @contextmanager
    def start() -> Iterator[subprocess.Popen[bytes]]:
        env = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(PLUGIN),
            "HELMSIGHT_STORE__DSN": quick.dsn,
            "HELMSIGHT_REDIS__URL": quick.redis_url,
            "HELMSIGHT_HOME": str(quick.home),
            "HELMSIGHT_WORKER__LEASE": f"{quick.worker.lease.total_seconds()}s",
        }
        code = "import worker.main as w, analytics.core.settings as s; w.main('run', s.load_settings())"
        process = subprocess.Popen([sys.executable, "-c", code], env=env)
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()

    return start
