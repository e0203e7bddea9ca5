"""What was done to the database itself."""

from datetime import datetime

from sqlalchemy import CheckConstraint, Text, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from analytics.store.tables.base import Base, Created


class AdvisedIndex(Base):
    """An index that was asked for from the advice on indexes; one that is asked for again keeps its row."""

    __tablename__ = "advised_index"
    __table_args__ = (
        CheckConstraint("state IN ('queued', 'building', 'ready', 'failed', 'dropping', 'dropped')", name="state"),
    )

    name: Mapped[str] = mapped_column(primary_key=True)
    advice: Mapped[str]
    """Key of the advice, its table with its columns."""
    schema_name: Mapped[str]
    table_name: Mapped[str]
    columns: Mapped[list[str]] = mapped_column(ARRAY(Text))
    reason: Mapped[str]
    """What the advice said."""
    state: Mapped[str]
    is_automatic: Mapped[bool] = mapped_column(server_default=text("false"))
    requested_at: Mapped[Created]
    requested_by: Mapped[str]
    due_at: Mapped[datetime | None]
    """When something is to be done for it; None: nothing is."""
    attempts: Mapped[int] = mapped_column(server_default=text("0"))
    ready_at: Mapped[datetime | None]
    """Since when it is in place."""
    error: Mapped[str | None]
    """Why the last attempt failed."""
