"""What a model worker and its child say to each other; everything in it can be pickled."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from worker.runtime import Failure


@dataclass(frozen=True, slots=True)
class ChildRequest:
    """A node to carry."""

    kind: str
    run_id: uuid.UUID
    run_created_at: datetime
    node_id: str
    attempt: int
    config: Mapping[str, Any]
    timeout: timedelta
    correlation_id: str | None


@dataclass(frozen=True, slots=True)
class ChildAnswer:
    """What came of it: JSON text, or a failure."""

    output: str | None
    failure: Failure | None


LOADED = "loaded"
"""The child's first word: its models are there, and nodes may come."""
