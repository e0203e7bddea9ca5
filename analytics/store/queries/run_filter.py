"""Which runs a list is about: the filter, and the condition in SQL that it stands for.

Names and searches are looked up first, in small tables and indexes, so that the condition holds ids only and an index
of ``run`` serves it. Nothing here reads runs.
"""

import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal

from sqlalchemy import text
from sqlalchemy.orm import Session

from analytics.core.clock import Interval
from analytics.core.errors import InputError

OPEN = ("queued", "running", "waiting", "paused", "needs_attention")
ENDED = ("completed", "failed", "cancelled")
STATUSES = (*OPEN, *ENDED)

MAX_MATCHES = 200
"""The most workflows, or requesters, that a search stands for."""

_ID_PREFIX = re.compile(r"[0-9a-f]{4,32}", re.ASCII)
_LONGEST_S = 1e9
_ESCAPED = str.maketrans({"\\": "\\\\", "%": "\\%", "_": "\\_"})


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs; every part narrows it, an empty one does not."""

    statuses: tuple[str, ...] = ()
    """Only runs in one of these."""
    workflow_id: uuid.UUID | None = None
    workflow: str | None = None
    """The whole name of the workflow."""
    search: str | None = None
    """Part of the workflow's or the requester's name, or the first four or more digits of the run's id."""
    tags: tuple[str, ...] = ()
    """Only runs that have all of these."""
    requested_by: str | None = None
    triggers: tuple[str, ...] = ()
    """Only runs started by one of these: ``page``, ``api``, ``schedule`` and so on."""
    schedule_id: uuid.UUID | None = None
    interval: Interval | None = None
    """Only runs created in ``[since, until)``."""
    min_duration_s: float | None = None
    """Only runs that ended and took at least so many seconds."""


@dataclass(slots=True)
class Condition:
    """A condition over ``run r`` with the values it binds."""

    parts: list[str] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)
    is_impossible: bool = False
    """No run can meet it: what it names does not exist."""

    def add(self, part: str, **values: Any) -> None:
        """Ask for one thing more."""
        self.parts.append(part)
        self.values.update(values)

    @property
    def sql(self) -> str:
        """Return it as SQL; nothing but the texts of this module goes in, every value is bound."""
        return " AND ".join(self.parts) or "true"


def condition_of(session: Session, wanted: RunFilter) -> Condition:
    """Return *wanted* as a condition; reads what its names and its search stand for.

    Raises:
        InputError: If a status does not exist or the duration is negative; nothing was read.
    """
    _check(wanted)
    found = Condition()
    for part, values in _plain_parts(wanted):
        found.add(part, **values)
    if wanted.workflow is not None:
        named = session.scalar(text("SELECT id FROM workflow WHERE name = :name"), {"name": wanted.workflow})
        found.is_impossible |= named is None
        found.add("r.workflow_id = :named_id", named_id=named)
    if wanted.search and wanted.search.strip():
        _add_search(session, found, wanted.search.strip())
    return found


def id_range(prefix: str) -> tuple[uuid.UUID, uuid.UUID] | None:
    """Return the first and last id that begin with *prefix*; None when it is not the beginning of an id.

    Fewer than four digits are not taken for one: too many words are made of the letters a to f.
    """
    digits = prefix.lower().replace("-", "")
    if _ID_PREFIX.fullmatch(digits) is None:
        return None
    return uuid.UUID(digits.ljust(32, "0")), uuid.UUID(digits.ljust(32, "f"))


def _check(wanted: RunFilter) -> None:
    unknown = sorted(set(wanted.statuses) - set(STATUSES))
    if unknown:
        raise InputError(f"There is no run status {unknown[0]!r}; there are {', '.join(STATUSES)}. Nothing was read.")
    if wanted.min_duration_s is not None and not 0 <= wanted.min_duration_s <= _LONGEST_S:
        raise InputError(f"A run cannot take {wanted.min_duration_s} s; nothing was read.")


def _plain_parts(wanted: RunFilter) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield what can be asked of a run's row as it stands, with the values it binds."""
    if wanted.statuses:
        yield "r.status = ANY(:statuses)", {"statuses": list(wanted.statuses)}
    if wanted.workflow_id is not None:
        yield "r.workflow_id = :workflow_id", {"workflow_id": wanted.workflow_id}
    if wanted.tags:
        # The second half lets the partial index serve it.
        yield "r.tags @> CAST(:tags AS text[]) AND r.tags <> '{}'", {"tags": list(wanted.tags)}
    if wanted.requested_by is not None:
        yield "r.requested_by = :requested_by", {"requested_by": wanted.requested_by}
    if wanted.triggers:
        yield "r.trigger = ANY(:triggers)", {"triggers": list(wanted.triggers)}
    if wanted.schedule_id is not None:
        yield "r.schedule_id = :schedule_id", {"schedule_id": wanted.schedule_id}
    if wanted.interval is not None:
        since, until = wanted.interval.since, wanted.interval.until
        yield "r.created_at >= :since AND r.created_at < :until", {"since": since, "until": until}
    if wanted.min_duration_s is not None:
        shortest = {"shortest": timedelta(seconds=wanted.min_duration_s)}
        yield "r.finished_at - r.started_at >= :shortest", shortest


def _add_search(session: Session, found: Condition, search: str) -> None:
    pattern = f"%{search.translate(_ESCAPED)}%"
    alternatives = []
    workflow_ids = _matching_workflows(session, pattern)
    if workflow_ids:
        alternatives.append("r.workflow_id = ANY(:searched_ids)")
        found.values["searched_ids"] = workflow_ids
    people = distinct_values(session, "requested_by", most=MAX_MATCHES, pattern=pattern)
    if people:
        alternatives.append("r.requested_by = ANY(:searched_people)")
        found.values["searched_people"] = people
    ids = id_range(search)
    if ids is not None:
        alternatives.append("r.id BETWEEN :first_id AND :last_id")
        found.values |= {"first_id": ids[0], "last_id": ids[1]}
    found.is_impossible |= not alternatives
    found.add(f"({' OR '.join(alternatives) or 'false'})")


def _matching_workflows(session: Session, pattern: str) -> list[uuid.UUID]:
    rows = session.scalars(
        text("SELECT id FROM workflow WHERE name ILIKE :pattern ORDER BY name LIMIT :most"),
        {"pattern": pattern, "most": MAX_MATCHES},
    )
    return list(rows)


def distinct_values(
    session: Session, column: Literal["requested_by", "trigger"], *, most: int, pattern: str = "%"
) -> list[str]:
    """Return the different values of a column of ``run`` that match *pattern*, by name.

    Jumps from value to value in the column's index, so that the number of runs does not matter.
    """
    rows = session.scalars(
        text(
            f"WITH RECURSIVE found(value) AS (SELECT min({column}) FROM run"  # noqa: S608 - one of two names
            f" UNION ALL SELECT (SELECT min({column}) FROM run WHERE {column} > found.value)"
            " FROM found WHERE found.value IS NOT NULL)"
            " SELECT value FROM found WHERE value ILIKE :pattern LIMIT :most"
        ),
        {"pattern": pattern, "most": most},
    )
    return list(rows)
