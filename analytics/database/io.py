"""Input and output of the whole server, from ``pg_stat_io``."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from analytics.database.model import IoReport, IoRow
from analytics.database.section import LackingError, Missing, Section, read_section

_FIRST = 160000


def io_report(session: Session) -> Section[IoReport]:
    """Return what was read and written, by kind of process, the most bytes first."""
    return read_section(session, _read, "input and output")


def _read(session: Session, missing: list[Missing]) -> IoReport:
    facts = session.execute(_FACTS).one()
    if facts.version < _FIRST:
        what = "pg_stat_io comes with PostgreSQL 16; this server is older."
        raise LackingError(Missing(what, "Input and output by kind of process cannot be shown.", None))
    if not facts.is_timed:
        missing.append(
            Missing(
                "The setting track_io_timing is off.",
                "How long reading and writing takes is not known.",
                "ALTER SYSTEM SET track_io_timing = on;\nSELECT pg_reload_conf();",
            )
        )
    rows = [row[0] for row in session.execute(_ROWS)]
    items = [_row(row, is_timed=facts.is_timed) for row in rows]
    did = [item for item in items if item.read_bytes or item.written_bytes or item.hits]
    since = min((row.stats_reset for row in session.execute(_SINCE)), default=None)
    return IoReport(sorted(did, key=lambda item: -(item.read_bytes + item.written_bytes)), facts.is_timed, since)


def _row(row: Mapping[str, Any], *, is_timed: bool) -> IoRow:
    """Return one row, whether it counts bytes, as from PostgreSQL 18, or blocks."""

    def count(name: str) -> int:
        return int(row.get(name) or 0)

    def size(bytes_name: str, count_name: str) -> int:
        return count(bytes_name) if bytes_name in row else count(count_name) * count("op_bytes")

    def took(name: str) -> float | None:
        value = row.get(name)
        return float(value) / 1000 if is_timed and value is not None else None

    return IoRow(
        backend=row["backend_type"],
        object=row["object"],
        context=row["context"],
        reads=count("reads"),
        read_bytes=size("read_bytes", "reads"),
        read_s=took("read_time"),
        writes=count("writes") + count("extends"),
        written_bytes=size("write_bytes", "writes") + size("extend_bytes", "extends"),
        write_s=took("write_time"),
        hits=count("hits"),
        evictions=count("evictions"),
    )


_FACTS = text("""
    SELECT CAST(current_setting('server_version_num') AS int) AS version,
           CAST(current_setting('track_io_timing') AS boolean) AS is_timed
""")
_ROWS = text("SELECT to_jsonb(s) FROM pg_stat_io s")
_SINCE = text("SELECT stats_reset FROM pg_stat_io WHERE stats_reset IS NOT NULL LIMIT 1")
