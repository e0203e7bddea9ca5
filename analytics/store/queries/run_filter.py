"""Which runs a list is about: the filter, and the condition in SQL that it stands for.

Names and searches are looked up first, in small tables and indexes, so that the condition holds ids only and an index
of ``run`` serves it. Nothing here reads runs.
"""

import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
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
FEW = 2_000
"""Of so few runs that take long, all are read; of more, the newest runs are looked through."""
_MOST_MERGED = 20_000
_LONGER = text("SELECT count(*) FROM (SELECT FROM run WHERE took_s >= :shortest_s LIMIT :most) longer")
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
    alternatives: list["Alternative"] = field(default_factory=list)
    """What a search stands for; a run has to meet one of them, besides the parts."""
    is_impossible: bool = False
    """No run can meet it: what it names does not exist."""
    is_sparse: bool = False
    """So few runs meet it that all of them are read and sorted, and not the newest runs looked through."""

    def add(self, part: str, **values: Any) -> None:
        """Ask for one thing more."""
        self.parts.append(part)
        self.values.update(values)

    @property
    def sql(self) -> str:
        """Return it as SQL over ``run r``; nothing but the texts of this module goes in, every value is bound."""
        parts = [*self.parts, f"({' OR '.join(item.sql for item in self.alternatives)})"] if self.alternatives else None
        return " AND ".join(parts or self.parts) or "true"

    def keys_sql(self, limit: int) -> str:
        """Return a query for ``id`` and ``created_at`` of the newest runs that meet it, at most *limit* of them.

        A search is read value by value, the newest runs of each from its index, and merged: then each value costs no
        more than its newest runs. Where that would be too many, one of them is bound to be found among the newest runs.
        """
        self.values["limit"] = limit
        newest = "ORDER BY r.created_at DESC, r.id DESC LIMIT :limit"
        if self.is_sparse:
            newest = "ORDER BY r.created_at + interval '0' DESC, r.id DESC LIMIT :limit"
        wanted = limit * sum(len(self.values.get(f"searched_{item.column}", "1")) for item in self.alternatives)
        if not self.alternatives or wanted > _MOST_MERGED:
            return f"SELECT r.id, r.created_at FROM run r WHERE {self.sql} {newest}"  # noqa: S608 - constants
        plain = " AND ".join(self.parts) or "true"
        merged = " UNION ".join(item.keys_sql(plain) for item in self.alternatives)
        return f"SELECT r.id, r.created_at FROM ({merged}) r {newest}"  # noqa: S608 - constants


@dataclass(frozen=True, slots=True)
class Alternative:
    """One thing a search may mean."""

    column: Literal["workflow_id", "requested_by", "id"]
    array: str | None
    """The type of ``:searched_<column>``, the values it may have; None: ids from ``:first_id`` to ``:last_id``."""

    @property
    def sql(self) -> str:
        """Return it as a condition over ``run r``."""
        if self.array is None:
            return "r.id BETWEEN :first_id AND :last_id"
        return f"r.{self.column} = ANY(CAST(:searched_{self.column} AS {self.array}))"

    def keys_sql(self, others: str) -> str:
        """Return a query for the newest runs that meet it and *others*, ``:limit`` at most."""
        newest = "ORDER BY r.created_at DESC, r.id DESC LIMIT :limit"
        if self.array is None:
            return f"(SELECT r.id, r.created_at FROM run r WHERE {self.sql} AND {others} {newest})"  # noqa: S608
        return (
            f"(SELECT k.id, k.created_at FROM unnest(CAST(:searched_{self.column} AS {self.array})) s(value)"  # noqa: S608
            " CROSS JOIN LATERAL (SELECT r.id, r.created_at FROM run r"
            f" WHERE r.{self.column} = s.value AND {others} {newest}) k)"
        )


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
    if wanted.min_duration_s is not None:
        longer = session.scalar(_LONGER, {"shortest_s": wanted.min_duration_s, "most": FEW + 1}) or 0
        found.is_sparse = longer <= FEW and not found.alternatives
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
        yield "r.took_s >= :shortest_s", {"shortest_s": wanted.min_duration_s}


def _add_search(session: Session, found: Condition, search: str) -> None:
    pattern = f"%{search.translate(_ESCAPED)}%"
    workflow_ids = _matching_workflows(session, pattern)
    if workflow_ids:
        found.alternatives.append(Alternative("workflow_id", "uuid[]"))
        found.values["searched_workflow_id"] = workflow_ids
    people = distinct_values(session, "requested_by", most=MAX_MATCHES, pattern=pattern)
    if people:
        found.alternatives.append(Alternative("requested_by", "text[]"))
        found.values["searched_requested_by"] = people
    ids = id_range(search)
    if ids is not None:
        found.alternatives.append(Alternative("id", None))
        found.values |= {"first_id": ids[0], "last_id": ids[1]}
    found.is_impossible |= not found.alternatives


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
