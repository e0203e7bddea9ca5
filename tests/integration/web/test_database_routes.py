"""The database through a real server: for operators, and honest about what is missing."""

import pytest
from served import Dashboard

pytestmark = pytest.mark.integration
API = "/api/v1/database"


def test_operators_read_every_part_and_others_none(web: Dashboard, people: dict[str, str]):
    with web.as_program(people["operator"]) as operator, web.as_program(people["analyst"]) as analyst:
        for part in ("", "/findings", "/settings", "/indexes", "/tables?limit=3", "/activity", "/io"):
            answer = operator.get(API + part)
            assert answer.status_code == 200, (part, answer.text)
            assert analyst.get(API + part).status_code == 403
        assert len(operator.get(f"{API}/tables?limit=3").json()["value"]) == 3
        statements = operator.get(f"{API}/statements?order=mean").json()
        assert statements["value"] is None
        assert statements["missing"][0]["sql"] == "CREATE EXTENSION pg_stat_statements;"
        assert operator.get(f"{API}/statements?order=magic").status_code == 422
        settings = operator.get(f"{API}/settings")
        assert {item["name"] for item in settings.json()["value"]} >= {"max_connections", "track_activity_query_size"}
