"""A dashboard whose parts are away or wrong: it starts, says so, and recovers by itself."""

import time
from pathlib import Path

import httpx
import pytest
from served import METRICS_TOKEN, PASSWORD, dashboard_process
from sqlalchemy import create_engine

from analytics.store.engine import driver_url
from analytics.store.migrate import migrate
from dashboard.processes.servers import EmbeddedValkey, free_port

pytestmark = pytest.mark.integration


def test_without_postgres_and_redis_it_starts_and_says_what_is_away(tmp_path: Path) -> None:
    dsn = f"postgresql://helmsight:secret@127.0.0.1:{free_port()}/helmsight"
    with (
        dashboard_process(tmp_path, dsn=dsn, redis_url=f"redis://127.0.0.1:{free_port()}/0") as web,
        web.client() as client,
    ):
        health = client.get("/healthz")
        assert (health.status_code, health.json()["status"]) == (200, "degraded")
        assert client.get("/login").status_code == 200
        answer = client.post("/login", data={"email": "viewer@example.org", "password": PASSWORD})
        assert answer.status_code == 503
        assert "Helmsight cannot reach its database." in answer.text
        page = client.get("/", headers={"Cookie": "helmsight_session=anything"})
        assert page.status_code == 503
        assert 'http-equiv="refresh"' in page.text
        route = client.get("/api/v1/me", headers={"Authorization": "Bearer helm_anything"})
        assert (route.status_code, route.json()["code"], route.json()["retryable"]) == (503, "dependency", True)
        metrics = client.get("/metrics", headers={"Authorization": f"Bearer {METRICS_TOKEN}"})
        assert metrics.status_code == 200
        assert "secret" not in web.log.read_text()


def test_an_empty_database_is_said_and_a_migration_is_noticed_without_a_restart(
    tmp_path: Path, empty_dsn: str, valkey: EmbeddedValkey
) -> None:
    with dashboard_process(tmp_path, dsn=empty_dsn, redis_url=valkey.url) as web, web.client() as client:
        health = client.get("/healthz")
        assert (health.status_code, health.json()["status"]) == (503, "wrong_schema")
        page = client.get("/")
        assert page.status_code == 503
        assert "helmsight migrate" in page.text
        route = client.get("/api/v1/me", headers={"Accept": "application/json"})
        assert (route.status_code, route.json()["code"]) == (503, "wrong_schema")
        engine = create_engine(driver_url(empty_dsn))
        migrate(engine)
        engine.dispose()
        deadline = time.monotonic() + 30
        while client.get("/healthz").status_code != 200 and time.monotonic() < deadline:
            time.sleep(0.2)
        assert client.get("/").headers["location"] == "/login"


def test_settings_that_cannot_be_used_end_the_start_with_their_name(tmp_path: Path) -> None:
    with dashboard_process(
        tmp_path,
        dsn="mysql://somewhere/else",
        redis_url="redis://127.0.0.1:1/0",
        wait=False,
    ) as web:
        deadline = time.monotonic() + 60
        while "HELMSIGHT_STORE__DSN" not in web.log.read_text() and time.monotonic() < deadline:
            time.sleep(0.2)
        assert "HELMSIGHT_STORE__DSN names mysql" in web.log.read_text()
        with pytest.raises(httpx.ConnectError):
            httpx.get(web.url)
