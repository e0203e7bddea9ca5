"""Funnels against truths that were worked out by hand."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from analytics.core.clock import Interval
from analytics.core.errors import ConflictError, InputError, NotFoundError
from analytics.journeys.acts import SHARES, of_share
from analytics.journeys.funnels import FunnelSpec, Step, measure
from analytics.journeys.saved_funnels import delete_funnel, get_funnel, list_funnels, save_funnel

pytestmark = pytest.mark.integration

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
NOW = NOON + timedelta(hours=5)
DAY = Interval(NOON - timedelta(hours=1), NOON + timedelta(hours=4))
VISIT_TO_SALE = FunnelSpec((Step("web.visit"), Step("web.cart"), Step("web.sale")), timedelta(hours=1))

Tell = Callable[..., Any]


def people(session: Session, spec: FunnelSpec = VISIT_TO_SALE, **more: object) -> list[int]:
    return [step.people for step in measure(session, spec, DAY, now=NOW, **more).steps]


def test_steps_count_in_order_and_within_the_window_only(session: Session, tell: Tell):
    tell("ann", (0, "web.visit"), (10, "web.cart"), (30, "web.sale"))
    tell("ben", (0, "web.cart"), (5, "web.visit"), (20, "web.sale"))  # the cart came before the visit
    tell("cem", (0, "web.visit"), (10, "web.cart"), (61, "web.sale"))  # a minute too late
    tell("dan", (0, "web.visit"), (60, "web.cart"))  # the window's very end counts
    tell("eve", (0, "web.cart"), (1, "web.sale"))  # never entered

    result = measure(session, VISIT_TO_SALE, DAY, now=NOW)

    assert [step.people for step in result.steps] == [4, 3, 1]
    assert [step.of_first for step in result.steps] == [1.0, 0.75, 0.25]
    assert [step.of_before for step in result.steps] == [None, 0.75, pytest.approx(1 / 3)]
    assert [step.left for step in result.steps] == [1, 2, 0]
    assert (result.conversion, result.sample_ratio, result.under_way) == (0.25, 1.0, 0)


def test_of_many_tries_the_one_that_came_furthest_counts(session: Session, tell: Tell):
    tell("ann", (-30, "web.visit"), (0, "web.visit"), (5, "web.visit"), (40, "web.cart"), (58, "web.sale"))

    result = measure(session, VISIT_TO_SALE, DAY, now=NOW)

    assert [step.people for step in result.steps] == [1, 1, 1]
    assert result.took is not None
    assert (
        result.took.p50 == 58 * 60
    )  # from the visit at noon: that of half past eleven ran out, that at 12:05 is later


def test_quantiles_of_times_are_those_of_the_people(session: Session, tell: Tell):
    for number, minutes in enumerate((10, 20, 30, 40, 50)):
        tell(f"p{number}", (0, "web.visit"), (minutes / 2, "web.cart"), (minutes, "web.sale"))

    result = measure(session, VISIT_TO_SALE, DAY, now=NOW)

    assert result.took is not None
    assert (result.took.n, result.took.p25, result.took.p50, result.took.p75) == (5, 1200, 1800, 2400)
    assert result.steps[1].took is not None
    assert result.steps[1].took.p50 == 900
    assert result.steps[0].took is None


def test_two_steps_of_one_instant_count_but_one_event_is_never_two_steps(session: Session, tell: Tell):
    tell("ann", (0, "web.visit"), (0, "web.cart"), (0, "web.sale"))
    twice = FunnelSpec((Step("web.visit"), Step("web.visit")), timedelta(hours=1))

    assert people(session) == [1, 1, 1]
    assert people(session, twice) == [1, 0]
    tell("ann", (0, "web.visit"))
    assert people(session, twice) == [1, 1]


def test_kinds_may_be_families_and_steps_may_ask_for_properties(session: Session, tell: Tell):
    tell("ann", (0, "web.visit"), (1, "social.share"), props={"page": "/price"})
    tell("ben", (0, "web.visit"), (1, "social.like"), props={"page": "/home"})
    spec = FunnelSpec((Step("web.*", where={"props.page": "/price"}), Step("social.*")), timedelta(hours=1))

    assert people(session, spec) == [1, 1]


def test_who_left_stayed_active_for_a_while_and_who_has_time_is_under_way(session: Session, tell: Tell):
    tell("ann", (0, "web.visit"), (10, "web.cart"), (25, "web.read"), (40, "web.read"), (90, "web.read"))
    tell("ben", (230, "web.visit"))
    late = Interval(DAY.since, NOON + timedelta(minutes=240))

    result = measure(session, VISIT_TO_SALE, late, now=NOON + timedelta(minutes=240))

    cart = result.steps[1]
    assert (cart.left, result.steps[0].left, result.under_way) == (1, 0, 1)
    assert cart.dwell is not None
    assert cart.dwell.p50 == 30 * 60  # what came after the window is not looked at


def test_costs_belong_to_the_part_of_the_way_in_which_they_arose(session: Session, tell: Tell):
    tell("ann", (0, "web.visit"), (10, "web.cart"), (30, "web.sale"))
    tell("ann", (0, "chat.reply"), (5, "chat.reply"), (20, "chat.reply"), (45, "chat.reply"), cost_usd=0.5)
    tell("ben", (0, "web.visit"))
    tell("ben", (15, "chat.reply"), cost_usd=2.0)
    tell("cem", (0, "chat.reply"), cost_usd=100.0)

    result = measure(session, VISIT_TO_SALE, DAY, now=NOW)

    assert [step.cost_usd for step in result.steps] == [0.5, 0.5, 0.5]
    assert result.lost_cost_usd == 2.0


def test_without_prices_costs_are_not_known(session: Session, tell: Tell):
    tell("ann", (0, "web.visit"), (10, "web.cart"))

    result = measure(session, VISIT_TO_SALE, DAY, now=NOW)

    assert {step.cost_usd for step in result.steps} == {None}
    assert result.lost_cost_usd is None


def test_nobody_is_no_share_of_anything(session: Session):
    result = measure(session, VISIT_TO_SALE, DAY, now=NOW)

    assert (result.conversion, result.took, result.trend, [step.people for step in result.steps]) == (
        None,
        None,
        [],
        [0, 0, 0],
    )


@pytest.mark.parametrize("by", ["source", "service", "props.plan"])
def test_people_are_split_by_what_their_first_step_was(session: Session, tell: Tell, by: str):
    for number, value in enumerate(("a", "a", "b", "c", "d")):
        more = {"props": {"plan": value}} if by == "props.plan" else {by: value}
        tell(f"p{number}", (0, "web.visit"), **more)
        if value == "a":
            tell(f"p{number}", (1, "web.cart"), (2, "web.sale"), source="elsewhere")
    if by != "source":
        tell("nobody", (0, "web.visit"))

    groups = measure(session, VISIT_TO_SALE, DAY, now=NOW, by=by, most=2).groups

    assert [(group.key, group.people[0], group.people[-1]) for group in groups[:1]] == [("a", 2, 2)]
    assert groups[0].conversion == 1.0
    assert (groups[-1].key, sum(group.people[0] for group in groups)) == ("other", 5 if by == "source" else 6)


def test_leads_tell_people_apart_by_their_score(session: Session, tell: Tell):
    tell("ann@example.com", (-60, "lead.created"), props={"p_score": 0.9})
    tell("ann@example.com", (0, "web.visit"), (1, "web.cart"), (2, "web.sale"))
    tell("ben", (-60, "lead.created"), props={"p_score": 0.1})
    tell("ben", (0, "web.visit"))
    tell("cem", (0, "web.visit"))

    groups = measure(session, VISIT_TO_SALE, DAY, now=NOW, by="lead.score").groups

    assert {group.key: list(group.people) for group in groups} == {
        "0.75 to 1": [1, 1, 1],
        "0 to 0.25": [1, 0, 0],
        None: [1, 0, 0],
    }


def test_the_trend_tells_who_entered_when(session: Session, tell: Tell):
    tell("ann", (0, "web.visit"), (10, "web.cart"), (30, "web.sale"))
    tell("ben", (70, "web.visit"))

    trend = measure(session, VISIT_TO_SALE, DAY, now=NOW).trend

    assert [(moment.since.hour, moment.entered, moment.converted, moment.took_s) for moment in trend] == [
        (12, 1, 1, 1800.0),
        (13, 1, 0, None),
    ]


def test_where_there_is_too_much_a_share_of_the_people_is_counted_and_said(session: Session, tell: Tell):
    for number in range(30):
        tell(f"p{number}", (0, "web.visit"), (10, "web.cart"))

    result = measure(session, VISIT_TO_SALE, DAY, now=NOW, most_rows=30)

    assert result.sample_ratio == 0.5
    assert 0 < result.counted < 30
    assert result.steps[0].people == 2 * result.counted
    assert result.steps[1].of_first == 1.0
    low, high = result.conversion_between
    assert low == 0 < high < 0.3


def test_only_the_events_of_a_share_are_read_for_it(session: Session, tell: Tell):
    tell("ann", (0, "web.visit"))
    session.execute(text("SET LOCAL enable_seqscan = off"))
    parameters: dict[str, Any] = {"since": DAY.since, "until": DAY.until}
    condition = of_share(3, parameters)
    plan = session.scalars(
        text(
            f"EXPLAIN SELECT kind FROM event WHERE at >= :since AND at < :until AND subject IS NOT NULL {condition}"  # noqa: S608 - as the product
        ),
        parameters,
    ).all()
    conditions = [line for line in plan if "Index Cond" in line]
    assert any("hashtextextended" in line and "at >=" in line for line in conditions), plan
    assert of_share(SHARES, parameters) == ""


def test_an_unknown_property_is_refused_and_values_are_never_sql(session: Session, tell: Tell):
    tell("ann", (0, "web.visit"))
    evil = "x'; DROP TABLE event; --"
    with pytest.raises(InputError):
        measure(session, VISIT_TO_SALE, DAY, now=NOW, by="subject")
    spec = FunnelSpec((Step(evil), Step("b", where={f"props.{evil}": evil})), timedelta(hours=1))

    assert people(session, spec, by=f"props.{evil}") == [0, 0]
    assert session.scalar(text("SELECT count(*) FROM event")) == 1


def test_funnels_are_saved_changed_and_removed_and_names_are_taken_once(session: Session):
    made = save_funnel(session, "Buying", VISIT_TO_SALE, actor="ann")
    other = save_funnel(session, "Reading", VISIT_TO_SALE, actor="ann")
    longer = FunnelSpec((Step("a", "A", {"source": "x"}), Step("b")), timedelta(days=2))

    with pytest.raises(ConflictError):
        save_funnel(session, "Buying", VISIT_TO_SALE, actor="ben")
    with pytest.raises(ConflictError):
        save_funnel(session, "Buying", longer, actor="ben", funnel_id=other.id)
    save_funnel(session, "Buying", longer, actor="ben", funnel_id=made.id)
    delete_funnel(session, other.id, actor="ben")

    assert get_funnel(session, made.id).spec == longer
    assert [(item.name, item.updated_by) for item in list_funnels(session)] == [("Buying", "ben")]
    with pytest.raises(NotFoundError):
        delete_funnel(session, other.id, actor="ben")
    with pytest.raises(InputError):
        save_funnel(session, " ", longer, actor="ben")
