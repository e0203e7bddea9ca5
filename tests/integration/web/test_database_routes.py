"""The database through a real server: for operators, and honest about what is missing."""

import psycopg
import pytest
from served import Dashboard

pytestmark = pytest.mark.integration
API = "/api/v1/database"


def test_operators_read_every_part_and_others_none(web: Dashboard, people: dict[str, str]):
    with web.as_program(people["operator"]) as operator, web.as_program(people["analyst"]) as analyst:
        for part in ("", "/findings", "/settings", "/indexes", "/tables?limit=3", "/activity", "/io"):
            answer = operator.get(API + part)
            assert answer.status_code == 200, (part, answer.text)
            assert analyst.get(API + part).status_code == 403
        assert len(operator.get(f"{API}/tables?limit=3").json()["value"]) == 3
        statements = operator.get(f"{API}/statements?order=mean").json()
        assert statements["value"] is None
        assert statements["missing"][0]["sql"] == "CREATE EXTENSION pg_stat_statements;"
        assert operator.get(f"{API}/statements?order=magic").status_code == 422
        settings = operator.get(f"{API}/settings")
        assert {item["name"] for item in settings.json()["value"]} >= {"max_connections", "track_activity_query_size"}


def test_administrators_have_advised_indexes_made_and_dropped_and_operators_watch(
    web: Dashboard, people: dict[str, str], web_dsn: str
):
    made = f"{API}/made-indexes"
    with web.as_program(people["operator"]) as operator, web.as_program(people["admin"]) as admin:
        assert operator.get(made).json()["value"] == []
        assert operator.post(made, json={"advice": "run:status"}).status_code == 403
        assert operator.delete(f"{made}/hx_any").status_code == 403
        lacking = admin.post(made, json={"advice": "run:status"})
        assert (lacking.status_code, "not installed" in lacking.text) == (422, True)
        assert admin.post(made, json={"advice": "x", "sql": "DROP TABLE run"}).status_code == 422
        assert admin.delete(f"{made}/pk_run").status_code == 404
        with psycopg.connect(web_dsn, autocommit=True) as connection:
            connection.execute(
                "INSERT INTO advised_index"
                " (name, advice, schema_name, table_name, columns, reason, state, requested_by)"
                " VALUES ('hx_run_status', 'run:status', 'public', 'run', '{status}', 'Read whole.', 'ready', 'x')"
            )
        try:
            [shown] = operator.get(made).json()["value"]
            assert (shown["name"], shown["state"], shown["is_valid"]) == ("hx_run_status", "ready", None)
            answer = admin.delete(f"{made}/hx_run_status")
            assert (answer.status_code, answer.json()["state"]) == (202, "dropping")
            assert admin.post(made, json={"advice": "run:status"}).status_code == 409
        finally:
            with psycopg.connect(web_dsn, autocommit=True) as connection:
                connection.execute("DELETE FROM advised_index")
