"""The objectives of this installation: the standard ones as shipped, overlaid by those that people defined.

Definitions are kept with all their revisions; a revision is added, never changed. A definition that cannot be read
any more, say after a downgrade, is reported by :func:`entries` and leaves the others alone.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy.orm import Session

from analytics.core.errors import ConflictError, InputError, NotFoundError
from analytics.slo import defaults
from analytics.slo.model import CompositeEvents, Objective
from analytics.slo.specs.native import dump_document, parse_document
from analytics.store.queries import audit, slo_definitions
from analytics.store.queries.slo_definitions import DefinitionRow, RevisionRow
from analytics.store.tables import LIVE

LONGEST_NOTE = 500
_SHIPPED_BY = "helmsight"


@dataclass(frozen=True, slots=True)
class Entry:
    """One objective with where it comes from."""

    slo_id: str
    objective: Objective | None
    """None when its definition cannot be read."""
    problem: str | None
    """Why it cannot be read."""
    revision: int
    """0 for a standard objective as shipped."""
    is_active: bool
    is_standard: bool
    """Whether Helmsight ships an objective of this id."""
    updated_at: datetime | None
    """None for a standard objective as shipped."""
    updated_by: str | None
    origin: str
    """``live`` or ``demo``."""


@dataclass(frozen=True, slots=True)
class Change:
    """One difference between two revisions."""

    path: str
    """Dotted, as in the native form, for example ``window.rolling``."""
    before: str | None
    """None when it was not there."""
    after: str | None
    """None when it is not there any more."""


@dataclass(frozen=True, slots=True)
class Revision:
    """One state of a definition."""

    revision: int
    """0 for a standard objective as shipped."""
    objective: Objective | None
    """None when this revision took it out of use, or cannot be read."""
    is_active: bool
    note: str
    created_at: datetime | None
    """None for revision 0."""
    created_by: str
    changes: Sequence[Change]
    """Against the revision before that had a definition; empty for the first."""


def load(session: Session, *, ids: Sequence[str] | None = None, with_inactive: bool = False) -> Sequence[Objective]:
    """Return the objectives that can be read: standard ones first in their order, then the others by id.

    Args:
        session: The open transaction.
        ids: Only these; unknown ones are left out. None for all.
        with_inactive: Also those taken out of use.
    """
    return [
        entry.objective
        for entry in entries(session, ids=ids, with_inactive=with_inactive)
        if entry.objective is not None
    ]


def entries(session: Session, *, ids: Sequence[str] | None = None, with_inactive: bool = True) -> Sequence[Entry]:
    """Return objectives, also those that cannot be read, in the order of :func:`load`; only *ids* when given."""
    stored = {row.slo_id: row for row in slo_definitions.list_definitions(session, ids=ids)}
    shipped = {item.id: item for item in defaults.objectives() if ids is None or item.id in ids}
    standard = [
        _of_row(stored.pop(slo_id), is_standard=True)
        if slo_id in stored
        else Entry(slo_id, objective, None, 0, True, True, None, None, LIVE)  # noqa: FBT003 - field order
        for slo_id, objective in shipped.items()
    ]
    found = [*standard, *(_of_row(row, is_standard=False) for row in stored.values())]
    return [entry for entry in found if with_inactive or entry.is_active]


def find(session: Session, slo_id: str, *, with_inactive: bool = False) -> Objective:
    """Return the objective *slo_id*.

    Raises:
        NotFoundError: If there is none, or it was taken out of use and *with_inactive* is False.
        InputError: If its definition cannot be read.
    """
    entry = _entry(session, slo_id)
    if entry is None or not (entry.is_active or with_inactive):
        raise _missing(slo_id)
    return _readable(entry)


def check_members(session: Session, objective: Objective) -> None:
    """Refuse a composite whose members do not exist, are composites, or that a composite has as a member.

    Raises:
        InputError: With what is wrong and which objectives could be members.
    """
    if isinstance(objective.indicator, CompositeEvents):
        plain = [item.id for item in load(session) if not isinstance(item.indicator, CompositeEvents)]
        unfit = [item.slo_id for item in objective.indicator.members if item.slo_id not in plain]
        if unfit or objective.id in {item.slo_id for item in objective.indicator.members}:
            raise InputError(
                f"{', '.join(unfit or [objective.id])} cannot be a member of {objective.id}: members are objectives in"
                f" use that are not composites themselves. There are {', '.join(plain)}. Nothing was stored."
            )
        wholes = _composites_of(session, objective.id)
        if wholes:
            raise InputError(
                f"{objective.id} cannot be a composite: it is a member of {', '.join(wholes)}. Nothing was stored."
            )


def save(
    session: Session, objective: Objective, *, actor: str, note: str = "", expected_revision: int | None = None
) -> Objective:
    """Store *objective* as a new revision and return it with its number; one that changes nothing adds none.

    An objective that was taken out of use is in use again.

    Args:
        session: The open transaction.
        objective: What counts from now on, for past events too; its own ``revision`` is not read.
        actor: Who does it.
        note: Why, for the history.
        expected_revision: The revision the change was made from, 0 for none stored; None to write over any.

    Raises:
        ConflictError: If somebody stored another revision since.
        InputError: If it is a composite that :func:`check_members` refuses.
    """
    document = dump_document(objective)
    parse_document(document)
    slo_definitions.lock_definitions(session)
    entry = _entry(session, objective.id)
    _require_revision(entry, objective.id, expected_revision)
    check_members(session, objective)
    kept = entry.objective if entry is not None and entry.is_active else None
    if entry is not None and kept is not None and dump_document(kept) == document:
        return kept
    return _store(session, entry, objective, action="slo.saved", actor=actor, note=note)


def deactivate(
    session: Session, slo_id: str, *, actor: str, note: str = "", expected_revision: int | None = None
) -> int:
    """Take an objective out of use and return the number of that revision; its ledger and history stay.

    Raises:
        NotFoundError: If there is none in use.
        ConflictError: If another revision was stored since, or a composite in use has it as a member.
    """
    slo_definitions.lock_definitions(session)
    entry = _entry(session, slo_id)
    if entry is None or not entry.is_active:
        raise _missing(slo_id)
    _require_revision(entry, slo_id, expected_revision)
    wholes = _composites_of(session, slo_id)
    if wholes:
        raise ConflictError(
            f"{slo_id} is a member of {', '.join(wholes)} and stays in use. Change or take out of use what it is a"
            " member of first."
        )
    stored = slo_definitions.list_definitions(session, ids=[slo_id])
    document = json.loads(stored[0].document) if stored else dump_document(_readable(entry))
    return _write(session, entry, slo_id, document, action="slo.deactivated", actor=actor, note=note)


def restore(session: Session, slo_id: str, *, actor: str, note: str = "") -> Objective:
    """Take an objective into use again, as it was defined last.

    Raises:
        NotFoundError: If there never was one.
        ConflictError: If it is in use.
    """
    slo_definitions.lock_definitions(session)
    entry = _entry(session, slo_id)
    if entry is None:
        raise _missing(slo_id)
    if entry.is_active:
        raise ConflictError(f"{slo_id} is in use; nothing was restored.")
    objective = _readable(entry)
    check_members(session, objective)
    return _store(session, entry, objective, action="slo.restored", actor=actor, note=note)


def revert_to(
    session: Session,
    slo_id: str,
    revision: int,
    *,
    actor: str,
    note: str = "",
    expected_revision: int | None = None,
) -> Objective:
    """Store what *revision* said as a new revision; 0 is a standard objective as shipped.

    Raises:
        NotFoundError: If there is no such revision, or it took the objective out of use.
        ConflictError: If another revision was stored since.
    """
    slo_definitions.lock_definitions(session)
    entry = _entry(session, slo_id)
    _require_revision(entry, slo_id, expected_revision)
    wanted = next((item for item in revisions(session, slo_id) if item.revision == revision), None)
    if wanted is None or not wanted.is_active:
        raise NotFoundError(f"{slo_id} has no definition of revision {revision} to go back to; nothing was stored.")
    if wanted.objective is None:
        raise InputError(f"Revision {revision} of {slo_id} cannot be read; nothing was stored.")
    check_members(session, wanted.objective)
    reason = note or f"Back to revision {revision}"
    return _store(session, entry, wanted.objective, action="slo.reverted", actor=actor, note=reason)


def revisions(session: Session, slo_id: str) -> Sequence[Revision]:
    """Return every revision of an objective, newest first; a standard one ends with revision 0, as shipped.

    Raises:
        NotFoundError: If there never was such an objective.
    """
    shipped = next((item for item in defaults.objectives() if item.id == slo_id), None)
    found: list[Revision] = []
    if shipped is not None:
        found.append(Revision(0, shipped, True, "As shipped", None, _SHIPPED_BY, ()))  # noqa: FBT003 - field order
    before = shipped
    for row in slo_definitions.list_revisions(session, slo_id):
        after = _objective_of(row, slo_id)
        found.append(
            Revision(
                revision=row.revision,
                objective=after,
                is_active=row.document is not None,
                note=row.note,
                created_at=row.created_at,
                created_by=row.created_by,
                changes=changes(before, after),
            )
        )
        before = after or before
    if not found:
        raise _missing(slo_id)
    return found[::-1]


def changes(before: Objective | None, after: Objective | None) -> Sequence[Change]:
    """Return what differs between two definitions, by path; empty when one of them is missing."""
    if before is None or after is None:
        return []
    old, new = dict(_leaves(dump_document(before))), dict(_leaves(dump_document(after)))
    return [Change(path, old.get(path), new.get(path)) for path in {**old, **new} if old.get(path) != new.get(path)]


def _entry(session: Session, slo_id: str) -> Entry | None:
    return next(iter(entries(session, ids=[slo_id])), None)


def _of_row(row: DefinitionRow, *, is_standard: bool) -> Entry:
    read = _parsed(row.document, row.slo_id, row.revision)
    return Entry(
        slo_id=row.slo_id,
        objective=read if isinstance(read, Objective) else None,
        problem=read if isinstance(read, str) else None,
        revision=row.revision,
        is_active=row.is_active,
        is_standard=is_standard,
        updated_at=row.updated_at,
        updated_by=row.updated_by,
        origin=row.origin,
    )


def _objective_of(row: RevisionRow, slo_id: str) -> Objective | None:
    if row.document is None:
        return None
    read = _parsed(row.document, slo_id, row.revision)
    return read if isinstance(read, Objective) else None


@lru_cache(maxsize=1024)
def _parsed(document: str, slo_id: str, revision: int) -> Objective | str:
    """Return the objective that a stored document holds, or why there is none."""
    try:
        objective = parse_document(json.loads(document))
    except InputError as error:
        return error.message
    if objective.id != slo_id:
        return f"It is stored as {slo_id} but says it is {objective.id}."
    return replace(objective, revision=revision)


def _readable(entry: Entry) -> Objective:
    if entry.objective is None:
        raise InputError(
            f"The stored definition of {entry.slo_id} cannot be read: {entry.problem} Store a new one, or go back to an"
            " earlier revision."
        )
    return entry.objective


def _require_revision(entry: Entry | None, slo_id: str, expected: int | None) -> None:
    stored = 0 if entry is None else entry.revision
    if expected is not None and expected != stored:
        raise ConflictError(
            f"{slo_id} is at revision {stored}, and this change was made from revision {expected}. Nothing was stored;"
            " look at what changed, and make the change again.",
            revision=stored,
        )


def _composites_of(session: Session, slo_id: str) -> list[str]:
    """Return the composites in use that have *slo_id* as a member."""
    return [
        item.id
        for item in load(session)
        if isinstance(item.indicator, CompositeEvents)
        and any(member.slo_id == slo_id for member in item.indicator.members)
    ]


def _store(
    session: Session, entry: Entry | None, objective: Objective, *, action: str, actor: str, note: str
) -> Objective:
    document = dump_document(objective)
    revision = _write(session, entry, objective.id, document, action=action, actor=actor, note=note)
    return replace(objective, revision=revision)


def _write(
    session: Session,
    entry: Entry | None,
    slo_id: str,
    document: Mapping[str, Any],
    *,
    action: str,
    actor: str,
    note: str,
) -> int:
    """Add the next revision and say so in the audit log; return its number."""
    if len(note) > LONGEST_NOTE:
        raise InputError(f"The note is longer than {LONGEST_NOTE} characters; nothing was stored.")
    revision = 1 if entry is None else entry.revision + 1
    slo_definitions.add_revision(
        session,
        slo_id,
        document,
        revision=revision,
        is_active=action != "slo.deactivated",
        actor=actor,
        note=note.strip(),
    )
    audit.record(
        session,
        actor=actor,
        action=action,
        object_type="slo",
        object_id=slo_id,
        detail={"revision": revision, "note": note.strip()},
    )
    return revision


def _missing(slo_id: str) -> NotFoundError:
    return NotFoundError(f"There is no objective called {slo_id!r}; nothing was done.", slo_id=slo_id)


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield each plain value of *value* with its dotted path."""
    if isinstance(value, Mapping):
        for name, part in value.items():
            yield from _leaves(part, f"{path}.{name}" if path else str(name))
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for place, part in enumerate(value):
            yield from _leaves(part, f"{path}[{place}]")
    else:
        yield path, value if isinstance(value, str) else json.dumps(value)
