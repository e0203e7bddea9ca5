"""What the host measured, kept in PostgreSQL."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from analytics.core.clock import utc_now
from analytics.core.errors import InputError
from analytics.sources.store import StoreSampler
from analytics.sources.system import Measurement, record, sample_system
from analytics.store.tables import MetricSample

pytestmark = pytest.mark.integration


def test_a_sample_is_kept_with_units_and_tags(session: Session, tmp_path: Path) -> None:
    at = utc_now()
    measurements = sample_system(tmp_path)
    record(session, measurements, at)
    kept = session.execute(select(MetricSample.name, MetricSample.value, MetricSample.unit, MetricSample.tags)).all()
    assert {(row.name, row.value, row.unit, tuple(row.tags.items())) for row in kept} == {
        (item.name, item.value, item.unit, tuple(item.tags.items())) for item in measurements
    }
    assert session.scalar(select(func.max(MetricSample.at))) == at


def test_nothing_measured_keeps_nothing(session: Session) -> None:
    record(session, [], utc_now())
    assert session.scalar(select(func.count()).select_from(MetricSample)) == 0


def test_a_time_without_zone_is_refused(session: Session) -> None:
    with pytest.raises(InputError, match="time zone"):
        record(session, [Measurement("x", 1, "s")], datetime.now(UTC).replace(tzinfo=None))


def test_postgresql_is_asked_who_is_connected_and_how_much_it_found_in_memory(session: Session) -> None:
    sampler = StoreSampler()
    first = {(item.name, *item.tags.values()): item.value for item in sampler.sample(session)}
    assert first["db_connections", "active"] == 1
    assert 0 < first["db_connections_ratio",] < 1
    assert ("db_buffer_hit_ratio",) not in first, "counted since long before"
