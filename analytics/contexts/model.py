"""How contexts are used: rows as the page and the API read them.

Times are aware and in UTC, ages in seconds, shares from 0 to 1. None is not known, never zero.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from analytics.core.clock import Interval


@dataclass(frozen=True, slots=True)
class ContextEvent:
    """Something that happened to a context, as a fact of the kind ``context.…`` tells it."""

    context_id: str
    """The ``subject`` of the event."""
    kind: str
    """``context.created``, ``context.read``, ``context.write`` or ``context.archived``."""
    at: datetime
    parent_id: str | None = None
    """What holds it; told by ``created``. None: a root, or not said."""
    type: str | None = None
    """What it is, such as ``workspace``, ``task``, ``conversation``."""
    name: str | None = None
    agent_id: str | None = None
    """Who did it; ``props.agent_id`` of the event."""
    project_id: uuid.UUID | None = None
    origin: str = "live"


@dataclass(frozen=True, slots=True)
class ContextTotals:
    """Contexts over the window, and the same of the window before."""

    contexts: int
    """Known now, archived ones too."""
    open: int
    created: int
    created_before: int
    archived: int
    archived_before: int
    reads: int
    reads_before: int
    writes: int
    writes_before: int
    used: int
    """Open contexts read or written in the window."""
    utilisation: float | None
    """The same as a share of those open; None when none is."""
    agents: int
    """Agents that read or wrote in the window."""


@dataclass(frozen=True, slots=True)
class ContextFact:
    """One thing that happened to a context."""

    at: datetime
    what: str
    """``created``, ``read``, ``write``, ``archived``, or another word."""
    agent_id: str | None
    source: str
    """Who told of it."""


@dataclass(frozen=True, slots=True)
class ContextStep:
    """One step of the window: some UTC days, or hours or minutes of a short one."""

    start: datetime
    created: int
    reads: int
    writes: int
    archived: int


@dataclass(frozen=True, slots=True)
class HourOfWeek:
    """One of 168 hours of a week, summed over the window."""

    weekday: int
    """0 is Monday."""
    hour: int
    created: int
    accesses: int
    """Whatever happened to contexts: reads, writes, creations and archivings."""


@dataclass(frozen=True, slots=True)
class Level:
    """Contexts at one depth of the hierarchy."""

    depth: int
    """0 for those without a parent."""
    contexts: int
    open: int
    used: int
    utilisation: float | None
    with_children: int
    fan_out: float | None
    """Mean number of children of those that have any."""
    most_children: int


@dataclass(frozen=True, slots=True)
class Branch:
    """One context in the picture of the hierarchy with all below it, or several small ones as one."""

    id: str
    parent_id: str | None
    """None at the top."""
    name: str
    type: str
    contexts: int
    """Itself and all below it."""
    used: int
    """Of them, read or written in the window."""
    last_used_at: datetime | None
    """When anything in it was read or written last; None when nothing ever was."""
    is_rest: bool = False
    """Whether it stands for several that are too small to be drawn."""


@dataclass(frozen=True, slots=True)
class AgeBand:
    """Open contexts by how long ago something was."""

    title: str
    """For example ``1 to 7 days``."""
    by_age: int
    """Created so long ago."""
    by_idle: int
    """Last read or written so long ago; never used ones count from their creation."""


@dataclass(frozen=True, slots=True)
class TypeUse:
    """Contexts of one type."""

    type: str
    contexts: int
    open: int
    used: int
    utilisation: float | None
    never_read: int
    median_life_s: float | None
    """From creation to archiving, of those archived; None when none was."""


@dataclass(frozen=True, slots=True)
class AgentUse:
    """What one agent does with contexts."""

    agent_id: str
    accesses: int
    """In the window."""
    accesses_before: int
    created: int
    """In the window."""
    open: int
    """Contexts it created that are open."""


@dataclass(frozen=True, slots=True)
class ContextRow:
    """One context."""

    id: str
    parent_id: str | None
    name: str
    type: str
    agent_id: str | None
    created_at: datetime
    archived_at: datetime | None
    last_read_at: datetime | None
    last_write_at: datetime | None
    accesses: int
    """In the window."""
    is_demo: bool


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """How contexts come, live and go."""

    bands: Sequence[AgeBand]
    never_read: int
    """Open contexts that nobody ever read."""
    idle: int
    """Open contexts not used for :attr:`idle_after_days`."""
    idle_after_days: int
    median_life_s: float | None
    """From creation to archiving; None when none was archived."""
    archived_share: float | None
    """None when there is no context."""
    to_archive: Sequence[ContextRow]
    """Open contexts that have been idle for longest, a few."""


@dataclass(frozen=True, slots=True)
class Patterns:
    """When contexts are created and used."""

    by_hour: Sequence[HourOfWeek]
    """All 168, Monday first."""
    zone: str
    """The time zone that weekdays and hours are told in."""
    interval: Interval
    """Shorter than the window where hours are not kept for so long."""


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """How contexts hold contexts."""

    levels: Sequence[Level]
    deepest: int
    orphans: int
    """Contexts whose parent was never told of; they count as roots."""
    in_loops: int
    """Contexts that hold themselves through others, or lie deeper than 64 levels; they stand at no depth."""
    branches: Sequence[Branch]
    """The largest, parents before children."""


@dataclass(frozen=True, slots=True)
class ContextUsage:
    """How contexts are used over a window."""

    interval: Interval
    """What was really measured: whole hours or days."""
    totals: ContextTotals
    steps: Sequence[ContextStep]
    """Oldest first."""
    types: Sequence[TypeUse]
    agents: Sequence[AgentUse]
    most_used: Sequence[ContextRow]
    hierarchy: Hierarchy
    lifecycle: Lifecycle
    patterns: Patterns | None
    """None when it was not asked for."""
    includes_demo: bool
    newest: datetime | None
    """Time of the newest fact it rests on; None when there is none."""
