"""What the tools answer. Shares are 0 to 1, times UTC; null means that nothing was measured."""

import math
from datetime import datetime, timedelta

from pydantic import BaseModel, Field

from analytics.slo import SloState, SloStatus


class Budget(BaseModel):
    """An error budget."""

    total: float = Field(description="Events that may be bad.")
    consumed: float = Field(description="Events that were bad.")
    remaining: float = Field(description="Below 0 when more was consumed than there was.")
    remaining_share: float | None = Field(
        description="1 when nothing is consumed, 0 when all is, below 0 beyond; null where no event may be bad but was."
    )
    minutes: float = Field(description="The same budget as time of a full outage over the window.")
    is_exhausted: bool


class Slo(BaseModel):
    """One objective and how it stands."""

    id: str
    title: str
    service: str
    description: str
    target: float
    state: SloState
    sli: float | None = Field(description="Share of good events.")
    is_compliant: bool | None = Field(description="null when too little was measured to say.")
    budget: Budget | None
    burn_rates: dict[str, float | None] = Field(
        description="By window; 1 spends the budget in exactly the window of the objective. null: no event."
    )
    coverage: float = Field(description="Share of the window that was measured.")
    measured_at: datetime | None = Field(description="End of the newest bucket.")
    includes_demo: bool = Field(description="Whether some events are demo history.")


class SloList(BaseModel):
    """Objectives."""

    slos: list[Slo]


def slo_of(status: SloStatus) -> Slo:
    """Return what is told of *status*."""
    objective, budget = status.objective, status.budget
    return Slo(
        id=objective.id,
        title=objective.title,
        service=objective.service,
        description=objective.description,
        target=float(objective.target),
        state=status.state,
        sli=status.sli,
        is_compliant=status.compliant,
        budget=None
        if budget is None
        else Budget(
            total=budget.total_events,
            consumed=budget.consumed_events,
            remaining=budget.remaining_events,
            remaining_share=finite(budget.remaining_ratio),
            minutes=budget.minutes,
            is_exhausted=budget.is_exhausted,
        ),
        burn_rates={short(window): finite(rate) for window, rate in status.burn_rates.items()},
        coverage=status.coverage_ratio,
        measured_at=status.measured_at,
        includes_demo=status.includes_demo,
    )


def finite(value: float | None) -> float | None:
    """Return *value*, or None where JSON has no number for it."""
    return value if value is not None and math.isfinite(value) else None


def short(length: timedelta) -> str:
    """Return *length* as it is written in definitions: ``5m``, ``6h``, ``3d``."""
    for unit, size in (("d", timedelta(days=1)), ("h", timedelta(hours=1))):
        if not length % size:
            return f"{length // size}{unit}"
    return f"{length // timedelta(minutes=1)}m"
