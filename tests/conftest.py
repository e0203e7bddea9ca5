"""Fixtures shared by all tests: real servers from the wheels, one database a test."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
import redis
from pydantic import SecretStr
from sqlalchemy import Engine, create_engine
from sqlalchemy.orm import Session
from xdist.scheduler import LoadFileScheduling

from analytics.core.ids import new_id
from analytics.core.settings import RedisSettings, Settings, StoreSettings
from analytics.store.engine import driver_url, make_engine
from analytics.store.migrate import migrate
from dashboard.processes.servers import EmbeddedPostgres, EmbeddedValkey, free_port, running

TESTS = Path(__file__).parent
ACCEPTANCE_TESTS = TESTS / "acceptance"
BROWSER_TESTS = TESTS / "browser"
_FAST_NOT_SAFE = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "max_wal_size": "256MB",
    "scram_iterations": "1",
}
_MEMORY = Path("/dev/shm")  # noqa: S108 - a directory of our own below it
_ROOM = 4 << 30


@pytest.fixture(scope="session")
def server_root() -> Iterator[Path]:
    """A directory that every account can enter, because PostgreSQL does not run as root.

    It lies in memory where there is room: making and dropping the 900 files of a database, again and again, takes ext4
    twenty times as long, because it passes by what it deleted lately.
    """
    _forget_killed_runs()
    place = _MEMORY if _holds_servers(_MEMORY) else None
    prefix = f"helmsight-test-{os.getpid()}-"
    with tempfile.TemporaryDirectory(prefix=prefix, dir=place, ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        yield Path(name)


def _forget_killed_runs() -> None:
    """Give back the memory of runs that were killed; a PostgreSQL that is left of one ends when its files are gone."""
    for left in _MEMORY.glob("helmsight-test-*-*"):
        if not psutil.pid_exists(int(left.name.split("-")[2])):
            shutil.rmtree(left, ignore_errors=True)


def _holds_servers(place: Path) -> bool:
    return (
        place.is_dir()
        and os.access(place, os.W_OK)
        and not os.statvfs(place).f_flag & os.ST_NOEXEC
        and min(shutil.disk_usage(place).free, psutil.virtual_memory().available) > _ROOM
    )


@pytest.fixture(scope="session")
def postgres(server_root: Path) -> Iterator[EmbeddedPostgres]:
    """A running PostgreSQL with a migrated database ``template_helmsight``."""
    server = EmbeddedPostgres(root=server_root / "postgres", port=free_port(), settings=_FAST_NOT_SAFE)
    with running(server, log=server_root / "postgres.log"):
        with psycopg.connect(server.dsn_of("postgres"), autocommit=True) as connection:
            connection.execute("CREATE DATABASE template_helmsight")
        engine = create_engine(driver_url(server.dsn_of("template_helmsight")))
        migrate(engine)
        engine.dispose()
        yield server


@pytest.fixture(scope="session")
def valkey(server_root: Path) -> Iterator[EmbeddedValkey]:
    """A running Valkey."""
    server = EmbeddedValkey(root=server_root / "valkey", port=free_port())
    with running(server, log=server_root / "valkey.log"):
        yield server


@pytest.fixture
def empty_dsn(postgres: EmbeddedPostgres) -> Iterator[str]:
    """The address of a database without tables."""
    yield from _database(postgres, template="template0")


@pytest.fixture
def dsn(postgres: EmbeddedPostgres) -> Iterator[str]:
    """The address of a migrated database of this test's own."""
    yield from _database(postgres, template="template_helmsight")


def _database(server: EmbeddedPostgres, *, template: str) -> Iterator[str]:
    name = f"test_{new_id().hex}"
    with psycopg.connect(server.dsn_of("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
        yield server.dsn_of(name)
    # As superuser, because the server's own housekeeping may be at work in it.
    with psycopg.connect(server.superuser_dsn, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@pytest.fixture
def redis_url(valkey: EmbeddedValkey) -> str:
    """The address of an empty Redis."""
    with redis.Redis.from_url(valkey.url) as client:
        client.flushall()
    return valkey.url


@pytest.fixture
def settings(dsn: str, redis_url: str, tmp_path: Path) -> Settings:
    """Settings that name this test's own database and Redis."""
    return Settings(
        home=tmp_path / "home",
        store=StoreSettings(dsn=SecretStr(dsn)),
        redis=RedisSettings(url=SecretStr(redis_url)),
    )


@pytest.fixture
def engine(settings: Settings) -> Iterator[Engine]:
    """An engine on this test's own database."""
    engine = make_engine(settings, role="test")
    yield engine
    engine.dispose()


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    """A session on this test's own database; the test decides what to commit."""
    with Session(engine, expire_on_commit=False) as session:
        yield session


@pytest.fixture(autouse=True)
def no_helmsight_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the person who runs the tests reaches a test."""
    for name in list(os.environ):
        if name.startswith("HELMSIGHT_"):
            monkeypatch.delenv(name)


_NEVER_SKIPPED_IN_CI = ("integration", "acceptance", "browser", "prometheus")


_WHOLE = (ACCEPTANCE_TESTS, BROWSER_TESTS)
"""Folders whose tests share a started product."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put what starts the whole product last; first where several processes share the tests.

    There the longest begins at once, and short files fill up what is left of each process at the end.
    """
    is_shared = hasattr(config, "workerinput")
    items.sort(key=lambda item: [item.path.is_relative_to(folder) for folder in reversed(_WHOLE)], reverse=is_shared)


class _ByFile(LoadFileScheduling):
    """Give each file of tests to one process, and all files of tests in a browser to the same: they share a product."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return BROWSER_TESTS.name if (TESTS.parent / file).is_relative_to(BROWSER_TESTS) else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> _ByFile | None:
    """Share tests by file as above."""
    return _ByFile(config, log) if config.getvalue("dist") == "loadfile" else None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Fail a skipped test that needs a server, a browser or a program when CI runs: there, none may be missing."""
    report = yield
    strict = os.environ.get("CI") == "true" and any(item.get_closest_marker(name) for name in _NEVER_SKIPPED_IN_CI)
    if strict and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, which CI does not accept: {report.longrepr}"
    return report
