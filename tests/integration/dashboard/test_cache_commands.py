import json

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from dashboard.cli import app

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def three_results(settings, engine, monkeypatch):
    monkeypatch.setenv("HELMSIGHT_HOME", str(settings.home))
    monkeypatch.setenv("HELMSIGHT_STORE__DSN", settings.dsn)
    monkeypatch.setenv("HELMSIGHT_REDIS__URL", settings.redis_url)
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO node_cache (key, kind, status, output, created_at, expires_at)"
                " SELECT CAST(n AS text)::bytea, CASE WHEN n < 3 THEN 'transform' ELSE 'sql.query' END, 'ready', '1',"
                " now() - n * interval '1 hour', now() + interval '1 day' FROM generate_series(1, 3) n"
            )
        )


def said(*arguments, code=0) -> str:
    result = CliRunner().invoke(app, ["cache", *arguments])
    assert result.exit_code == code, (result.output, result.exception)
    return result.stdout


def test_what_is_kept_is_shown_by_kind():
    assert "transform  2" in said("show")
    found = json.loads(said("show", "--json"))
    assert found["results"] == 3
    assert found["kinds"] == {"sql.query": 1, "transform": 2}
    assert found["size_bytes"] > 0


def test_results_are_dropped_by_kind_and_age():
    assert said("forget", "--kind", "transform", "--older-than", "90m") == "1 result dropped\n"
    assert said("forget", "--kind", "sql.query") == "1 result dropped\n"
    assert said("forget") == "1 result dropped\n"
    assert said("show").startswith("0 results")
