"""Samples that programs send: what fits is kept, the rest is told apart."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from analytics.core.clock import utc_now
from analytics.core.errors import InputError
from analytics.core.ids import new_id
from analytics.kpi.samples import MOST_SAMPLES, take_samples
from analytics.store.tables import MetricSample

pytestmark = pytest.mark.integration


def sample(**changes: Any) -> dict[str, Any]:
    return {"name": "orders.open", "value": 3} | changes


@pytest.fixture
def now() -> datetime:
    return utc_now()


def test_a_sample_is_kept_with_all_that_it_says(session: Session, now: datetime) -> None:
    at = now - timedelta(hours=1)
    row = sample(value=1.5, unit="s", at=at.isoformat(), tags={"shop": "Zürich 🚲"}, warning=2, critical=5.0)
    assert take_samples(session, [row, sample()], now=now).accepted == 2
    plain, kept = session.scalars(select(MetricSample).order_by(MetricSample.value.desc())).all()
    assert (kept.name, kept.value, kept.unit, kept.at, kept.tags) == ("orders.open", 1.5, "s", at, row["tags"])
    assert (kept.warning, kept.critical) == (2, 5)
    assert (plain.at, plain.unit, plain.tags, plain.warning) == (now, "", {}, None)


def test_a_sample_sent_twice_counts_once(session: Session, now: datetime) -> None:
    row = sample(id=str(new_id()), at=now.isoformat())
    for _ in range(2):
        assert take_samples(session, [row, row], now=now).accepted == 2
    assert session.scalar(select(func.count()).select_from(MetricSample)) == 1


def test_a_sample_of_last_month_finds_its_partition(session: Session, now: datetime) -> None:
    assert take_samples(session, [sample(at=(now - timedelta(days=34)).isoformat())], now=now).accepted == 1


def test_what_cannot_be_used_is_said_and_the_rest_goes_in(session: Session, now: datetime) -> None:
    taken = take_samples(session, [sample(), sample(value="3"), sample(), "text", sample(colour="red")], now=now)
    assert taken.accepted == 2
    assert [(item.index, item.path) for item in taken.rejected] == [(1, "value"), (3, ""), (4, "colour")]
    assert session.scalar(select(func.count()).select_from(MetricSample)) == 2


def test_a_call_that_is_too_long_is_refused_whole(session: Session, now: datetime) -> None:
    with pytest.raises(InputError, match="none of them was kept"):
        take_samples(session, [sample()] * (MOST_SAMPLES + 1), now=now)
