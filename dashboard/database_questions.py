"""What the page of the database asks; beside :mod:`dashboard.data`, in the same form.

Nothing of it is kept while PostgreSQL is away: how a database was that does not answer helps nobody.
"""

from collections.abc import Sequence
from datetime import timedelta

from analytics.core.clock import utc_now
from analytics.database import (
    activity,
    check_settings,
    database_findings,
    index_advice,
    index_findings,
    io_report,
    made_indexes,
    server_state,
    statements,
    tables,
)
from analytics.database.model import (
    Activity,
    AdviceReport,
    Finding,
    IndexReport,
    IoReport,
    MadeIndex,
    Order,
    ServerState,
    SettingCheck,
    Statements,
    TableState,
    Whose,
)
from analytics.database.section import Section
from analytics.store.engine import session_scope
from dashboard.auth.roles import Role
from dashboard.context import AppContext
from dashboard.data import question

_LOCKS = timedelta(seconds=2)
_STATE = timedelta(seconds=10)
_MINUTE = timedelta(seconds=60)


@question(fresh_for=_STATE, role=Role.OPERATOR, is_kept=False)
def database_state(context: AppContext) -> Section[ServerState]:
    """Return the state of the server and our database."""
    with session_scope(context.engine) as session:
        return server_state(session)


@question(fresh_for=_MINUTE, role=Role.OPERATOR, is_kept=False)
def database_problems(context: AppContext) -> Sequence[Finding]:
    """Return what somebody should look at."""
    with session_scope(context.engine) as session:
        return database_findings(session, now=utc_now())


@question(fresh_for=_STATE, role=Role.OPERATOR, is_kept=False)
def database_statements(context: AppContext, order: Order, whose: Whose) -> Section[Statements]:
    """Return the dearest statements."""
    with session_scope(context.engine) as session:
        return statements(session, order=order, whose=whose, limit=50)


@question(fresh_for=_MINUTE, role=Role.OPERATOR, is_kept=False)
def database_index_advice(context: AppContext) -> Section[AdviceReport]:
    """Return indexes that statements would use."""
    with session_scope(context.engine) as session:
        return index_advice(session)


@question(fresh_for=_LOCKS, role=Role.OPERATOR, is_kept=False)
def database_made_indexes(context: AppContext) -> Section[Sequence[MadeIndex]]:
    """Return the indexes that were made from their advice, or are to be."""
    with session_scope(context.engine) as session:
        return made_indexes(session)


@question(fresh_for=_MINUTE, role=Role.OPERATOR, is_kept=False)
def database_indexes(context: AppContext) -> Section[IndexReport]:
    """Return indexes with something wrong."""
    with session_scope(context.engine) as session:
        return index_findings(session)


@question(fresh_for=_MINUTE, role=Role.OPERATOR, is_kept=False)
def database_tables(context: AppContext) -> Section[Sequence[TableState]]:
    """Return the largest tables."""
    with session_scope(context.engine) as session:
        return tables(session, now=utc_now())


@question(fresh_for=_LOCKS, role=Role.OPERATOR, is_kept=False)
def database_activity(context: AppContext) -> Section[Activity]:
    """Return who waits for whom."""
    with session_scope(context.engine) as session:
        return activity(session)


@question(fresh_for=_STATE, role=Role.OPERATOR, is_kept=False)
def database_io(context: AppContext) -> Section[IoReport]:
    """Return input and output."""
    with session_scope(context.engine) as session:
        return io_report(session)


@question(fresh_for=_MINUTE, role=Role.OPERATOR, is_kept=False)
def database_settings(context: AppContext) -> Section[Sequence[SettingCheck]]:
    """Return settings beside what is advised."""
    with session_scope(context.engine) as session:
        return check_settings(session)
