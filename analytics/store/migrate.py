"""Bring the schema to what this version of Helmsight needs."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, text

from analytics.core.errors import ConfigError
from analytics.store.engine import translated
from analytics.store.partitions import ensure_partitions

_LOCK = "SELECT pg_advisory_lock(hashtext('helmsight.migrate'))"
_UNLOCK = "SELECT pg_advisory_unlock(hashtext('helmsight.migrate'))"


def head_revision() -> str:
    """Return the revision this version of Helmsight needs."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    if head is None:
        raise ConfigError("This installation has no migrations; reinstall Helmsight.")
    return head


def current_revision(engine: Engine) -> str | None:
    """Return the revision the database has, or None when it is empty."""
    with translated(), engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def require_current(engine: Engine) -> None:
    """Check that the database has the schema that this version needs.

    Raises:
        ConfigError: If it is older or newer; the message says what to run.
    """
    found, wanted = current_revision(engine), head_revision()
    if found == wanted:
        return
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    if found is None:
        raise ConfigError("The database is empty, so nothing was started. Run `helmsight migrate` first.")
    if found in known:
        raise ConfigError(
            f"The database has schema {found}, but this version needs {wanted}; nothing was started."
            " Run `helmsight migrate` first."
        )
    raise ConfigError(
        f"The database has schema {found}, which this version ({wanted}) does not know: a newer Helmsight made it."
        " Nothing was started. Install that version, or restore a backup."
    )


def migrate(engine: Engine, *, to: str = "head") -> str:
    """Bring the database to revision *to* and make the partitions of the coming months.

    Safe to run twice and from several processes at once: the second waits for the first.

    Returns:
        The revision the database has now.

    Raises:
        ConfigError: If the database was made by a newer version; nothing was changed.
    """
    config = _config()
    found = current_revision(engine)
    if found is not None and found not in {s.revision for s in ScriptDirectory.from_config(config).walk_revisions()}:
        require_current(engine)
    with translated(), engine.connect() as connection:
        connection.execute(text("SET statement_timeout = 0"))
        connection.execute(text(_LOCK))
        connection.commit()
        try:
            config.attributes["connection"] = connection
            command.upgrade(config, to)
            connection.commit()
            if to == "head":
                ensure_partitions(connection)
                connection.commit()
        finally:
            connection.rollback()
            connection.execute(text(_UNLOCK))
            connection.commit()
    return current_revision(engine) or ""


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    return config
