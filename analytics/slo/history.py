"""What was counted of one objective, bucket by bucket: what budgets, alerts, back-tests and forecasts are made of."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from analytics.core.clock import Interval
from analytics.slo.model import BUCKET, WHOLE, Objective


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """Good and total of consecutive steps of an interval, corrections taken out, in the unit of the budget.

    The unit is events, or slices of time where the objective budgets time. A step without a number holds zeros.
    """

    objective: Objective
    interval: Interval
    """Its length is a whole number of steps."""
    good: NDArray[np.float64]
    total: NDArray[np.float64]
    measured_s: NDArray[np.float64]
    """Seconds of each step in which the source was seen."""
    excluded_s: NDArray[np.float64]
    """Seconds of each step that a correction takes out; they count neither as measured nor as elapsed."""
    step: timedelta = BUCKET
    group_key: str = WHOLE
    demo_total: float = 0.0
    """How much of the total is demo history."""
    parts: tuple["History", ...] = field(default=())
    """Of a composite: its members' histories, in the order of its members; its own arrays are then empty."""

    def __len__(self) -> int:
        return self.interval.length // self.step

    @property
    def starts(self) -> list[datetime]:
        """Return when each step starts, oldest first."""
        return [self.interval.since + place * self.step for place in range(len(self))]
