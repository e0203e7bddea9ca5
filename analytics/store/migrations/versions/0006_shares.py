"""Find the events of a share of the people, and the runs of agents that ended lately, without reading all of them.

A first answer about journeys, and the newest buckets of the objective that counts runs of agents, cost the same over
any table then.
"""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "CREATE INDEX ix_event_share ON event"
        " ((CAST(abs(hashtextextended(subject, 11) % 4096) AS smallint)), at) WHERE subject IS NOT NULL"
    )
    op.execute("CREATE INDEX ix_agent_run_finished_at ON agent_run USING brin (finished_at)")
