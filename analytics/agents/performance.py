"""How agents do over an interval: how much they did, how well, how quickly and at what cost; read from the rollup.

Agent runs that are still under way count as runs, and neither as completed nor as failed.
"""

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from analytics.agents.known import KnownAgent, known_agents
from analytics.core.clock import Interval, utc_now
from analytics.core.ratios import wilson
from analytics.rollup.cell import Cell
from analytics.rollup.read import Course, Want, read_many, totals, window
from analytics.rollup.steps import trend_step

CUT = "agent_run.agent"
MOST_AGENTS = 200
LEAST_ENDED = 10
"""Fewer runs that ended say too little about an agent's health."""
GOOD, WARNING = 0.95, 0.90
"""Shares of completed runs: from the first an agent is healthy, below it is degraded, below the second it fails."""


class AgentHealth(enum.StrEnum):
    """How an agent does, by the share of its runs that were completed."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    """Below the bound of good, by more than chance explains."""
    FAILING = "failing"
    """Below the bound of a warning, by more than chance explains."""
    UNSURE = "unsure"
    """Too few runs have ended to say."""
    QUIET = "quiet"
    """It did not run."""


@dataclass(frozen=True, slots=True)
class AgentPerformance:
    """One agent over the interval."""

    id: str
    name: str
    team: str | None
    icon: str
    """A Material Symbols name."""
    health: AgentHealth
    runs: int
    completed: int
    failed: int
    success_ratio: float | None
    """Completed of completed and failed, 0 to 1; None when none ended."""
    success_low: float | None
    """The true share lies between this and *success_high* with 95 % certainty (Wilson)."""
    success_high: float | None
    p50_s: float | None
    """At most 4.4 % off, as is *p95_s*; None when no run ended."""
    p95_s: float | None
    cost_usd: float | None
    """Of the runs whose price is known; None when none is."""
    priced: int
    """How many runs have a known price."""
    cost_per_success_usd: float | None
    """Cost over completed runs; None unless the price of every run that ended is known."""
    input_tokens: int
    output_tokens: int
    confidence: float | None
    """Mean of what it says of its own results, 0 to 1; None when it says nothing."""
    last_seen: datetime | None
    """When its newest run in the interval began."""
    runs_before: int
    """In the time of the same length before, as the next two."""
    success_before: float | None
    p95_before_s: float | None
    trend: Sequence[tuple[datetime, int, float | None]] = ()
    """Runs, and their p95 in seconds, step by step."""
    is_demo: bool = False


@dataclass(frozen=True, slots=True)
class AgentRanking:
    """Agents over an interval, those with most runs first."""

    interval: Interval
    """What was really measured."""
    step: timedelta
    """Of the trends."""
    agents: Sequence[AgentPerformance]
    more: bool
    """Whether there are agents beyond those asked for."""


def agent_performance(
    session: Session,
    interval: Interval,
    *,
    most: int = MOST_AGENTS,
    good: float = GOOD,
    warning: float = WARNING,
    agents: Sequence[KnownAgent] | None = None,
) -> AgentRanking:
    """Return how every agent did that ran in *interval*; then those that are known and did not.

    Two statements, and one for who is known, whatever the number of runs behind them.

    Args:
        session: The open transaction.
        interval: The time to look at.
        most: How many agents at most, those with most runs.
        good: Share of completed runs from which an agent is healthy.
        warning: Share below which it fails.
        agents: Those that are known, if the caller has them.
    """
    covered, step = window(interval, now=utc_now()), trend_step(interval)
    ranked = totals(session, CUT, interval, most=most + 1)
    names = list(ranked)[:most]
    courses = read_many(session, [Want(CUT, name) for name in names], interval, step=step) if names else {}
    known = {agent.id: agent for agent in (known_agents(session) if agents is None else agents)}
    found = [
        _performance(known.get(name, KnownAgent(name, name)), courses.get(Want(CUT, name)), good=good, warning=warning)
        for name in names
    ]
    if len(ranked) <= most:
        quiet = [agent for name, agent in known.items() if name not in ranked]
        found += [_performance(agent, None, good=good, warning=warning) for agent in quiet]
    return AgentRanking(covered.interval, step, found[:most], more=max(len(ranked), len(found)) > most)


def agent_totals(session: Session, interval: Interval) -> Mapping[str, Cell]:
    """Return what was counted of every agent that ran in *interval*, by its id."""
    return totals(session, CUT, interval)


def health_of(completed: int, failed: int, *, good: float = GOOD, warning: float = WARNING) -> AgentHealth:
    """Return how an agent does of whose runs so many were completed and failed.

    Degraded and failing take more than a bad day: the upper end of the interval of the share lies below the bound.
    """
    interval = wilson(completed, completed + failed)
    if interval is None or completed + failed < LEAST_ENDED:
        return AgentHealth.UNSURE
    if completed >= good * (completed + failed):
        return AgentHealth.HEALTHY
    if interval[1] < warning:
        return AgentHealth.FAILING
    return AgentHealth.DEGRADED if interval[1] < good else AgentHealth.UNSURE


def _performance(agent: KnownAgent, course: Course | None, *, good: float, warning: float) -> AgentPerformance:
    cell, before = (course.total, course.before) if course is not None else (None, None)
    completed, failed = (cell.ok or 0, cell.failed or 0) if cell is not None else (0, 0)
    sure = wilson(completed, completed + failed)
    health = health_of(completed, failed, good=good, warning=warning) if cell is not None else AgentHealth.QUIET
    return AgentPerformance(
        id=agent.id,
        name=agent.name,
        team=agent.team,
        icon=agent.icon,
        health=health,
        runs=cell.n if cell is not None else 0,
        completed=completed,
        failed=failed,
        success_ratio=cell.success_ratio if cell is not None else None,
        success_low=sure[0] if sure is not None else None,
        success_high=sure[1] if sure is not None else None,
        p50_s=cell.quantile(0.5) if cell is not None else None,
        p95_s=cell.quantile(0.95) if cell is not None else None,
        cost_usd=cell.cost_usd if cell is not None else None,
        priced=cell.priced or 0 if cell is not None else 0,
        cost_per_success_usd=cost_per_success(cell),
        input_tokens=cell.input_tokens or 0 if cell is not None else 0,
        output_tokens=cell.output_tokens or 0 if cell is not None else 0,
        confidence=cell.mean_value if cell is not None else None,
        last_seen=cell.newest if cell is not None else None,
        runs_before=before.n if before is not None else 0,
        success_before=before.success_ratio if before is not None else None,
        p95_before_s=before.quantile(0.95) if before is not None else None,
        trend=[(at, found.n if found else 0, found.quantile(0.95) if found else None) for at, found in _steps(course)],
        is_demo=cell.is_demo if cell is not None else agent.is_demo,
    )


def _steps(course: Course | None) -> Sequence[tuple[datetime, Cell | None]]:
    return course.steps if course is not None else ()


def cost_per_success(cell: Cell | None) -> float | None:
    """Return known cost over good ends; None unless the price of everything that ended is known."""
    if cell is None or cell.cost_usd is None or not cell.ok or (cell.priced or 0) < (cell.ended or 0):
        return None
    return cell.cost_usd / cell.ok
