"""Objectives taken together: good and total of a composite from the sums of its members. Pure.

Members without events do not count: the weights of the others stand for theirs. The total of a composite is that of
its members, so that budgets and guards have numbers of events to go by.

Source of the terms:
    OpenSLO v1, ``compositeWeight``; weighted mean as in Elastic's composite objectives.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analytics.slo.model import CompositeEvents, CompositeMode, Objective

Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Good and total of one member, over as many spans as there are numbers."""

    objective: Objective
    good: Numbers
    total: Numbers


def combine(
    events: CompositeEvents, parts: Sequence[Part], *, budget_ratio: float, length: int
) -> tuple[Numbers, Numbers]:
    """Return good and total of the composite for each of *length* spans; zeros where no member had an event.

    Where members are compared by how fast they burn, the composite burns as fast as they say, at most as fast as it
    can: a bad share of 1. A composite that allows nothing bad takes the worst bad share of a member instead.

    Args:
        events: The composite.
        parts: Its members; missing ones count like those without events.
        budget_ratio: What share the composite itself allows to be bad.
        length: How many spans the arrays of each part have.
    """
    if not parts:
        return np.zeros(length), np.zeros(length)
    weight_of = {member.slo_id: float(member.weight) for member in events.members}
    weights = np.array([[weight_of[part.objective.id]] for part in parts])
    allowed = np.array([[part.objective.budget_ratio] for part in parts])
    good, total = np.stack([part.good for part in parts]), np.stack([part.total for part in parts])
    known = total > 0
    errors = np.divide(total - good, total, out=np.zeros_like(total), where=known)
    present = np.where(known, weights, 0.0)
    if events.mode is CompositeMode.WEIGHTED:
        weight = present.sum(axis=0)
        share = np.divide((errors * present).sum(axis=0), weight, out=np.zeros_like(weight), where=weight > 0)
    elif budget_ratio == 0:
        share = errors.max(axis=0)
    else:
        burns = np.divide(errors, allowed, out=np.where(errors > 0, np.inf, 0.0), where=allowed > 0)
        share = budget_ratio * _burn(events, burns, present)
    whole = total.sum(axis=0)
    return (1 - np.minimum(1.0, share)) * whole, whole


def _burn(events: CompositeEvents, burns: Numbers, present: Numbers) -> Numbers:
    """Return how fast the composite burns, by its mode."""
    if events.mode is CompositeMode.WORST_OF:
        worst: Numbers = burns.max(axis=0)
        return worst
    there = present.sum(axis=0)
    weight = sum(float(member.weight) for member in events.members)
    summed: Numbers = np.divide(
        (burns * present).sum(axis=0) * weight, there, out=np.zeros_like(there), where=there > 0
    )
    return summed
