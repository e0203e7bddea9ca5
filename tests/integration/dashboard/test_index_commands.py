import json

import psycopg
import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from analytics.core.errors import NotFoundError
from analytics.database import keep_indexes
from dashboard.cli import app

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def lacking(settings, engine, postgres, monkeypatch):
    monkeypatch.setenv("HELMSIGHT_HOME", str(settings.home))
    monkeypatch.setenv("HELMSIGHT_STORE__DSN", settings.dsn)
    monkeypatch.setenv("HELMSIGHT_REDIS__URL", settings.redis_url)
    name = settings.dsn.rsplit("/", 1)[1]
    with psycopg.connect(postgres.superuser_dsn.replace("/postgres?", f"/{name}?"), autocommit=True) as connection:
        connection.execute("CREATE EXTENSION pg_stat_statements")
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE lacking AS SELECT g % 4000 AS tenant FROM generate_series(1, 40000) g"))
        connection.execute(text("ANALYZE lacking"))
        connection.execute(text("SELECT count(*) FROM lacking WHERE tenant = :tenant"), {"tenant": 7})


def said(*arguments) -> str:
    result = CliRunner().invoke(app, ["index", *arguments])
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout


def test_an_advised_index_is_made_and_dropped_by_its_names(engine):
    shown = said("list")
    assert "lacking:tenant" in shown
    assert "none was made from its advice" in shown
    made = json.loads(said("make", "lacking:tenant", "--json"))
    assert (made["state"], made["requested_by"]) == ("queued", "cli")
    keep_indexes(engine)
    assert f"{made['name']}  ready" in said("list")
    found = json.loads(said("list", "--json"))
    assert "lacking:tenant" not in [item["key"] for item in found["advised"]]
    assert [item["is_valid"] for item in found["made"]] == [True]
    assert said("drop", made["name"]) == f"{made['name']}: dropping\n"
    keep_indexes(engine)
    assert "none was made from its advice" in said("list")


def test_what_is_not_advised_is_not_made():
    result = CliRunner().invoke(app, ["index", "make", "lacking:other"])
    assert isinstance(result.exception, NotFoundError)
