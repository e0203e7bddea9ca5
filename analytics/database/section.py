"""Parts of the picture: each is read by itself, and says what is missing where PostgreSQL does not tell.

A part is read in a savepoint that is read-only, bounded in time and always rolled back, so that one that fails takes
nothing with it and nothing is ever changed.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, TypeVar

import psycopg
from psycopg import sql
from sqlalchemy import exc, text
from sqlalchemy.orm import Session

from analytics.core.clock import utc_now

T = TypeVar("T")

TIMEOUT = timedelta(seconds=5)
"""For one part; what takes longer is not worth its load."""


@dataclass(frozen=True, slots=True)
class Missing:
    """Something this installation lacks, or its role may not see."""

    what: str
    """One sentence: what is missing."""
    costs: str
    """One sentence: what cannot be shown without it."""
    sql: str | None
    """What an administrator of PostgreSQL runs to get it; None when no statement helps."""


@dataclass(frozen=True, slots=True)
class Section(Generic[T]):
    """One part of the picture."""

    value: T | None
    """None when nothing of it could be read; :attr:`missing` says why."""
    missing: Sequence[Missing]
    """Also where a value is there, but not a whole one."""
    read_at: datetime


class LackingError(Exception):
    """A part cannot be read at all, for want of something."""

    def __init__(self, missing: Missing) -> None:
        super().__init__(missing.what)
        self.missing = missing


def read_section(
    session: Session, read: Callable[[Session, list[Missing]], T], what: str, *, timeout: timedelta = TIMEOUT
) -> Section[T]:
    """Return what *read* gives; it appends to its list what it had to leave out.

    Args:
        session: The open transaction; it stays usable, whatever happens.
        read: Reads the part, or raises LackingError.
        what: The part as it stands in a sentence, for example ``the statements``.
        timeout: For each statement of it.

    Raises:
        DependencyError: If PostgreSQL is away; raised by the scope of the session.
    """
    missing: list[Missing] = []
    value: T | None = None
    try:
        with read_only(session, timeout=timeout):
            value = read(session, missing)
    except LackingError as error:
        missing.append(error.missing)
    except exc.DBAPIError as error:
        missing.append(_explained(error, what, timeout, role_of(session)))
    return Section(value, tuple(missing), utc_now())


@contextmanager
def read_only(session: Session, *, timeout: timedelta = TIMEOUT) -> Iterator[None]:
    """Run the block in a savepoint that writes nothing, waits for no lock, and is rolled back."""
    savepoint = session.begin_nested()
    try:
        session.execute(_READ_ONLY)
        session.execute(_LIMITS, {"timeout_ms": str(timeout // timedelta(milliseconds=1))})
        yield
    finally:
        savepoint.rollback()


def _explained(error: exc.DBAPIError, what: str, timeout: timedelta, role: str) -> Missing:
    """Return what an error of the driver means for a reader, or raise it again when PostgreSQL is away."""
    reason = str(error.orig).strip().split("\n")[0]
    costs = f"Without that, {what} cannot be shown."
    if isinstance(error.orig, psycopg.errors.InsufficientPrivilege):
        table = _DENIED.search(reason)
        cure = grant_sql(role) if table is None else f"GRANT SELECT ON {_name(table[1])} TO {_name(role)};"
        return Missing(f"PostgreSQL does not show {what} to this role: {reason}.", costs, cure)
    if isinstance(error.orig, psycopg.errors.QueryCanceled | psycopg.errors.LockNotAvailable):
        took = f"PostgreSQL took longer than {timeout.total_seconds():g} s for {what} and was stopped."
        return Missing(took, "It is tried again with the next look.", None)
    if isinstance(error.orig, psycopg.OperationalError) or error.connection_invalidated:
        raise error
    return Missing(f"PostgreSQL cannot show {what}: {reason}.", costs, None)


def role_of(session: Session) -> str:
    """Return the role that *session* signed in as."""
    return str(session.connection().engine.url.username)


def grant_sql(role: str) -> str:
    """Return what lets *role* see statements, sessions and settings of everybody, and change nothing."""
    return f"GRANT pg_monitor TO {_name(role)};"


def _name(plain: str) -> str:
    return sql.Identifier(plain).as_string()


_DENIED = re.compile(r"permission denied for (?:table|view) (?!pg_)(\w+)")
_READ_ONLY = text("SET TRANSACTION READ ONLY")
_LIMITS = text("SELECT set_config('statement_timeout', :timeout_ms, true), set_config('lock_timeout', '500', true)")
