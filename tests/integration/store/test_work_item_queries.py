"""Work items: what is counted, what is listed, in which order."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import insert
from sqlalchemy.orm import Session

from analytics.core.clock import Interval
from analytics.core.errors import InputError
from analytics.store.queries.work_items import list_work_items, work_by_kind
from analytics.store.tables import Project, WorkItem

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = Interval(NOON - 24 * HOUR, NOON)


def add(session: Session, kind: str, hours_ago: float, **columns: object) -> None:
    created = NOON - hours_ago * HOUR
    session.execute(insert(WorkItem).values(kind=kind, title=f"{kind} {hours_ago}", created_at=created, **columns))


@pytest.fixture
def items(session: Session) -> Session:
    """Three assessments and a report of the last day, one assessment before it."""
    project = session.scalar(insert(Project).values(name="Acme").returning(Project.id))
    done = {"status": "completed", "completion_ratio": 1.0}
    add(session, "assessment", 20, **done, finished_at=NOON - 18 * HOUR, project_id=project)
    add(session, "assessment", 10, **done, finished_at=NOON - 6 * HOUR)
    add(session, "assessment", 5, status="active", completion_ratio=0.4, owner="ana", origin="demo")
    add(session, "assessment", 30, status="failed", finished_at=NOON - 29 * HOUR)
    add(session, "report", 1, status="open")
    return session


def test_each_kind_is_counted_with_its_states_and_how_far_it_is(items: Session) -> None:
    assessments, recommendations, reports = work_by_kind(items, DAY)
    assert (assessments.total, assessments.by_status) == (3, {"open": 0, "active": 1, "completed": 2, "failed": 0})
    assert assessments.completion_ratio == pytest.approx(0.8)
    assert assessments.took_s == 3 * 3600
    assert (assessments.demo, assessments.newest_at) == (1, NOON - 5 * HOUR)
    assert (reports.total, reports.completion_ratio, reports.took_s) == (1, 0.0, None)
    assert recommendations.total == 0
    assert recommendations.completion_ratio is None, "nothing there is not nothing done"


def test_the_newest_of_each_kind_come_with_the_counts(items: Session) -> None:
    assessments = work_by_kind(items, DAY, latest=2)[0]
    found = [(item.title, item.owner) for item in assessments.latest]
    assert found == [("assessment 5", "ana"), ("assessment 10", None)]
    assert work_by_kind(items, DAY, latest=0)[0].latest == []


def test_the_list_goes_on_where_the_page_before_ended(items: Session) -> None:
    first = list_work_items(items, limit=3)
    assert [item.title for item in first] == ["report 1", "assessment 5", "assessment 10"]
    rest = list_work_items(items, before=(first[-1].created_at, first[-1].id), limit=3)
    assert [(item.title, item.project) for item in rest] == [("assessment 20", "Acme"), ("assessment 30", None)]


def test_the_list_is_narrowed_by_kind_status_and_time(items: Session) -> None:
    assert len(list_work_items(items, kind="assessment", status="completed", interval=DAY)) == 2
    assert list_work_items(items, kind="nothing of ours") == []
    with pytest.raises(InputError):
        list_work_items(items, limit=101)
