"""What a model worker and its child say to each other; everything in it can be pickled."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from worker.runtime import Failure
from worker.workflow.artifacts import ArtifactRow
from worker.workflow.logs import Level


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
    map_index: int = -1
    key: str | None = None
    """The same on every attempt; None: made from the run and the node."""


@dataclass(frozen=True, slots=True)
class ChildLine:
    """A line of the node's log."""

    level: Level
    message: str


@dataclass(frozen=True, slots=True)
class ChildSkipped:
    """Lines that were over the limit of an attempt, so that the child did not send them."""

    lines: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class ChildAnswer:
    """What came of it: JSON text with what was saved, or a failure."""

    output: str | None
    failure: Failure | None
    artifacts: tuple[ArtifactRow, ...] = ()
    cpu_s: float | None = None
    """Processor time of the node and the processes it waited for; None when the child could not tell."""


ChildMessage = ChildLine | ChildSkipped | ChildAnswer

LOADED = "loaded"
"""The child's first word: its models are there, and nodes may come."""
