"""PostgreSQL itself: its state, what it spends its time on, indexes, tables, locks; advised indexes made and dropped.

Reading is for operators, making and dropping for administrators. Operators are called when something is stuck; and
what is shown is statements without their values, of our database alone, so it tells how the product is built and how
it does, not what is in it.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

from pydantic import Field
from sqlalchemy.orm import Session

from analytics.core.clock import utc_now
from analytics.database import (
    activity,
    check_settings,
    database_findings,
    index_advice,
    index_findings,
    io_report,
    made_indexes,
    request_drop,
    request_index,
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
from analytics.database.statements import MOST
from analytics.store.engine import session_scope
from dashboard.api.operations import Asked, Call, Operation
from dashboard.auth.roles import Role

T = TypeVar("T")


class StatementsQuery(Asked):
    """Which statements, and in which order."""

    order: Order = Field(default="total", description="By which figure, the greatest first.")
    whose: Whose = Field(default="all", description="Those our role ran, those of other roles, or all.")
    limit: int = Field(default=20, ge=1, le=MOST, description="The most items.")


class TablesQuery(Asked):
    """How many tables."""

    limit: int = Field(default=50, ge=1, le=500, description="The most items.")


class IndexAsked(Asked):
    """Which advised index to make."""

    advice: str = Field(min_length=1, max_length=500, description="`key` of an index that is advised.")


async def get_state(call: Call) -> Section[ServerState]:
    """Return the state of the server."""
    return await _read(call, server_state)


async def list_findings(call: Call) -> Sequence[Finding]:
    """Return what somebody should look at."""
    return await _read(call, partial(database_findings, now=utc_now()))


async def list_settings(call: Call) -> Section[Sequence[SettingCheck]]:
    """Return settings beside what is advised."""
    return await _read(call, check_settings)


async def list_statements(call: Call) -> Section[Statements]:
    """Return the dearest statements."""
    query = call.query(StatementsQuery)
    return await _read(call, partial(statements, order=query.order, whose=query.whose, limit=query.limit))


async def list_advice(call: Call) -> Section[AdviceReport]:
    """Return indexes that are advised."""
    return await _read(call, index_advice)


async def list_made(call: Call) -> Section[Sequence[MadeIndex]]:
    """Return the indexes that were asked for from the advice."""
    return await _read(call, made_indexes)


async def make_index(call: Call) -> MadeIndex:
    """Ask for an index that is advised."""
    return await _read(call, partial(request_index, key=call.body(IndexAsked).advice, actor=call.viewer.actor))


async def drop_index(call: Call) -> MadeIndex:
    """Ask for an index to be dropped that was made from its advice."""
    return await _read(call, partial(request_drop, name=call.path("name"), actor=call.viewer.actor))


async def list_indexes(call: Call) -> Section[IndexReport]:
    """Return indexes with something wrong."""
    return await _read(call, index_findings)


async def list_tables(call: Call) -> Section[Sequence[TableState]]:
    """Return the largest tables."""
    return await _read(call, partial(tables, now=utc_now(), limit=call.query(TablesQuery).limit))


async def get_activity(call: Call) -> Section[Activity]:
    """Return who waits for whom."""
    return await _read(call, activity)


async def get_io(call: Call) -> Section[IoReport]:
    """Return what was read and written."""
    return await _read(call, io_report)


async def _read(call: Call, question: Callable[[Session], T]) -> T:
    def ask() -> T:
        with session_scope(call.context.engine) as session:
            return question(session)

    return await call.in_thread(ask)


def _get(path: str, handler: Any, doc: str, answer: Any, query: type[Asked] | None = None) -> Operation:
    return Operation("GET", path, handler, doc, Role.OPERATOR, answer, query=query)


_MADE = "/database/made-indexes"

OPERATIONS = (
    _get(
        "/database",
        get_state,
        "Return the state of PostgreSQL, of our database and its connections.",
        Section[ServerState],
    ),
    _get(
        "/database/findings", list_findings, "Return what is wrong with the database, the worst first.", list[Finding]
    ),
    _get(
        "/database/settings",
        list_settings,
        "Return settings of the server beside what is advised.",
        Section[list[SettingCheck]],
    ),
    _get(
        "/database/statements",
        list_statements,
        "Return the statements that cost the most, without their values; null when PostgreSQL does not count them.",
        Section[Statements],
        StatementsQuery,
    ),
    _get("/database/index-advice", list_advice, "Return indexes that statements would use.", Section[AdviceReport]),
    _get(
        _MADE,
        list_made,
        "Return the indexes that were asked for from the advice, with how they stand and how often they were used.",
        Section[list[MadeIndex]],
    ),
    Operation(
        "POST",
        _MADE,
        make_index,
        "Ask for an index that is advised; the scheduler makes it beside readers and writers.",
        Role.ADMIN,
        MadeIndex,
        body=IndexAsked,
        status=202,
        doing="make an index",
    ),
    Operation(
        "DELETE",
        f"{_MADE}/{{name}}",
        drop_index,
        "Ask for an index to be dropped that was made from its advice; no other can be.",
        Role.ADMIN,
        MadeIndex,
        status=202,
        doing="drop an index",
    ),
    _get("/database/indexes", list_indexes, "Return unused, duplicate and broken indexes.", Section[IndexReport]),
    _get(
        "/database/tables",
        list_tables,
        "Return the largest tables with their growth, dead rows and bloat.",
        Section[list[TableState]],
        TablesQuery,
    ),
    _get(
        "/database/activity", get_activity, "Return who waits for whose lock, and old transactions.", Section[Activity]
    ),
    _get("/database/io", get_io, "Return input and output of the server by kind of process.", Section[IoReport]),
)
