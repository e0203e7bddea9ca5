"""The company of the demo comes out the same, and looks like one."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from analytics.demo.buckets import demo_buckets
from analytics.demo.chance import Chance
from analytics.demo.company import AGENTS, PATH, incidents
from analytics.demo.history import COLUMNS, History, company_history
from analytics.demo.live import _state_at
from analytics.demo.objectives import OBJECTIVES
from analytics.slo.defaults import objectives
from analytics.slo.ledger import Bucket
from analytics.slo.model import CompositeEvents

NOW = datetime(2026, 3, 18, 15, 20, tzinfo=UTC)
SINCE = NOW - timedelta(days=30)


def history(seed: int = 7) -> History:
    return company_history(Chance(seed), since=SINCE, until=NOW, incidents=incidents(NOW))


@pytest.fixture(scope="module")
def company() -> History:
    return history()


@pytest.fixture(scope="module")
def buckets(company: History) -> list[Bucket]:
    return demo_buckets(company.chance, company, since=SINCE, until=NOW, incidents=incidents(NOW))


def column(company: History, table: str, name: str) -> list[object]:
    return [row[COLUMNS[table].index(name)] for row in company.rows[table]]


def test_the_same_seed_makes_the_same_rows_and_another_seed_does_not(company: History) -> None:
    assert history().rows == company.rows
    assert history(seed=8).rows["agent_run"] != company.rows["agent_run"]


def test_every_row_is_labelled_and_fits_its_columns(company: History) -> None:
    assert set(company.rows) == set(COLUMNS)
    for table, rows in company.rows.items():
        assert all(len(row) == len(COLUMNS[table]) and row[-1] == "demo" for row in rows)
        ids = [row[0] for row in rows]
        assert len(ids) == len(set(ids))


def test_nothing_happens_outside_the_thirty_days(company: History) -> None:
    for table, names in (
        ("agent_run", ("started_at", "finished_at")),
        ("llm_call", ("at",)),
        ("event", ("at",)),
        ("lead", ("created_at", "converted_at")),
        ("work_item", ("created_at", "finished_at")),
        ("task", ("created_at", "finished_at")),
    ):
        for name in names:
            moments = [value for value in column(company, table, name) if isinstance(value, datetime)]
            assert min(moments) >= SINCE
            assert max(moments) < NOW


def test_people_work_by_day_and_rest_at_weekends(company: History) -> None:
    moments = [value for value in column(company, "agent_run", "started_at") if isinstance(value, datetime)]
    by_day = Counter(moment.date() for moment in moments)
    weekdays = [count for day, count in by_day.items() if day.weekday() < 5]
    weekends = [count for day, count in by_day.items() if day.weekday() >= 5]
    assert sum(weekends) / len(weekends) < 0.35 * sum(weekdays) / len(weekdays)
    by_hour = Counter(moment.hour for moment in moments)
    assert by_hour[9] > 10 * max(1, by_hour[2])


def test_work_goes_from_agent_to_agent_in_order(company: History) -> None:
    order = [agent_id for agent_id, _ in PATH]
    pairs = set(
        zip(column(company, "handoff", "source_agent_id"), column(company, "handoff", "target_agent_id"), strict=True)
    )
    assert len(pairs) > 20
    assert all(order.index(str(source)) < order.index(str(target)) for source, target in pairs)
    assert len({agent.team for agent in AGENTS}) == 4
    assert len(AGENTS) == 14


def test_a_model_without_a_price_costs_an_unknown_amount_and_not_nothing(company: History) -> None:
    models, costs = column(company, "llm_call", "model"), column(company, "llm_call", "cost_usd")
    by_model = {str(model): cost for model, cost in zip(models, costs, strict=True)}
    assert by_model["demo-local"] is None
    assert all(cost is None for model, cost in zip(models, costs, strict=True) if model == "demo-local")
    assert 0 not in costs


def test_every_objective_has_every_bucket(buckets: list[Bucket]) -> None:
    counts = Counter(bucket.slo_id for bucket in buckets)
    measured = [*objectives(), *(item for item in OBJECTIVES if not isinstance(item.indicator, CompositeEvents))]
    assert counts == {item.id: 30 * 288 * (4 if item.group_by else 1) for item in measured}
    assert all(0 <= bucket.good <= bucket.total and bucket.measured_s == 300 for bucket in buckets)


def test_each_incident_shows_in_its_objectives_and_is_annotated(company: History, buckets: list[Bucket]) -> None:
    titles = column(company, "annotation", "title")
    for incident in incidents(NOW):
        assert incident.title in titles
        assert incident.since.weekday() < 5
        assert SINCE < incident.since < incident.until < NOW
        for slo_id, bad_ratio in incident.bad_ratio.items():
            during = [bucket for bucket in buckets if bucket.slo_id == slo_id and incident.covers(bucket.start)]
            total, good = sum(item.total for item in during), sum(item.good for item in during)
            assert (total - good) / total == pytest.approx(bad_ratio, rel=0.5)


def test_buckets_of_model_calls_are_those_of_the_rows(company: History, buckets: list[Bucket]) -> None:
    calls = [bucket for bucket in buckets if bucket.slo_id == "llm_api_success_rate"]
    assert sum(bucket.total for bucket in calls) == len(company.rows["llm_call"])
    assert sum(bucket.good for bucket in calls) == sum(bool(value) for value in column(company, "llm_call", "ok"))


def test_live_states_change_say_demo_and_are_the_same_for_all_who_ask() -> None:
    moments = [NOW + second * timedelta(seconds=1) for second in range(300)]
    for agent in AGENTS:
        states = [_state_at(agent, moment) for moment in moments]
        assert len({(state.status, state.task) for state in states}) > 5
        assert all(state.detail["demo"] is True for state in states)
        assert states == [_state_at(agent, moment) for moment in moments]


def test_an_incident_falls_on_a_working_day_whatever_the_present() -> None:
    for day in range(14):
        assert all(item.since.weekday() < 5 for item in incidents(NOW + day * timedelta(days=1)))
