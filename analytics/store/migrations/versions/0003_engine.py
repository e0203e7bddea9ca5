"""Give the engine what it needs to wait, resume, cache, log and count."""

from pathlib import Path

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_LIKE_RUN = ("node_attempt", "node_log", "run_event", "artifact")


def upgrade() -> None:
    op.execute(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8"))
    # Runs of earlier months may still be under way, so that the new tables need the months that `run` has.
    months = op.get_bind().exec_driver_sql(
        "SELECT right(child.relname, 8), pg_get_expr(child.relpartbound, child.oid) FROM pg_inherits i"
        " JOIN pg_class child ON child.oid = i.inhrelid WHERE i.inhparent = 'run'::regclass"
    )
    for suffix, bounds in months.all():
        for table in _LIKE_RUN:
            op.execute(f"CREATE TABLE {table}_{suffix} PARTITION OF {table} {bounds}")
