"""The node kind ``sql.query``: one question to our own PostgreSQL, read-only, bounded in rows and time.

PostgreSQL judges the statement, not we its text: it runs as a cursor, so it is one SELECT or VALUES; in a read-only
transaction, so it writes nothing; prepared, so it is one statement. Its plan tells which tables it reads; those that
hold secrets are refused. Where there is a role that may only read, it asks as that one, which no function it calls can
get around (:mod:`analytics.store.reading`); a superuser's rights are put down first. Values come as bound parameters,
never as text.
"""

import functools
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import psycopg
from psycopg.rows import tuple_row
from sqlalchemy import exc, text
from sqlalchemy.ext.asyncio import AsyncConnection

from analytics.core.errors import DependencyError, InputError, InvariantError
from analytics.store.engine import translated
from analytics.store.guarded import LIMITS, READ_ONLY, check_plan
from worker.runtime import NodeTimeoutError
from worker.workflow.node_kind import Idempotence, NodeCall, NodeKind, Transport

MAX_ROWS = 10_000
_UNLOCK = text("SELECT pg_advisory_unlock_all()")
"""Such locks outlive their transaction, and the connection goes back to others."""


async def _run(call: NodeCall) -> dict[str, Any]:
    engine = call.resources.reader or call.resources.async_engine
    if engine is None:
        raise InvariantError("sql.query was run without a database engine; nothing was asked.")
    timeout_ms = max(1, int(call.timeout.total_seconds() * 1000))
    most = call.config.get("max_rows", 1000)
    with translated():
        async with engine.connect() as connection:
            await connection.execute(READ_ONLY)
            await connection.execute(LIMITS, {"timeout_ms": str(timeout_ms)})
            try:
                answer = await _ask(connection, call, most)
            except psycopg.Error as error:
                raise _explained(error, call) from error
            finally:
                await connection.rollback()
                await connection.execute(_UNLOCK)
    rows = f"{answer['row_count']} rows of {len(answer['columns'])} columns"
    if answer["truncated"]:
        said = f"{rows}; there are more, but `max_rows` is {most}"
        call.log.warning(said)
    else:
        call.log.info(rows)
    return answer


async def _ask(connection: AsyncConnection, call: NodeCall, most: int) -> dict[str, Any]:
    driver: Any = (await connection.get_raw_connection()).driver_connection
    statement, values = _bound(connection, call.config["sql"], call.config.get("params", {}))
    async with driver.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(f"EXPLAIN (FORMAT JSON) {statement}", values, prepare=True)
        check_plan((await cursor.fetchone())[0])
        await cursor.execute(f"DECLARE answer NO SCROLL CURSOR FOR {statement}", values, prepare=True)
        await cursor.execute(f"FETCH {most + 1} FROM answer")
        columns = [column.name for column in cursor.description]
        rows = await cursor.fetchall()
    _check_columns(columns)
    kept = [{name: _plain(value) for name, value in zip(columns, row, strict=True)} for row in rows[:most]]
    return {"columns": columns, "rows": kept, "row_count": len(kept), "truncated": len(rows) > most}


def _bound(connection: AsyncConnection, sql: str, params: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return *sql* with ``:name`` in the driver's form, and the values."""
    compiled = text(sql).compile(dialect=connection.dialect)
    missing = sorted(set(compiled.params) - set(params))
    if missing:
        raise InputError(f"The statement needs the parameters {', '.join(missing)}; it was not run.")
    values = {name: params[name] for name in compiled.params}
    nested = sorted(name for name, value in values.items() if isinstance(value, dict))
    if nested:
        raise InputError(f"The parameter {nested[0]!r} is an object; bind its parts. The statement was not run.")
    return str(compiled), values


def _check_columns(columns: list[str]) -> None:
    twice = {name for name in columns if columns.count(name) > 1}
    if twice:
        raise InputError(f"Two columns are called {min(twice)!r}; name each with AS.")


def _explained(error: psycopg.Error, call: NodeCall) -> Exception:
    reason = str(error).strip().split("\n")[0]
    if isinstance(error, psycopg.errors.QueryCanceled):
        return NodeTimeoutError(
            f"The statement of {call.node_id!r} took longer than {call.timeout.total_seconds():g} s; PostgreSQL"
            " stopped it."
        )
    if isinstance(error, psycopg.OperationalError | exc.OperationalError):
        return DependencyError(f"PostgreSQL did not answer ({reason}); nothing was read.", part="postgres")
    return InputError(f"PostgreSQL refuses the statement: {reason}. Nothing was read.", sqlstate=error.sqlstate)


@functools.singledispatch
def _plain(value: Any) -> Any:
    """Return a column's value as JSON can say it; exact numbers become floats, bytes hexadecimal, the rest text."""
    return str(value)


@_plain.register(type(None))
@_plain.register(int)
@_plain.register(float)
@_plain.register(str)
def _(value: Any) -> Any:
    return value


@_plain.register
def _(value: Decimal) -> Any:
    return int(value) if value.is_finite() and value == value.to_integral_value() else float(value)


@_plain.register(datetime)
@_plain.register(date)
@_plain.register(time)
def _(value: Any) -> Any:
    return value.isoformat()


@_plain.register
def _(value: timedelta) -> Any:
    return value.total_seconds()


@_plain.register(bytes)
@_plain.register(memoryview)
def _(value: Any) -> Any:
    return bytes(value).hex()


@_plain.register
def _(value: list) -> Any:  # type: ignore[type-arg]
    return [_plain(item) for item in value]


@_plain.register
def _(value: dict) -> Any:  # type: ignore[type-arg]
    return {str(key): _plain(item) for key, item in value.items()}


KIND = NodeKind(
    name="sql.query",
    summary="Asks our PostgreSQL one question, read-only.",
    config_schema={
        "type": "object",
        "required": ["sql"],
        "additionalProperties": False,
        "properties": {
            "sql": {"type": "string", "minLength": 1, "maxLength": 100_000, "description": "One SELECT."},
            "params": {"type": "object", "description": "Values for `:name` in the statement."},
            "max_rows": {"type": "integer", "minimum": 1, "maximum": MAX_ROWS, "default": 1000},
        },
    },
    transport=Transport.INLINE,
    idempotence=Idempotence.IDEMPOTENT,
    run=_run,
    cacheable=True,
    docs="""Puts out `columns`, `rows` (a list of objects), `row_count` and `truncated`. One SELECT, read-only, in a
time limit that PostgreSQL keeps; tables that hold secrets are refused. Values come in as parameters, never as text:
`:name` in the statement, and `params`.

```yaml
- id: failed
  kind: sql.query
  config:
    sql: >-
      SELECT id, error->>'message' AS message FROM run
      WHERE status = 'failed' AND created_at > now() - make_interval(hours => CAST(:hours AS int))
    params: {hours: "{{ params.hours }}"}
    max_rows: 100
```
""",
    literals=("sql",),
)
