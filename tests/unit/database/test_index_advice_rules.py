"""Index advice: what conditions of plans say, which index they need, and when none."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from analytics.database.activity import blocked_by
from analytics.database.advice import Column, Table, Use, index_cost, judge, together
from analytics.database.making import beyond_doubt, made_name
from analytics.database.model import AdviceReport, IndexAdvice
from analytics.database.plans import Condition, Scan, conditions_of, scans


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("(b.tenant = $1)", [("tenant", "equal")]),
        ("((tenant = $1) AND (at >= $2) AND (at < $3))", [("tenant", "equal"), ("at", "range"), ("at", "range")]),
        ("((b.kind)::text = ANY (($1)::text[]))", [("kind", "any")]),
        ("((ended IS NULL) AND (note ~~ $1))", [("ended", "null")]),
        ("((\"User Name\" = 'a AND (b'::text) AND (x = 1))", [("User Name", "equal"), ("x", "equal")]),
        ("((a = $1) AND ((b = $2) AND (c > $3)))", [("a", "equal"), ("b", "equal"), ("c", "range")]),
        ("((a = $1) OR (b = $2))", []),
        ("((a = $1) AND ((b = $2) OR (c = $3)))", [("a", "equal")]),
        ("(lower(email) = $1)", []),
        ("(b.a = b.c)", []),
        ("(a <> $1)", []),
        ("(a = ALL ($1))", []),
        ("is_read", []),
        ("(a = 'unclosed", [("a", "equal")]),
    ],
)
def test_conditions_on_single_columns_are_read(text, found):
    assert [(item.column, item.kind) for item in conditions_of(text, alias="b")] == found


def node(kind="Seq Scan", **more):
    return {"Node Type": kind, "Total Cost": 100.0, "Plan Rows": 5.0, **more}


def test_whole_tables_are_found_wherever_they_stand_in_a_plan():
    scan = node(**{"Relation Name": "big", "Schema": "shop", "Alias": "b", "Filter": "(b.a = $1)"})
    unfiltered = node(**{"Relation Name": "small"})
    outer = node("Index Scan", **{"Parent Relationship": "Outer", "Plan Rows": 3.0})
    inner = {**scan, "Parent Relationship": "Inner"}
    loop = node("Nested Loop", Plans=[outer, inner], **{"Total Cost": 600.0})
    [found] = scans(node("Aggregate", Plans=[loop, unfiltered], **{"Total Cost": 600.0}))
    assert (found.schema, found.table, found.loops, found.cost, found.share) == ("shop", "big", 3.0, 300.0, 0.5)
    kept = node("Materialize", Plans=[{**scan, "Parent Relationship": "Outer"}], **{"Parent Relationship": "Inner"})
    [once] = scans(node("Nested Loop", Plans=[outer, kept]))
    assert once.loops == 1


TABLE = Table(
    schema="public",
    name="big",
    rows=1_000_000,
    pages=20_000,
    writes=5,
    columns={
        "tenant": Column(500, 0, 4),
        "kind": Column(7, 0, 3),
        "id": Column(1_000_000, 0, 8),
        "at": Column(900_000, 0, 8),
        "gone": Column(2, 0.999, 8),
    },
    indexes=[["id"]],
    parts=[],
)


def use(*conditions, rows=1.0, table=TABLE, statement="1"):
    made = [Condition(*item) for item in conditions]
    scan = Scan(table.schema, table.name, made, 20_000.0, 0.8, rows, 1.0)
    return Use(statement, calls=10, total_s=100.0, scan=scan)


def test_the_most_telling_column_comes_first_and_a_range_last():
    advice = judge(use(("at", "range"), ("kind", "equal"), ("at", "range"), ("tenant", "equal")), TABLE)
    assert isinstance(advice, IndexAdvice)
    assert list(advice.columns) == ["tenant", "kind", "at"]
    assert advice.sql == (
        'CREATE INDEX CONCURRENTLY "ix_big_tenant_kind_at" ON "public"."big" ("tenant", "kind", "at");'
    )
    assert 70 < advice.saves_s < 80
    assert advice.cost_after < advice.cost_before / 100


def test_a_column_that_tells_rows_apart_needs_no_other():
    table = replace(TABLE, indexes=[])
    advice = judge(use(("id", "equal"), ("kind", "equal"), ("at", "range")), table)
    assert isinstance(advice, IndexAdvice)
    assert list(advice.columns) == ["id"]


def test_rows_that_are_seldom_empty_are_found_by_being_so():
    assert judge(use(("gone", "range")), TABLE) == "unselective"
    assert judge(use(("gone", "null"), rows=999_000), TABLE) == "unselective"


@pytest.mark.parametrize(
    ("given", "table", "why"),
    [
        (use(("tenant", "equal")), replace(TABLE, rows=9_999), "small"),
        (use(), TABLE, "unselective"),
        (use(("nowhere", "equal")), TABLE, "unselective"),
        (use(("kind", "equal"), rows=140_000), TABLE, "unselective"),
        (use(("id", "equal")), TABLE, "served"),
        (use(("tenant", "equal"), ("kind", "equal")), replace(TABLE, indexes=[["kind", "tenant", "at"]]), "served"),
        (use(("tenant", "equal"), ("at", "range")), replace(TABLE, indexes=[["tenant", "at"]]), "served"),
    ],
)
def test_no_index_is_advised_that_would_not_help_or_exists(given, table, why):
    assert judge(given, table) == why


def test_of_a_partitioned_table_each_part_gets_its_index():
    advice = judge(use(("tenant", "equal")), replace(TABLE, parts=["big_a", 'big"b']))
    assert isinstance(advice, IndexAdvice)
    lines = advice.sql.splitlines()
    assert lines[0] == 'CREATE INDEX "ix_big_tenant" ON ONLY "public"."big" ("tenant");'
    assert [line.split(" ON ")[0] for line in lines[1::2]] == [
        'CREATE INDEX CONCURRENTLY "ix_big_a_tenant"',
        'CREATE INDEX CONCURRENTLY "ix_big""b_tenant"',
    ]


def test_advice_for_the_same_index_is_given_once():
    short = judge(use(("tenant", "equal"), statement="a"), TABLE)
    long = judge(use(("tenant", "equal"), ("kind", "equal"), statement="b"), TABLE)
    again = judge(use(("tenant", "equal"), ("kind", "equal"), statement="b"), TABLE)
    [merged] = together([short, long, again])
    assert list(merged.columns) == ["tenant", "kind"]
    assert sorted(merged.statements) == ["a", "b"]
    assert merged.saves_s == pytest.approx(short.saves_s + 2 * long.saves_s)


def test_reading_more_rows_by_an_index_costs_more():
    costs = [index_cost(1_000_000, 20_000, rows) for rows in (0, 1, 100, 10_000, 1_000_000)]
    assert costs == sorted(costs)


def test_who_waits_behind_whom_is_followed_to_the_end():
    assert blocked_by({2: [1], 3: [2], 4: [2, 9]}) == {1: {2, 3, 4}, 2: {3, 4}, 9: {4}}
    assert blocked_by({1: [2], 2: [1]}) == {2: {1}, 1: {2}}


DOUBTLESS = IndexAdvice(
    key="big:tenant",
    schema="public",
    table="big",
    columns=["tenant"],
    sql="",
    reason="",
    statements=["1"],
    calls=100,
    saves_s=600.0,
    share=0.2,
    cost_before=1000.0,
    cost_after=10.0,
    size_bytes=2**20,
    writes=0,
)
NOW = datetime(2026, 3, 2, tzinfo=UTC)


def report(item, *, counted=timedelta(days=2)):
    return AdviceReport([item], 1, 1, 1, 0, 0, 0, since=None if counted is None else NOW - counted)


@pytest.mark.parametrize(
    ("change", "counted", "is_made"),
    [
        ({}, timedelta(days=2), True),
        ({}, timedelta(hours=23), False),
        ({}, None, False),
        ({"share": 0.04}, timedelta(days=2), False),
        ({"share": None}, timedelta(days=2), False),
        ({"saves_s": 59.0}, timedelta(days=2), False),
        ({"cost_after": 101.0}, timedelta(days=2), False),
        ({"size_bytes": 2**30}, timedelta(days=2), False),
        ({"size_bytes": None}, timedelta(days=2), False),
    ],
)
def test_only_what_is_beyond_doubt_is_made_by_itself(change, counted, is_made):
    item = replace(DOUBTLESS, **change)
    assert beyond_doubt(report(item, counted=counted), now=NOW) == ([item] if is_made else [])


def test_names_of_made_indexes_fit_and_differ_where_their_columns_do():
    long = "a_table_with_a_name_that_is_as_long_as_postgresql_lets_it_be_63"
    names = {made_name("public", long, columns) for columns in (["first"], ["second"], ["first", "second"])}
    names |= {made_name("other", long, ["first"]), made_name("public", "Gr\u00f6\u00dfe" * 12, ["first"])}
    assert len(names) == 5
    assert all(name.startswith("hx_") and len(name.encode()) <= 63 for name in names)
    assert made_name("public", "run", ["status"]) == made_name("public", "run", ["status"])
