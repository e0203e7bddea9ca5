"""Shares, and how sure they are."""

import math

Z_95 = 1.959964
"""Standard deviations that hold 95 % of a normal distribution."""


def wilson(hits: int, total: int, *, z: float = Z_95) -> tuple[float, float] | None:
    """Return the interval, within 0 to 1, that the true share of *hits* among *total* lies in; None without any.

    Raises:
        ValueError: If *hits* is not 0 to *total*.

    Source:
        E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927).
    """
    if not 0 <= hits <= total:
        raise ValueError(f"{hits} of {total} is no share")
    if total == 0:
        return None
    share, weight = hits / total, z * z / total
    centre = (share + weight / 2) / (1 + weight)
    reach = z / (1 + weight) * math.sqrt(share * (1 - share) / total + weight / (4 * total))
    return max(0.0, min(share, centre - reach)), min(1.0, max(share, centre + reach))  # rounding aside
