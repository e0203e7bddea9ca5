"""What components work out before they draw."""

import csv
import io
import math
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from uuid import UUID

import orjson
import pytest

from analytics.live.agents import AgentState, AgentStatus
from analytics.store.queries.documents import DocumentDetail, DocumentRow, PageText
from dashboard.components import agents, documents, mcp, values, workflows
from dashboard.components.cards import sparkline
from dashboard.components.status import KPI_LOOKS, RUN_LOOKS, look_of
from worker.workflow.definition import parse_definition

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def series(*known):
    return [(NOW + timedelta(hours=place), value) for place, value in enumerate(known)]


def test_a_sparkline_needs_two_values():
    assert sparkline(series(None, 1.0, None)) is None


def test_a_gap_in_a_sparkline_is_not_a_number():
    drawn = sparkline(series(1.0, 2.0, None, 3.0, 4.0))
    assert math.isnan(drawn[2])
    assert drawn[:2] == [1.0, 2.0]


def test_lonely_values_are_drawn_side_by_side():
    assert sparkline(series(1.0, None, 2.0, None, 3.0)) == [1.0, 2.0, 3.0]


def test_a_state_we_do_not_know_says_its_own_word():
    assert look_of(KPI_LOOKS, "half_done").word == "Half done"
    assert look_of(RUN_LOOKS, "failed").word == "Failed"


def node(status, *, index=-1, seconds=1.0, node_id="a"):
    return SimpleNamespace(
        node_id=node_id,
        map_index=index,
        status=status,
        duration_s=seconds,
        attempt=1,
        started_at=None,
        finished_at=None,
    )


def test_a_run_colours_the_nodes_of_its_definition():
    spec = {"nodes": [{"id": "a", "kind": "transform"}, {"id": "b", "kind": "transform", "needs": ["a.yes"]}]}
    nodes, edges = workflows.nodes_of(spec, [node("failed")])
    assert [item["state"] for item in nodes] == ["failed", "pending"]
    assert edges == [{"source": "a", "target": "b", "label": "yes", "active": False}]


def test_the_example_that_the_editor_begins_with_can_be_stored():
    definition = parse_definition(workflows.EXAMPLE)
    assert [item.id for item in definition.nodes] == ["orders", "total"]


def test_a_wide_workflow_gets_a_higher_graph():
    narrow = {"nodes": [{"id": "a"}, {"id": "b", "needs": ["a"]}]}
    wide = {"nodes": [{"id": str(place)} for place in range(4)]}
    huge = {"nodes": [{"id": str(place)} for place in range(500)]}
    heights = [workflows.graph_height(spec) for spec in (narrow, wide, huge)]
    assert heights == sorted(heights)
    assert heights[0] < heights[1]


def test_an_agent_without_live_state_is_offline_and_one_without_runs_is_listed():
    known = SimpleNamespace(
        nodes=[
            SimpleNamespace(
                id="a",
                name="Ada",
                icon="person",
                team="t",
                runs=3,
                failed=1,
                success_ratio=0.5,
                cost_usd=None,
                p95_s=None,
                is_demo=False,
                health="failing",
                success_low=0.1,
                success_high=0.9,
                last_seen=NOW,
            )
        ],
        edges=[SimpleNamespace(source="a", target="gone", count=1, failed=0)],
    )
    live = [AgentState("b", AgentStatus.ACTIVE, "task", {"name": "Bob"}, 1, NOW)]
    view = agents.join(known, live)
    assert [(agent.name, agent.status) for agent in view.agents] == [("Bob", "active"), ("Ada", "offline")]
    bob, ada = view.agents
    assert (bob.health, ada.health, ada.ran_at) == ("quiet", "failing", NOW)
    assert agents.sure_words(ada).startswith("The true share lies between 10 % and 90 %")
    assert agents.sure_words(bob).startswith("No run has ended")
    nodes, edges = agents.picture(view)
    assert {item["id"] for item in nodes} == {"a", "b"}
    assert edges == []


def test_the_page_of_agents_works_with_one_source_away():
    assert agents.join(None, None).agents == []


def a_document() -> DocumentDetail:
    word = {"text": 'Grö"ße', "confidence": 91.0, "x": 1, "y": 2, "w": 3, "h": 4, "line": 0, "block": 0}
    row = DocumentRow(UUID(int=1), "a.png", "image/png", 10, NOW, None, "completed", 2, 91.0, None, "live")
    pages = [
        PageText(number, 100, 100, f"page {number}", "", 91.0, [word], "tesseract", 0.1, {"confidence_threshold": 70})
        for number in (1, 2)
    ]
    return DocumentDetail(row, pages)


def test_a_document_is_taken_away_as_text_json_and_csv():
    detail = a_document()
    assert documents.as_text(detail) == "page 1\fpage 2"
    body = orjson.loads(documents.as_json(detail))
    assert [page["word_count"] for page in body["pages"]] == [1, 1]
    rows = list(csv.DictReader(io.StringIO(documents.as_csv(detail))))
    assert [(row["page"], row["text"]) for row in rows] == [("1", 'Grö"ße'), ("2", 'Grö"ße')]


def test_the_threshold_is_that_of_the_reading():
    assert documents.threshold_of(a_document().pages[0]) == 70.0


def test_text_blocks_of_an_answer_are_found_wherever_they_are():
    answer = {"call": {"content": [{"type": "text", "text": "hello"}, {"type": "image", "data": "x"}]}}
    assert mcp.texts_of(answer) == ["hello"]
    assert mcp.texts_of({"a": 1}) == []
    assert mcp.texts_of(None) == []


@pytest.mark.parametrize(("value", "text"), [("plain", "plain"), ({"a": 1}, '{\n  "a": 1\n}'), (3, "3")])
def test_values_of_any_shape_are_text(value, text):
    assert values.as_text(value) == text
