"""Paths against truths that were worked out by hand."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session

from analytics.core.clock import Interval
from analytics.core.errors import InputError
from analytics.journeys.paths import Paths, paths

pytestmark = pytest.mark.integration

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
DAY = Interval(NOON - timedelta(hours=1), NOON + timedelta(hours=4))
Tell = Callable[..., Any]


def links(found: Paths) -> list[tuple[int, str, str | None, int]]:
    return [(link.depth, link.source, link.target, link.n) for link in found.links]


def test_visits_are_followed_step_by_step_to_their_end(session: Session, tell: Tell):
    tell("ann", (0, "home"), (1, "price"), (2, "buy"))
    tell("ben", (0, "home"), (2, "price"))
    tell("cem", (0, "price"))

    found = paths(session, DAY)

    assert links(found) == [
        (0, "home", "price", 2),
        (0, "price", None, 1),
        (1, "price", "buy", 1),
        (1, "price", None, 1),
        (2, "buy", None, 1),
    ]
    assert (found.visits, found.people) == (3, 3)
    assert found.links[0].took_s == 90.0
    assert found.links[1].took_s is None


def test_a_long_break_begins_a_new_visit_and_the_same_again_is_no_step(session: Session, tell: Tell):
    tell("ann", (0, "home"), (1, "home"), (2, "price"), (40, "home"))

    found = paths(session, DAY)

    assert links(found) == [(0, "home", "price", 1), (0, "home", None, 1), (1, "price", None, 1)]
    assert (found.visits, found.people) == (2, 1)


def test_from_a_kind_on_what_comes_before_is_not_looked_at(session: Session, tell: Tell):
    tell("ann", (0, "home"), (1, "price"), (2, "home"), (3, "buy"))
    tell("ben", (0, "home"))

    found = paths(session, DAY, start="price", depth=2)

    assert links(found) == [(0, "price", "home", 1), (1, "home", "buy", 1)]
    assert found.visits == 1


def test_rare_kinds_are_one(session: Session, tell: Tell):
    for number, kind in enumerate(("a", "a", "b", "c", "d")):
        tell(f"p{number}", (0, "home"), (1, kind))

    found = paths(session, DAY, most=1, depth=1)

    assert links(found) == [(0, "home", "other", 3), (0, "home", "a", 2)]


def test_nobody_went_anywhere(session: Session):
    found = paths(session, DAY)

    assert (found.links, found.visits, found.people) == ([], 0, 0)
    with pytest.raises(InputError):
        paths(session, DAY, depth=9)
