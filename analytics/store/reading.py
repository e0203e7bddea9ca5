"""The role that may only read: ``sql.query`` asks as it, on connections of its own.

Grants keep it from secrets and from writing, whatever a statement calls: a function that runs a text as a statement
does so with its rights. It is not Helmsight's own role with less: what a session puts down, a statement can take up.
"""

import psycopg.sql
from sqlalchemy import Connection, Engine, make_url, text
from sqlalchemy.ext.asyncio import AsyncEngine

from analytics.core.errors import ConfigError
from analytics.core.settings import Settings
from analytics.store.engine import driver_url, make_async_engine, translated
from analytics.store.guarded import SECRET_TABLES


def make_reader(settings: Settings) -> AsyncEngine | None:
    """Return a pooled engine that may only read; None where no such role is named."""
    if settings.store.reader_dsn is None:
        return None
    store = settings.store.model_copy(update={"dsn": settings.store.reader_dsn})
    return make_async_engine(settings.model_copy(update={"store": store}), role="reader")


def let_read(engine: Engine, settings: Settings) -> str | None:
    """Let the role that may only read have what it reads, and nothing else; return its name, None where none is named.

    It gets the tables that our role owns, those without secrets. Safe to run twice.

    Raises:
        ConfigError: If there is no such role, or it may do more; nothing was granted.
        DependencyError: If PostgreSQL is away.
    """
    if settings.store.reader_dsn is None:
        return None
    role = str(make_url(driver_url(settings.store.reader_dsn.get_secret_value())).username)
    with translated(), engine.begin() as connection:
        _check(connection, role)
        tables = connection.execute(_OURS, {"secrets": sorted(SECRET_TABLES)}).all()
        to = psycopg.sql.Identifier(role).as_string()
        for schema in sorted({row.schema for row in tables}):
            names = ", ".join(
                psycopg.sql.Identifier(schema, row.name).as_string() for row in tables if row.schema == schema
            )
            connection.execute(text(f"GRANT USAGE ON SCHEMA {psycopg.sql.Identifier(schema).as_string()} TO {to}"))
            connection.execute(text(f"GRANT SELECT ON {names} TO {to}"))
    return role


def _check(connection: Connection, role: str) -> None:
    found = connection.execute(_ROLE, {"role": role}).one_or_none()
    if found is None:
        raise ConfigError(
            f"HELMSIGHT_STORE__READER_DSN names the role {role}, which PostgreSQL does not have; nothing was granted."
            " docs/database.md says how to make it."
        )
    if found.is_mighty:
        raise ConfigError(
            f"HELMSIGHT_STORE__READER_DSN names the role {role}, which may do more than read; nothing was granted."
            " Take a role that is no superuser and not in other roles."
        )


_ROLE = text("""
    SELECT rolsuper OR rolcreaterole OR pg_has_role(oid, current_user, 'MEMBER') AS is_mighty
    FROM pg_roles WHERE rolname = :role
""")
_OURS = text("""
    SELECT n.nspname AS schema, c.relname AS name
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm') AND NOT c.relispartition
          AND c.relowner = (SELECT oid FROM pg_roles WHERE rolname = current_user)
          AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND NOT c.relname = ANY(:secrets)
    ORDER BY 1, 2
""")
