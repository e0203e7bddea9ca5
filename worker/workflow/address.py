"""Which node of which run: what logs, artifacts and cache entries belong to."""

import uuid
from datetime import datetime
from typing import NamedTuple


class NodeAddress(NamedTuple):
    """One node of one run, or one item of a fan-out."""

    run_id: uuid.UUID
    run_created_at: datetime
    node_id: str
    map_index: int = -1
    """Place in a fan-out, from 0; -1 for a node that runs once."""
