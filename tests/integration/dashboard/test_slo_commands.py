"""`helmsight slo` against a store: import, export, status, report, back-test."""

import csv
import io
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from analytics.core.clock import floor_time, utc_now
from analytics.core.errors import HelmsightError, NotFoundError
from analytics.slo import catalogue, ledger
from analytics.slo.ledger import Bucket
from analytics.slo.model import BUCKET
from analytics.store.engine import session_scope
from dashboard.cli import app

pytestmark = pytest.mark.integration

CHECKOUT = """
slo: v1
id: checkout
title: Checkout
service: shop
target: 99%
window: {rolling: 1h}
alerting: {no_data_after: 5m, pairs: [{severity: page, long: 30m, short: 5m, factor: 1}]}
indicator:
  events:
    total: sum(increase(orders_total[{window}]))
    bad: sum(increase(orders_total{code="500"}[{window}]))
"""
JOURNEY = """
slo: v1
id: journey
title: Journey
service: shop
target: 95%
indicator: {composite: {mode: weighted, members: [{slo: checkout}, {slo: api_availability}]}}
"""
LOST = JOURNEY.replace("id: journey", "id: lost").replace("slo: checkout", "slo: nowhere")


@pytest.fixture(autouse=True)
def named(settings, monkeypatch):
    monkeypatch.setenv("HELMSIGHT_HOME", str(settings.home))
    monkeypatch.setenv("HELMSIGHT_STORE__DSN", settings.dsn)
    monkeypatch.setenv("HELMSIGHT_REDIS__URL", settings.redis_url)


@pytest.fixture
def imported(tmp_path) -> None:
    # What is composed stands before its members: the order of files does not matter.
    (tmp_path / "all.yaml").write_text(f"{JOURNEY}---{CHECKOUT}", encoding="utf-8")
    said("import", tmp_path / "all.yaml", "--note", "first")


@pytest.fixture
def measured(imported, engine) -> None:
    """Two hours in which two of a hundred orders failed."""
    end = floor_time(utc_now(), BUCKET)
    with session_scope(engine) as session:
        ledger.upsert(session, [Bucket("checkout", end - place * BUCKET, 98, 100, 300) for place in range(1, 25)])
        ledger.roll_up(session, ["checkout"], since=end - 25 * BUCKET, until=end)


def said(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["slo", *map(str, arguments)])
    assert result.exit_code == code, (result.output, result.exception)
    return result.stdout


def refused(*arguments: object) -> HelmsightError:
    result = CliRunner().invoke(app, ["slo", *map(str, arguments)])
    assert isinstance(result.exception, HelmsightError), result.output
    return result.exception


def test_each_objective_of_a_file_is_taken_in_or_refused_for_itself(tmp_path, engine):
    (tmp_path / "all.yaml").write_text(f"{JOURNEY}---{LOST}---{CHECKOUT}", encoding="utf-8")
    tried = json.loads(said("import", tmp_path / "all.yaml", "--dry-run", "--json", code=1))
    with session_scope(engine) as session:
        assert catalogue.load(session, ids=["checkout"]) == []
    done = json.loads(said("import", tmp_path / "all.yaml", "--json", code=1))
    assert done == tried
    assert {item["id"]: item["outcome"] for item in done} == {
        "checkout": "created",
        "journey": "created",
        "lost": "refused",
    }
    [why] = next(item["problems"] for item in done if item["id"] == "lost")
    assert "nowhere" in why


def test_an_import_changes_what_is_other_and_leaves_the_rest(imported, tmp_path, engine):
    changed = CHECKOUT.replace("99%", "99.5%")
    (tmp_path / "all.yaml").write_text(f"{JOURNEY}---{changed}", encoding="utf-8")
    lines = said("import", tmp_path / "all.yaml", "--note", "tighter").splitlines()
    assert [line.split()[:3] for line in lines[1:]] == [["checkout", "updated", "2"], ["journey", "unchanged", "1"]]
    with session_scope(engine) as session:
        newest = catalogue.revisions(session, "checkout")[0]
    assert (newest.note, newest.created_by, [change.path for change in newest.changes]) == (
        "tighter",
        "cli",
        ["target"],
    )


def test_what_is_forgiven_is_told(tmp_path):
    file = tmp_path / "sloth.yaml"
    file.write_text(
        "version: prometheus/v1\nservice: shop\ncolour: red\nslos: [{name: ab, objective: 99, sli: {raw:"
        " {error_ratio_query: 'avg_over_time(bad[{{.window}}])'}}, alerting: {name: A}}]",
        encoding="utf-8",
    )
    assert "warning: colour: this field is not known" in said("import", file)


def test_what_is_exported_imports_as_the_same(imported, tmp_path):
    for form in ("native", "openslo"):
        file = tmp_path / f"{form}.yaml"
        assert said("export", "--format", form, "--output", file) == f"written to {file}\n"
        assert {item["outcome"] for item in json.loads(said("import", file, "--json"))} == {"unchanged"}, form


def test_the_rules_of_stored_objectives_are_exported(imported):
    text = said("export", "checkout", "journey", "--format", "rules")
    assert "sloth-slo-alerts-shop-checkout" in text
    assert "# Left out: journey" in text


def test_an_unknown_id_is_refused(imported):
    for command in ("export", "status", "report", "backtest"):
        assert isinstance(refused(command, "checkout", "nothing"), NotFoundError), command


def test_the_status_is_a_table_with_what_is_doubtful_below(measured):
    lines = said("status", "checkout", "api_availability").splitlines()
    [checkout] = [line for line in lines if line.startswith("checkout ")]
    assert checkout.split()[1] == "exhausted"
    assert "98 %" in checkout
    assert "api_availability: nothing was measured yet" in lines
    [data] = json.loads(said("status", "checkout", "--json"))
    assert (data["sli"], data["budget"]["is_exhausted"]) == (pytest.approx(0.98), True)


def test_a_report_is_written_in_every_form(measured, tmp_path):
    data = json.loads(said("report", "checkout", "--period", "3h", "--format", "json"))
    [row] = csv.DictReader(io.StringIO(said("report", "checkout", "--period", "3h", "--format", "csv")))
    assert float(row["sli"]) == data["objectives"][0]["sli"] == pytest.approx(0.98)
    file = tmp_path / "report.html"
    said("report", "checkout", "--period", "3h", "--format", "html", "-o", file)
    assert file.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert "| Checkout | shop | 99 % |" in said("report", "checkout", "--period", "3h")
    assert "no period called 'soon'" in str(refused("report", "--period", "soon"))


def test_a_policy_is_tried_beside_the_one_there_is(measured):
    [found] = json.loads(said("backtest", "checkout", "--days", "1", "--min-bad", "1000", "--json"))
    assert (len(found["current"]["pages"]), len(found["tried"]["pages"])) == (1, 0)
    [found] = json.loads(said("backtest", "checkout", "--days", "1", "--pair", "ticket:1h/10m:1.5", "--json"))
    assert (len(found["tried"]["pages"]), len(found["tried"]["tickets"])) == (0, 1)
    rows = [line.split() for line in said("backtest", "--days", "1", "--pair", "page:30m/5m:2%").splitlines()]
    assert ["checkout", "tried", "1", "0"] in [row[:4] for row in rows]


def test_pairs_that_cannot_be_used_are_refused(imported):
    for pair, why in (
        ("phone:1h/5m:2", "alerting.pairs[0].severity"),
        ("page:5m/1h:2", "alerting.pairs[0].short: it is not shorter than the long window"),
        ("page:1h/5m:0", "alerting.pairs[0].factor: 0 is not above 0"),
        ("page:1x/5m:2", "alerting.pairs[0].long"),
    ):
        assert why in str(refused("backtest", "checkout", "--pair", pair))


def test_without_an_installation_it_says_what_to_do(monkeypatch, tmp_path: Path):
    monkeypatch.setenv("HELMSIGHT_HOME", str(tmp_path / "nowhere"))
    monkeypatch.delenv("HELMSIGHT_STORE__DSN")
    assert "Start `helmsight up`" in str(refused("status"))
