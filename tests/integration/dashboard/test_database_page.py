"""The page of the database: for operators, with and without the extension that counts statements."""

from collections.abc import Iterator

import psycopg
import pytest
from sqlalchemy import text
from test_pages import broke, texts

from analytics.core.errors import PolicyError
from analytics.core.settings import Settings
from analytics.database import keep_indexes
from analytics.store.engine import make_engine, session_scope
from dashboard import data
from dashboard.auth.roles import Role
from dashboard.context import get_context
from dashboard.database_actions import drop_index, make_index

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


@pytest.fixture
def lacking_place(full_place, postgres) -> Iterator[Settings]:
    """The place with history, where statements are counted and a table lacks an index."""
    name = full_place.dsn.rsplit("/", 1)[1]
    with psycopg.connect(postgres.superuser_dsn.replace("/postgres?", f"/{name}?"), autocommit=True) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
    engine = make_engine(full_place, role="test")
    with session_scope(engine) as session:
        session.execute(
            text("CREATE TABLE lacking AS SELECT g AS id, g % 4000 AS tenant FROM generate_series(1, 40000) g")
        )
        session.execute(text("ANALYZE lacking"))
        for _ in range(200):
            session.execute(text("SELECT count(*) FROM lacking WHERE tenant = :tenant"), {"tenant": 7})
    yield full_place
    with session_scope(engine) as session:
        session.execute(text("DROP TABLE lacking"))
        session.execute(text("DELETE FROM advised_index"))
    engine.dispose()


def button(app, label: str):
    return next((item for item in app.button if item.label == label), None)


def test_an_administrator_has_an_advised_index_made_sees_its_use_and_drops_it(open_page, lacking_place):
    app = open_page(lacking_place, Role.ADMIN, "database", view="Index advice")
    assert not broke(app), texts(app)
    make = next(item for item in app.button if item.key == "database.make.lacking:tenant")
    make.click().run()
    assert not broke(app), texts(app)
    assert "Asked for by admin" in texts(app)
    assert not [item for item in app.button if item.key == "database.make.lacking:tenant"]
    engine = get_context().engine
    assert keep_indexes(engine) == 1
    data.forget_all()
    app.run()
    assert app.dataframe[-1].value["State"].tolist() == ["In place"]
    assert "Used 0 times since" in texts(app)
    button(app, "Drop it").click().run()
    assert not broke(app), texts(app)
    assert keep_indexes(engine) == 1
    data.forget_all()
    app.run()
    assert "None yet" in texts(app)
    with session_scope(engine) as session:
        assert session.scalar(text("SELECT count(*) FROM pg_class WHERE relname LIKE 'hx\\_%'")) == 0


def test_an_operator_watches_and_cannot_whatever_they_send(open_page, lacking_place):
    app = open_page(lacking_place, Role.OPERATOR, "database", view="Index advice")
    assert "Administrators can have it made here" in texts(app)
    assert not [item for item in app.button if str(item.key).startswith("database.")]
    for act in (lambda: make_index("lacking:tenant"), lambda: drop_index("hx_any")):
        with pytest.raises(PolicyError, match="may not"):
            act()
    with session_scope(get_context().engine) as session:
        assert session.scalar(text("SELECT count(*) FROM advised_index")) == 0


def test_an_index_that_failed_says_why_and_can_be_tried_again(open_page, lacking_place):
    app = open_page(lacking_place, Role.ADMIN, "database", view="Index advice")
    next(item for item in app.button if item.key == "database.make.lacking:tenant").click().run()
    engine = get_context().engine
    with session_scope(engine) as session:
        session.execute(text("UPDATE advised_index SET state = 'failed', due_at = NULL, error = 'The disk is full.'"))
    data.forget_all()
    app.run()
    assert not broke(app), texts(app)
    assert "The disk is full." in texts(app)
    button(app, "Try again").click().run()
    with session_scope(engine) as session:
        assert session.scalar(text("SELECT state FROM advised_index")) == "queued"
