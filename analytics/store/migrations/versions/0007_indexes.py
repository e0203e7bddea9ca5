"""Keep which advised indexes were asked for, and what became of them."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE advised_index (
            name text NOT NULL CONSTRAINT pk_advised_index PRIMARY KEY,
            advice text NOT NULL,
            schema_name text NOT NULL,
            table_name text NOT NULL,
            columns text[] NOT NULL,
            reason text NOT NULL,
            state text NOT NULL CONSTRAINT ck_advised_index_state
                CHECK (state IN ('queued', 'building', 'ready', 'failed', 'dropping', 'dropped')),
            is_automatic boolean NOT NULL DEFAULT false,
            requested_at timestamptz NOT NULL DEFAULT now(),
            requested_by text NOT NULL,
            due_at timestamptz,
            attempts integer NOT NULL DEFAULT 0,
            ready_at timestamptz,
            error text
        )
    """)
