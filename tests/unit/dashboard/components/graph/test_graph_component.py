"""The component as Streamlit sees it; what it draws is tested in a browser."""

import json
from pathlib import Path

from streamlit.testing.v1 import AppTest

from dashboard.components import graph as package


def page(selected: str | None = None) -> None:
    import streamlit as st  # noqa: PLC0415 - AppTest runs this function's source alone

    from dashboard.components.graph import graph  # noqa: PLC0415

    nodes = [
        {"id": "a", "label": "Planner", "state": "active", "icon": "smart_toy"},
        {"id": "b", "label": "Writer", "state": "idle"},
    ]
    clicked = graph(
        nodes, [{"source": "a", "target": "b"}], key="agents", selected=selected, live_url="/ws/agent-status"
    )
    st.text(f"clicked: {clicked}")


def test_a_page_shows_it_without_any_set_up():
    app = AppTest.from_function(page, kwargs={"selected": "a"}, default_timeout=20).run()
    assert not app.exception
    assert app.text[0].value == "clicked: None"
    element = app.get("bidi_component")[0].proto
    assert element.component_name == "helmsight.graph"
    data = json.loads(element.json)
    assert [node["id"] for node in data["nodes"]] == ["a", "b"]
    assert data["selected"] == "a"
    assert data["liveUrl"] == "/ws/agent-status"


def write() -> None:
    import streamlit as st  # noqa: PLC0415 - as above

    from dashboard.components.graph.source_text import source_text, typed_text  # noqa: PLC0415

    problems = [{"line": 2, "path": "nodes", "reason": "nothing"}]
    source_text("name: a", key="text", revision=3, saved="name: a", problems=problems, go_to=(2, 1))
    st.text(f"typed: {typed_text('text', 3)}, of another text: {typed_text('text', 2)}")


def test_a_text_is_shown_with_what_is_wrong_in_it():
    app = AppTest.from_function(write, default_timeout=20).run()
    assert not app.exception
    element = app.get("bidi_component")[0].proto
    assert element.component_name == "helmsight.source"
    data = json.loads(element.json)
    assert data["text"] == "name: a"
    assert data["problems"] == [{"line": 2, "reason": "nothing"}]
    assert data["goTo"] == {"line": 2, "number": 1}
    assert app.text[0].value == "typed: None, of another text: None"


def test_each_bundle_is_there_once_with_the_licences_of_what_is_in_it():
    assets = Path(package.__file__).parent / "assets"
    assert len(list(assets.glob("graph-*.js"))) == 1
    assert len(list(assets.glob("source-*.js"))) == 1
    assert "Haverbeke" in (assets / "LICENSE.codemirror.txt").read_text(encoding="utf-8")
    assert "Cytoscape" in (assets / "LICENSE.cytoscape.txt").read_text(encoding="utf-8")


def test_the_lock_of_the_bundle_names_no_host():
    lock = Path(package.__file__).parent / "frontend" / "package-lock.json"
    assert '"resolved"' not in lock.read_text(encoding="utf-8")
