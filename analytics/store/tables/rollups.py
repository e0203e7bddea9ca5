"""Cells of the rollup: facts summed by hour and day, which pages stand on. See ``analytics.rollup``."""

from datetime import datetime
from decimal import Decimal

from sqlalchemy import BigInteger, Float, Index, Integer, LargeBinary, Numeric, PrimaryKeyConstraint, Text, text
from sqlalchemy.orm import Mapped, declared_attr, mapped_column

from analytics.store.tables.base import Base


def _by_month() -> tuple[object, ...]:
    return (
        PrimaryKeyConstraint("cut", "key", "bucket_start"),
        {"postgresql_partition_by": "RANGE (bucket_start)"},
    )


class _Cell:
    """What was counted of one cut of one kind of fact, for one key, in one bucket; None where it does not apply."""

    cut: Mapped[str] = mapped_column(Text(collation="C"))
    """The kind of fact and how it is cut, such as ``agent_run`` (all) or ``agent_run.agent``."""
    key: Mapped[str] = mapped_column(Text(collation="C"))
    """Empty for all; the parts of a pair are joined by the unit separator (U+001F)."""
    bucket_start: Mapped[datetime]
    newest: Mapped[datetime]
    """Time of the newest fact."""
    n: Mapped[int] = mapped_column(Integer)
    ok: Mapped[int | None] = mapped_column(Integer)
    failed: Mapped[int | None] = mapped_column(Integer)
    demo: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    """How many of them are demo history."""
    duration_n: Mapped[int | None] = mapped_column(Integer)
    duration_s: Mapped[float | None] = mapped_column(Float(53))
    input_tokens: Mapped[int | None] = mapped_column(BigInteger)
    output_tokens: Mapped[int | None] = mapped_column(BigInteger)
    cost_usd: Mapped[Decimal | None] = mapped_column(Numeric(18, 6))
    priced: Mapped[int | None] = mapped_column(Integer)
    """How many facts have a known cost."""
    value_n: Mapped[int | None] = mapped_column(Integer)
    value_sum: Mapped[float | None] = mapped_column(Float(53))
    value_min: Mapped[float | None] = mapped_column(Float(53))
    value_max: Mapped[float | None] = mapped_column(Float(53))
    sketch: Mapped[bytes | None] = mapped_column(LargeBinary)
    """Exponential histogram of durations in seconds (of values, for samples), packed."""
    people: Mapped[bytes | None] = mapped_column(LargeBinary)
    """HyperLogLog of the people, packed."""

    @declared_attr.directive
    @classmethod
    def __table_args__(cls) -> tuple[object, ...]:
        """Return the key and the partitions by month."""
        return _by_month()


class RollupHour(_Cell, Base):
    """Cells by hour: of all keys for the last days, later of those with many facts only."""

    __tablename__ = "rollup_hour"

    @declared_attr.directive
    @classmethod
    def __table_args__(cls) -> tuple[object, ...]:
        """Add the index by which the cells of an hour are found to be written again."""
        beside = Index(
            "ix_rollup_hour_bucket_start",
            "bucket_start",
            postgresql_using="brin",
            postgresql_with={"pages_per_range": 8},
        )
        return (beside, *_by_month())


class RollupDay(_Cell, Base):
    """Cells by day (UTC), once the day is over."""

    __tablename__ = "rollup_day"


class RollupDirty(Base):
    """An hour whose facts changed since it was summed; written by triggers, taken away by the upkeep."""

    __tablename__ = "rollup_dirty"

    source: Mapped[str]
    """The table of the facts; ``work_done`` stands for work items by the time they were finished."""
    hour: Mapped[datetime]
    __mapper_args__ = {"primary_key": ("source", "hour")}  # noqa: RUF012 - SQLAlchemy reads it; the table has no key
