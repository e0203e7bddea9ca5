"""What happened, noted and removed."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.orm import Session

from analytics.core.clock import Interval
from analytics.core.errors import InputError, NotFoundError
from analytics.store.queries import audit
from analytics.store.queries.annotations import NewAnnotation, add_annotation, delete_annotation, list_annotations

pytestmark = pytest.mark.integration
AT = datetime(2026, 11, 2, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = Interval(AT - 12 * HOUR, AT + 12 * HOUR)


def test_what_is_noted_is_listed_with_who_noted_it(session: Session) -> None:
    add_annotation(session, NewAnnotation(AT, " Release 5 ", kind="deploy", service="api"), actor="ann")
    add_annotation(session, NewAnnotation(AT - 20 * HOUR, "Outage", kind="incident", until=AT - 10 * HOUR), actor="bob")
    found = [(row.title, row.kind, row.service, row.created_by) for row in list_annotations(session, DAY)]
    assert found == [("Outage", "incident", None, "bob"), ("Release 5", "deploy", "api", "ann")]
    assert [row.title for row in list_annotations(session, DAY, service="db")] == ["Outage"]


def test_what_is_removed_stays_in_the_audit_log(session: Session) -> None:
    noted = add_annotation(session, NewAnnotation(AT, "Release 5", kind="deploy"), actor="ann")
    delete_annotation(session, noted, actor="bob")
    assert list_annotations(session, DAY) == []
    log = [(row.action, row.actor, row.detail["title"]) for row in audit.list_audit(session)][::-1]
    assert log == [("annotation.added", "ann", "Release 5"), ("annotation.deleted", "bob", "Release 5")]
    with pytest.raises(NotFoundError, match="no such annotation"):
        delete_annotation(session, noted, actor="bob")


REFUSED = (
    (NewAnnotation(AT, "x", kind="party"), "take one of deploy, incident, note"),
    (NewAnnotation(AT, "  "), "1 to 200 characters"),
    (NewAnnotation(AT, "x" * 201), "1 to 200 characters"),
    (NewAnnotation(AT, "x", until=AT), "ends before it begins"),
    (NewAnnotation(AT.replace(tzinfo=None), "x"), "has no time zone"),
)


def test_what_cannot_be_noted_is_refused(session: Session) -> None:
    for new, said in REFUSED:
        with pytest.raises(InputError, match=said):
            add_annotation(session, new, actor="ann")
    assert list_annotations(session, DAY) == []
