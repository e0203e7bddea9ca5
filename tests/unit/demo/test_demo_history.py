"""The company of the demo comes out the same, and looks like one."""

import statistics
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from analytics.demo.buckets import demo_buckets
from analytics.demo.chance import Chance
from analytics.demo.company import AGENTS, LARGE, PATH, incidents, releases, runaway, stuck_job
from analytics.demo.history import company_history
from analytics.demo.live import _state_at
from analytics.demo.objectives import OBJECTIVES
from analytics.demo.rows import COLUMNS, History
from analytics.slo.defaults import objectives
from analytics.slo.ledger import Bucket
from analytics.slo.model import CompositeEvents

NOW = datetime(2026, 3, 18, 15, 20, tzinfo=UTC)
SINCE = NOW - timedelta(days=30)
ENDED = ("won", "lost")


def history(seed: int = 7) -> History:
    return company_history(Chance(seed), since=SINCE, until=NOW, incidents=incidents(NOW), releases=releases(NOW))


@pytest.fixture(scope="module")
def company() -> History:
    return history()


@pytest.fixture(scope="module")
def buckets(company: History) -> list[Bucket]:
    return demo_buckets(company.chance, company, since=SINCE, until=NOW, incidents=incidents(NOW))


def column(company: History, table: str, name: str) -> list[Any]:
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
        ("lead", ("created_at", "converted_at", "updated_at")),
        ("context", ("created_at", "archived_at")),
        ("metric_sample", ("at",)),
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


def test_a_release_makes_the_large_model_slower_and_another_makes_an_agent_better(company: History) -> None:
    slow = next(release for release in company.releases if release.slower)
    better = next(release for release in company.releases if release.failing)
    agents, begun, ended, status = (
        column(company, "agent_run", name) for name in ("agent_id", "started_at", "finished_at", "status")
    )
    runs = list(zip(agents, begun, ended, status, strict=True))
    large = {agent.id for agent in AGENTS if agent.model is LARGE}

    def median_s(*, after: bool) -> float:
        took = [(end - at).total_seconds() for who, at, end, _ in runs if who in large and (at >= slow.at) == after]
        return float(statistics.median(took))

    def failing(*, after: bool) -> float:
        ended = [how for who, at, _, how in runs if who in better.failing and (at >= better.at) == after]
        return ended.count("failed") / len(ended)

    assert slow.slower == {LARGE.name: 1.7}
    assert median_s(after=True) / median_s(after=False) == pytest.approx(1.7, rel=0.15)
    assert failing(after=True) < 0.6 * failing(after=False)
    assert {slow.title, better.title} <= set(column(company, "annotation", "title"))


def test_an_agent_that_runs_away_costs_more_than_on_the_day_before(company: History) -> None:
    since, until = runaway(NOW)
    agents, begun = column(company, "agent_run", "agent_id"), column(company, "agent_run", "started_at")
    summaries = [at for who, at in zip(agents, begun, strict=True) if who == "demo-summariser"]

    def count(since: datetime, until: datetime) -> int:
        return sum(since <= at < until for at in summaries)

    day = timedelta(days=1)
    assert count(since, until) > 10 * max(1, count(since - day, until - day))
    assert not any(since <= at < until for at in column(company, "annotation", "at"))


def test_people_take_steps_in_an_order_that_makes_sense(company: History) -> None:
    names = COLUMNS["event"]
    at, kind, subject = names.index("at"), names.index("kind"), names.index("subject")
    ways: dict[str, list[str]] = defaultdict(list)
    for row in sorted(company.rows["event"], key=lambda row: row[at]):
        ways[row[subject]].append(row[kind])
    reached = [
        {who for who, kinds in ways.items() if step in kinds}
        for step in ("web.page_view", "web.pricing_view", "web.signup", "web.checkout", "web.purchase")
    ]
    assert all(len(more) > len(fewer) for more, fewer in pairwise(reached))
    assert len(reached[-1]) > 10
    assert all("web.checkout" in ways[who][: ways[who].index("web.purchase")] for who in reached[-1])
    leads = set(column(company, "lead", "email"))
    assert all("lead.created" in ways[email] for email in leads)
    assert {"new", "contacted", "qualified", "won", "lost"} == set(column(company, "lead", "status"))


def test_the_better_the_score_of_a_lead_the_likelier_it_is_won(company: History) -> None:
    scores, statuses = column(company, "lead", "p_score"), column(company, "lead", "status")
    ended = [(score, status == "won") for score, status in zip(scores, statuses, strict=True) if status in ENDED]
    high = [won for score, won in ended if score >= 0.5]
    low = [won for score, won in ended if score < 0.3]
    assert statistics.mean(high) > 2 * statistics.mean(low)


def test_services_cost_something_or_an_unknown_amount(company: History) -> None:
    costs: dict[str, set[object]] = defaultdict(set)
    for service, cost in zip(column(company, "event", "service"), column(company, "event", "cost_usd"), strict=True):
        costs[str(service)].add(cost)
    assert {"demo-ads", "demo-mail", "demo-ocr", "demo-payments", "demo-search", "demo-web"} <= set(costs)
    assert costs["demo-social"] == {None}
    assert not any(cost == 0 for found in costs.values() for cost in found)


def test_contexts_hang_together_and_what_was_used_last_is_what_their_events_say(company: History) -> None:
    names = COLUMNS["context"]
    contexts = [dict(zip(names, row, strict=True)) for row in company.rows["context"]]
    ids = {item["id"] for item in contexts}
    assert {item["kind"] for item in contexts} == {"workspace", "task", "conversation"}
    assert all(item["parent_id"] in ids for item in contexts if item["kind"] != "workspace")
    assert any(item["last_read_at"] is None for item in contexts)
    assert any(item["archived_at"] is not None for item in contexts)
    events = zip(*(column(company, "event", name) for name in ("at", "kind", "subject")), strict=True)
    read = {subject: at for at, kind, subject in events if kind == "context.read"}
    assert all(item["last_read_at"] == read.get(item["id"]) for item in contexts)


def test_the_host_was_measured_all_the_time_and_a_night_stands_out(company: History) -> None:
    names, at, values = (column(company, "metric_sample", name) for name in ("name", "at", "value"))
    cpu = {moment: value for name, moment, value in zip(names, at, values, strict=True) if name == "system_cpu_ratio"}
    assert len(cpu) == 30 * 288 - 1
    since, until = stuck_job(NOW)
    assert all(value > 0.5 for moment, value in cpu.items() if since <= moment < until)
    assert statistics.mean(cpu.values()) < 0.4
    assert set(names) == {
        "system_cpu_ratio",
        "system_memory_ratio",
        "system_disk_ratio",
        "db_pool_used_ratio",
        "db_pool_wait_s",
        "cache_hit_ratio",
        "performance_score",
    }


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
