"""The key figures that exist, in the order in which they are shown.

Samples (``metric_sample``) that figures stand on are written by the loop that measures the system, by every process of
the dashboard (pools and caches, by tag) and by the scheduler (the score). Bounds: see ``docs/kpis.md``.
"""

from collections.abc import Sequence

from analytics.core.errors import NotFoundError
from analytics.kpi.figures import agents, business, caches, database, models, system, web, work
from analytics.kpi.model import Kpi

_REGISTRY = (
    *web.KPIS,
    *database.KPIS,
    *caches.KPIS,
    *models.KPIS,
    *agents.KPIS,
    *work.KPIS,
    *business.KPIS,
    *system.KPIS,
)


def registry() -> Sequence[Kpi]:
    """Return every key figure, with its standard bounds."""
    return _REGISTRY


def kpi(kpi_id: str) -> Kpi:
    """Return the key figure *kpi_id*, with its standard bounds.

    Raises:
        NotFoundError: If there is none.
    """
    found = next((item for item in _REGISTRY if item.id == kpi_id), None)
    if found is None:
        raise NotFoundError(f"There is no key figure called {kpi_id!r}.", kpi_id=kpi_id)
    return found
