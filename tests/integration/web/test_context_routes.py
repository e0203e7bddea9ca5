"""Contexts through a real server."""

import pytest
from served import Dashboard

pytestmark = pytest.mark.integration
USAGE = "/api/v1/analytics/context-usage"


def test_use_of_contexts_is_told_to_analysts_and_kept_by_etag(web: Dashboard, people: dict[str, str]):
    with web.as_program(people["analyst"]) as analyst, web.as_program(people["viewer"]) as viewer:
        answer = analyst.get(f"{USAGE}?days=7&include_patterns=false")
        assert answer.status_code == 200
        assert answer.json()["patterns"] is None
        assert set(answer.json()) >= {"totals", "steps", "hierarchy", "lifecycle", "agents", "interval"}
        assert answer.headers["cache-control"] == "private, max-age=60"
        again = analyst.get(f"{USAGE}?days=7&include_patterns=false", headers={"if-none-match": answer.headers["etag"]})
        assert again.status_code == 304
        assert len(analyst.get(USAGE).json()["patterns"]["by_hour"]) == 168
        for wrong in ("days=0", "days=500", "zone=Mars"):
            assert analyst.get(f"{USAGE}?{wrong}").status_code == 422
        assert viewer.get(USAGE).status_code == 403
