"""Which courses change together: correlation of what is left when their daily shape and their trend are taken out."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Correlation:
    """Two courses whose changes go together."""

    first: str
    second: str
    coefficient: float
    """Pearson's r of the changes, -1 to 1."""
    lag: int
    """So many steps the second comes after the first; negative: before it."""
    p_value: float
    """Two-sided, with the number of steps corrected for their memory, times all pairs and lags that were tried; at most 1."""
    steps: int
    """On how many pairs of values it rests."""


def correlations(
    courses: Mapping[str, Floats], *, season: int, most_lag: int = 6, alpha: float = 0.01
) -> list[Correlation]:
    """Return the pairs whose changes go together at *alpha* after correction for all that was tried, strongest first.

    Args:
        courses: Values by equal steps over the same time, by name; not a number where nothing was measured.
        season: Steps of the daily shape, 24 for hours; 1 takes out none.
        most_lag: How many steps one may come after the other.
        alpha: The share of wrong findings to accept over all pairs.
    """
    raise NotImplementedError
