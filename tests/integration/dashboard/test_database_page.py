"""The page of the database: for operators, with and without the extension that counts statements."""

import psycopg
import pytest
from test_pages import broke, texts

from dashboard.auth.roles import Role

pytestmark = pytest.mark.integration


def code(app) -> str:
    return "\n".join(block.value for block in app.code)


def test_an_operator_sees_what_is_missing_and_the_sql_to_get_it(open_page, empty_place):
    app = open_page(empty_place, Role.OPERATOR, "database")
    assert not broke(app), texts(app)
    assert {metric.label for metric in app.metric} >= {"Size", "Connections", "Waiting for locks"}
    assert "The extension pg\\_stat\\_statements is not installed" in texts(app)
    assert "CREATE EXTENSION pg_stat_statements;" in code(app)
    for view in ("Indexes", "Tables", "Locks", "Input and output", "Server"):
        app.segmented_control(key="view").set_value(view.lower() if view != "Input and output" else "io").run()
        assert not broke(app), (view, texts(app))


def test_statements_and_advice_are_shown_where_they_are_counted(open_page, full_place, postgres):
    name = full_place.dsn.rsplit("/", 1)[1]
    with psycopg.connect(postgres.superuser_dsn.replace("/postgres?", f"/{name}?"), autocommit=True) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
    app = open_page(full_place, Role.OPERATOR, "database", order="Calls")
    assert not broke(app), texts(app)
    shown = app.dataframe[0].value
    assert shown["Calls"].is_monotonic_decreasing
    assert app.code[-1].value
    app.segmented_control(key="view").set_value("advice").run()
    assert not broke(app), texts(app)
    assert "dearest statements" in texts(app)


def test_an_analyst_is_told_who_may_look(open_page, empty_place):
    app = open_page(empty_place, Role.ANALYST, "database")
    assert not app.metric
    assert not app.exception
