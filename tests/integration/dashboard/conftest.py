"""Pages run in process, as a chosen viewer, on a database of their own."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import psycopg
import pytest
import redis
from pydantic import SecretStr
from sqlalchemy import create_engine
from streamlit.components.v2 import manifest_scanner
from streamlit.testing.v1 import AppTest

from analytics.core.ids import new_id
from analytics.core.settings import RedisSettings, Settings, StoreSettings
from analytics.demo import seed
from analytics.live.client import connect
from analytics.store.engine import driver_url, make_engine, session_scope
from dashboard import data
from dashboard.auth.accounts import create_user
from dashboard.auth.roles import Role
from dashboard.auth.viewer import Viewer, set_test_viewer
from dashboard.context import AppContext, build_context, set_context
from dashboard.processes.servers import EmbeddedPostgres, EmbeddedValkey, free_port
from dashboard.reading import MEMORY
from worker.enqueue import Door

MAIN = str(Path(__file__).parents[3] / "dashboard" / "main.py")
TIMEOUT_S = 30

Open = Callable[..., AppTest]


def _database(postgres: EmbeddedPostgres, name: str, *, template: str) -> str:
    with psycopg.connect(postgres.dsn_of("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
    return postgres.dsn_of(name)


def _drop(postgres: EmbeddedPostgres, name: str) -> None:
    with psycopg.connect(postgres.superuser_dsn, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def _settings(dsn: str, redis_url: str, home: Path) -> Settings:
    return Settings(
        home=home,
        store=StoreSettings(dsn=SecretStr(dsn)),
        redis=RedisSettings(url=SecretStr(redis_url), timeout=timedelta(seconds=1)),
    )


@pytest.fixture(scope="session")
def empty_template(postgres: EmbeddedPostgres) -> str:
    """The name of a database with accounts and the shipped workflows."""
    name = "template_pages_empty"
    engine = create_engine(driver_url(_database(postgres, name, template="template_helmsight")))
    with session_scope(engine) as session:
        for role in Role:
            create_user(
                session,
                email=f"{role.label}@example.org",
                name=role.label.title(),
                role=role,
                password="a long password",
            )
    Door(engine, None).ensure_builtins()
    engine.dispose()
    return name


@pytest.fixture(scope="session")
def full_template(postgres: EmbeddedPostgres, empty_template: str) -> str:
    """The name of a database with thirty days of demo history besides."""
    name = "template_pages_full"
    engine = create_engine(driver_url(_database(postgres, name, template=empty_template)))
    seed(engine, None, now=datetime.now(UTC))
    engine.dispose()
    return name


@pytest.fixture(scope="module")
def empty_place(
    postgres: EmbeddedPostgres, valkey: EmbeddedValkey, tmp_path_factory, empty_template: str
) -> Iterator[Settings]:
    """An installation in which nothing happened yet."""
    name = f"pages_empty_{new_id().hex}"
    dsn = _database(postgres, name, template=empty_template)
    yield _settings(dsn, valkey.url.replace("/0", "/5"), tmp_path_factory.mktemp("home"))
    _drop(postgres, name)


@pytest.fixture(scope="module")
def full_place(
    postgres: EmbeddedPostgres, valkey: EmbeddedValkey, tmp_path_factory, full_template: str
) -> Iterator[Settings]:
    """An installation with thirty days of demo history."""
    name = f"pages_full_{new_id().hex}"
    dsn = _database(postgres, name, template=full_template)
    settings = _settings(dsn, valkey.url.replace("/0", "/6"), tmp_path_factory.mktemp("home"))
    engine = make_engine(settings, role="test")
    with connect(settings) as client:
        client.flushdb()
        seed(engine, client, now=datetime.now(UTC))  # what is live in Redis; the rows are there
    engine.dispose()
    yield settings
    _drop(postgres, name)


@pytest.fixture(scope="module")
def away_place(tmp_path_factory) -> Settings:
    """An installation whose PostgreSQL and Redis do not answer."""
    return _settings(
        f"postgresql://nobody@127.0.0.1:{free_port()}/none",
        f"redis://127.0.0.1:{free_port()}/0",
        tmp_path_factory.mktemp("home"),
    )


@pytest.fixture(scope="session")
def components_found_once() -> Iterator[None]:
    """Let Streamlit look for components among the installed packages once, as its server does, not at each drawing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifest_scanner, "scan_component_manifests", cache(manifest_scanner.scan_component_manifests))
        yield


@pytest.fixture
def open_page(components_found_once: None) -> Iterator[Open]:
    """Return a function that opens a page of a place as a role, and draws it once."""
    with ExitStack() as stack:
        contexts: list[AppContext] = []

        def open_at(place: Settings, role: Role, page: str = "overview", **params: object) -> AppTest:
            context = build_context(place)
            contexts.append(context)
            set_context(context)
            data.forget_all()
            viewer = Viewer(email=f"{role.label}@example.org", name=role.label.title(), role=role)
            stack.enter_context(set_test_viewer(viewer))
            app = AppTest.from_file(MAIN, default_timeout=TIMEOUT_S)
            if page != "overview":
                app.switch_page(f"app_pages/{page}.py")
            for name, value in params.items():
                app.query_params[name] = str(value)
            return app.run()

        yield open_at
        set_context(None)
        MEMORY.clear()
        for context in contexts:
            context.close()


@pytest.fixture
def page_redis(full_place: Settings) -> Iterator[redis.Redis]:
    """The Redis of the place with history."""
    with connect(full_place) as client:
        yield client
