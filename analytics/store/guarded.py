"""Questions to our PostgreSQL that somebody wrote: read-only, bounded in time, away from secrets.

PostgreSQL judges the statement, not we its text. It runs in a savepoint that is always rolled back: read-only, so it
writes nothing; with bound parameters, so it is one statement; its plan tells which tables it reads, and those that
hold secrets are refused. A superuser's rights are put down first.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

import psycopg
from sqlalchemy import Row, exc, text
from sqlalchemy.orm import Session

from analytics.core.errors import DependencyError, InputError, PolicyError

SECRET_TABLES = frozenset({"app_user", "api_token", "user_session", "login_failure", "pg_authid", "pg_shadow"})

READ_ONLY = text("SET TRANSACTION READ ONLY")
LIMITS = text(
    "SELECT set_config('statement_timeout', :timeout_ms, true), set_config('role', CASE WHEN rolsuper"
    " THEN 'pg_read_all_data' ELSE 'none' END, true) FROM pg_roles WHERE rolname = session_user"
)


def guarded_rows(
    session: Session, statement: str, values: Mapping[str, Any], *, timeout: timedelta
) -> Sequence[Row[Any]]:
    """Return the rows of *statement*, one SELECT with ``:name`` for each of *values*; the session stays usable.

    Raises:
        InputError: If PostgreSQL refuses the statement, or it takes longer than *timeout*.
        PolicyError: If it reads a table that holds secrets.
        DependencyError: If PostgreSQL is away.
    """
    question = text(statement)
    savepoint = session.begin_nested()
    try:
        session.execute(READ_ONLY)
        session.execute(LIMITS, {"timeout_ms": str(max(1, timeout // timedelta(milliseconds=1)))})
        check_plan(session.execute(text(f"EXPLAIN (FORMAT JSON) {statement}"), values).scalar_one())
        return session.execute(question, values).all()
    except exc.DBAPIError as error:
        raise _explained(error, timeout) from error
    finally:
        savepoint.rollback()


def check_plan(plans: Sequence[Mapping[str, Any]]) -> None:
    """Refuse a statement whose plan, as EXPLAIN gives it, reads a table that holds secrets.

    Raises:
        PolicyError: If it does.
    """
    for plan in plans:
        for name in _relations(plan["Plan"]):
            if name in SECRET_TABLES:
                raise PolicyError(f"The statement reads {name}, which holds secrets; it was not run.")


def _relations(plan: Mapping[str, Any]) -> Iterator[str]:
    open_plans = [plan]
    while open_plans:
        current = open_plans.pop()
        if "Relation Name" in current:
            yield current["Relation Name"]
        open_plans += current.get("Plans", [])


def _explained(error: exc.DBAPIError, timeout: timedelta) -> Exception:
    reason = str(error.orig).strip().split("\n")[0]
    if isinstance(error.orig, psycopg.errors.QueryCanceled):
        return InputError(
            f"The statement took longer than {timeout.total_seconds():g} s; PostgreSQL stopped it and nothing was"
            " read. Make it read less, or give what its time is made of an index."
        )
    if isinstance(error.orig, psycopg.OperationalError) or error.connection_invalidated:
        return DependencyError(f"PostgreSQL did not answer ({reason}); nothing was read.", part="postgres")
    return InputError(f"PostgreSQL refuses the statement: {reason}. Nothing was read.")
