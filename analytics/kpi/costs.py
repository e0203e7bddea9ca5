"""What things cost: by service, model, agent, project, kind of event; over time, and what one success costs.

Money is counted where it is spent: of model calls and of events. Agent runs carry the cost of their model calls, so
agents and projects show the same money from another side, and are not added to it. A cost that is not known is never
counted as nothing: *unpriced* says how many facts have none.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from analytics.core.clock import Interval, utc_now
from analytics.core.errors import InputError
from analytics.rollup.cell import Cell
from analytics.rollup.read import Course, Want, read_many, totals, window
from analytics.rollup.steps import trend_step

BY: Mapping[str, Sequence[str]] = {
    "service": ("llm_call.service", "event.service"),
    "model": ("llm_call.model",),
    "service_model": ("llm_call.service_model",),
    "agent": ("agent_run.agent",),
    "project": ("agent_run.project", "event.project"),
    "kind": ("event.kind",),
}
"""What costs can be told by, and the cuts that are added up for it."""
MOST_LINES = 100


@dataclass(frozen=True, slots=True)
class CostLine:
    """What one service, model, … cost."""

    key: str
    """Empty for facts that name none; a service and its model are joined by U+001F."""
    cost_usd: float | None
    """The sum of known costs; None when none is known."""
    before_usd: float | None
    """In the time of the same length before."""
    facts: int
    """Calls, events or runs."""
    unpriced: int
    """How many of them have no known cost."""
    failed: int | None
    """None where the facts know no failure, as events."""
    success_ratio: float | None
    p95_s: float | None
    """At most 4.4 % off; None where no duration is known."""
    input_tokens: int | None
    output_tokens: int | None
    per_success_usd: float | None
    """Cost of one good end, or of one fact where there is no failure; None unless the cost of all is known."""
    course: Sequence[tuple[datetime, float | None]]
    """Known cost by step; None where nothing was priced."""
    is_demo: bool = False


@dataclass(frozen=True, slots=True)
class Costs:
    """Costs over an interval, the dearest first; those of unknown cost last."""

    by: str
    interval: Interval
    """What was really measured."""
    step: timedelta
    total_usd: float | None
    """Of all lines, also those beyond the most asked for; None when no cost is known."""
    before_usd: float | None
    facts: int
    unpriced: int
    lines: Sequence[CostLine]
    measured_at: datetime | None
    """Time of the newest fact; None without any."""


def costs(
    session: Session,
    interval: Interval,
    *,
    by: str = "service",
    most: int = 20,
    step: timedelta | None = None,
) -> Costs:
    """Return what things cost over *interval*.

    Two statements for each of the cuts that are added up, whatever the number of facts behind them.

    Args:
        session: The open transaction.
        interval: The time to look at.
        by: One of :data:`BY`.
        most: How many lines at most; 1 to 100.
        step: Of the courses; None chooses about thirty steps.

    Raises:
        InputError: If there is nothing to tell costs by of that name, or *most* or *step* cannot be used.
    """
    if by not in BY:
        raise InputError(f"Costs cannot be told by {by!r}; nothing was read. They can by: {', '.join(BY)}.")
    if not 1 <= most <= MOST_LINES:
        raise InputError(f"Between 1 and {MOST_LINES} lines can be had, not {most}; nothing was read.")
    covered, step = window(interval, now=utc_now()), step or trend_step(interval)
    cells: dict[str, Cell] = {}
    wholes: list[Course] = []
    for cut in BY[by]:
        for key, cell in totals(session, cut, interval, order="cost_usd").items():
            cells[key] = cells[key] + cell if key in cells else cell
        whole = Want(cut.partition(".")[0])
        wholes.append(read_many(session, [whole], interval)[whole])
    ranked = sorted(cells, key=lambda key: (-(cells[key].cost_usd or -1.0), -cells[key].n, key))
    ranked = [key for key in ranked if key or cells[key].cost_usd is not None][:most]
    courses = _courses(session, BY[by], ranked, interval, step)
    return Costs(
        by=by,
        interval=covered.interval,
        step=step,
        total_usd=_sum([whole.total.cost_usd for whole in wholes if whole.total is not None]),
        before_usd=_sum([whole.before.cost_usd for whole in wholes if whole.before is not None]),
        facts=sum(cell.n for key, cell in cells.items() if key),
        unpriced=sum(cell.n - (cell.priced or 0) for key, cell in cells.items() if key),
        lines=[_line(key, courses[key]) for key in ranked if any(course.total for course in courses[key])],
        measured_at=max((cell.newest for cell in cells.values()), default=None),
    )


def _courses(
    session: Session, cuts: Sequence[str], keys: Sequence[str], interval: Interval, step: timedelta
) -> Mapping[str, Sequence[Course]]:
    """Return how each key went in each of *cuts*, by key."""
    wants = [Want(cut, key) for cut in cuts for key in keys]
    found = read_many(session, wants, interval, step=step) if wants else {}
    return {key: [found[Want(cut, key)] for cut in cuts] for key in keys}


def _line(key: str, courses: Sequence[Course]) -> CostLine:
    cells = [course.total for course in courses if course.total is not None]
    cell = sum(cells[1:], start=cells[0])
    unpriced = cell.n - (cell.priced or 0)
    good = cell.ok if cell.ended else cell.n
    by_step: dict[datetime, float | None] = {}
    for course in courses:
        for at, found in course.steps:
            by_step[at] = _sum([by_step.get(at), found.cost_usd if found is not None else None])
    return CostLine(
        key=key,
        cost_usd=cell.cost_usd,
        before_usd=_sum([course.before.cost_usd for course in courses if course.before is not None]),
        facts=cell.n,
        unpriced=unpriced,
        failed=cell.failed,
        success_ratio=cell.success_ratio,
        p95_s=cell.quantile(0.95),
        input_tokens=cell.input_tokens,
        output_tokens=cell.output_tokens,
        per_success_usd=cell.cost_usd / good if cell.cost_usd is not None and good and not unpriced else None,
        course=sorted(by_step.items()),
        is_demo=cell.is_demo,
    )


def _sum(amounts: Sequence[float | None]) -> float | None:
    """Return the sum of what is known; None when nothing is."""
    known = [amount for amount in amounts if amount is not None]
    return sum(known) if known else None
