"""How much Helmsight's world is used: people, events, runs, agents, model calls; by kind and over time.

What programs do with contexts is told as events, too, but the rollup counts no people in them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from analytics.core.clock import Interval, utc_now
from analytics.rollup.cell import Cell
from analytics.rollup.read import Course, Want, read_many, totals, window
from analytics.rollup.steps import trend_step

_MOST_KINDS = 50
_FACTS: Mapping[str, str] = {
    "event": "Events",
    "run": "Workflow runs",
    "agent_run": "Agent runs",
    "llm_call": "Model calls",
    "work_item": "Work items",
    "lead": "Leads",
}


@dataclass(frozen=True, slots=True)
class UsageLine:
    """How much there was of one thing."""

    key: str
    title: str
    count: int
    before: int
    """In the time of the same length before."""
    people: int | None
    """About how many different people (1.6 % standard error); None where no people are known."""
    newest: datetime | None
    course: Sequence[tuple[datetime, int]] = ()
    """By step."""


@dataclass(frozen=True, slots=True)
class Usage:
    """How much was going on over an interval."""

    interval: Interval
    """What was really measured."""
    step: timedelta
    people: int | None
    """About how many different people; None when nobody was seen."""
    people_before: int | None
    people_course: Sequence[tuple[datetime, int | None]]
    amounts: Sequence[UsageLine]
    """Events, runs, agent runs, model calls, work items, leads."""
    kinds: Sequence[UsageLine]
    """Kinds of event, those with most first."""
    sources: Sequence[UsageLine]
    measured_at: datetime | None
    """Time of the newest fact; None without any."""
    is_demo: bool


def usage(session: Session, interval: Interval) -> Usage:
    """Return how much was going on over *interval*: three statements, whatever the number of facts behind them."""
    covered, step = window(interval, now=utc_now()), trend_step(interval)
    kinds = list(totals(session, "event.kind", interval, most=_MOST_KINDS))
    sources = list(totals(session, "event.source", interval, most=_MOST_KINDS))
    wants = [
        *(Want(fact) for fact in _FACTS),
        *(Want("event.kind", key) for key in kinds),
        *(Want("event.source", key) for key in sources),
    ]
    found = read_many(session, wants, interval, step=step)
    events = found[Want("event")]
    amounts = [_line(fact, title, found[Want(fact)]) for fact, title in _FACTS.items()]
    return Usage(
        interval=covered.interval,
        step=step,
        people=_people(events.total),
        people_before=_people(events.before),
        people_course=[(at, _people(cell)) for at, cell in events.steps],
        amounts=amounts,
        kinds=[_line(key, key, found[Want("event.kind", key)]) for key in kinds],
        sources=[_line(key, key, found[Want("event.source", key)]) for key in sources],
        measured_at=max((line.newest for line in amounts if line.newest is not None), default=None),
        is_demo=any(course.total is not None and course.total.is_demo for course in found.values()),
    )


def _line(key: str, title: str, course: Course) -> UsageLine:
    total, before = course.total, course.before
    return UsageLine(
        key=key,
        title=title,
        count=total.n if total is not None else 0,
        before=before.n if before is not None else 0,
        people=_people(total),
        newest=total.newest if total is not None else None,
        course=[(at, cell.n if cell is not None else 0) for at, cell in course.steps],
    )


def _people(cell: Cell | None) -> int | None:
    return cell.distinct() if cell is not None else None
