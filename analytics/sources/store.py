"""What PostgreSQL measures of the database we are in: how much it found in memory, and who is connected.

Samples: ``db_buffer_hit_ratio`` since the sample before, left out when nothing was read; ``db_connections`` by
``state``; ``db_connections_ratio``, of those the server allows.
"""

import threading

from sqlalchemy import text
from sqlalchemy.orm import Session

from analytics.sources.system import Measurement

_BLOCKS = text("SELECT blks_hit, blks_read FROM pg_stat_database WHERE datname = current_database()")
_CONNECTIONS = text(
    "SELECT CASE WHEN state LIKE 'idle in transaction%' THEN 'idle in transaction' ELSE coalesce(state, 'hidden') END,"
    " count(*), current_setting('max_connections')::int FROM pg_stat_activity"
    " WHERE datname = current_database() AND backend_type = 'client backend' GROUP BY 1 ORDER BY 1"
)


class StoreSampler:
    """Measures the database of a session; safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._before: tuple[int, int] | None = None

    def sample(self, session: Session) -> list[Measurement]:
        """Measure now; the first sample has no ratio of blocks, which are counted since long before."""
        connections = session.execute(_CONNECTIONS).all()
        taken = [
            Measurement("db_connections", count, "connections", {"state": state}) for state, count, _ in connections
        ]
        if connections:
            open_now = sum(count for _, count, _ in connections)
            taken.append(Measurement("db_connections_ratio", open_now / connections[0][2], "ratio"))
        hit, read = session.execute(_BLOCKS).one()
        with self._lock:
            before, self._before = self._before, (hit, read)
        if before is not None:
            hits, reads = hit - before[0], read - before[1]
            if min(hits, reads) >= 0 and hits + reads > 0:
                taken.append(Measurement("db_buffer_hit_ratio", hits / (hits + reads), "ratio"))
        return taken
