"""Texts of statements: no value is shown, and only what can be planned is planned."""

import pytest

from analytics.database.texts import LONGEST, can_be_planned, plannable, without_values


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("SELECT 'secret', $1", "SELECT '…', $1"),
        ("SELECT 'it''s', 12.5e3, t1.c2", "SELECT '…', …, t1.c2"),
        (r"SELECT E'it\'s secret' FROM t", "SELECT '…' FROM t"),
        ("SELECT $$a 'secret'$$, $x$ $$ $x$ FROM t", "SELECT '…', '…' FROM t"),
        ("CREATE ROLE ada PASSWORD 'secret'", "CREATE ROLE ada PASSWORD '…'"),
        ('SELECT "it\'s a name" -- secret\nFROM t /* secret */ x', 'SELECT "it\'s a name"  \nFROM t   x'),
        ("SELECT * FROM t WHERE name = 'cut in the mid", "SELECT * FROM t WHERE name = '…'"),
        ("SELECT $$cut", "SELECT '…'"),
    ],
)
def test_values_are_taken_out(text, shown):
    assert without_values(text) == shown


def test_numbers_may_stay_and_long_texts_are_cut():
    assert without_values("LIMIT 10", numbers=False) == "LIMIT 10"
    assert len(without_values("SELECT " + "a, " * LONGEST)) == LONGEST


@pytest.mark.parametrize("text", ["SELECT 1", " /* x */ with a as (select 1) table a", "(SELECT 1) UNION SELECT 2;"])
def test_one_statement_with_a_plan_can_be_planned(text):
    assert can_be_planned(text)


@pytest.mark.parametrize(
    "text", ["BEGIN", "COPY t FROM STDIN", "SELECT 1; DROP TABLE t", "EXPLAIN SELECT 1", "", "SELECT " + "a," * LONGEST]
)
def test_nothing_else_is(text):
    assert not can_be_planned(text)


def test_a_semicolon_within_a_value_ends_nothing():
    assert can_be_planned("SELECT ';' FROM t")


def test_constants_behind_their_type_become_casts():
    assert plannable("now() - interval $3 AND d > DATE $4") == "now() - CAST($3 AS interval) AND d > CAST($4 AS DATE)"
