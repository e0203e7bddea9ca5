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


def test_the_bundle_is_there_once_with_its_licence():
    assets = Path(package.__file__).parent / "assets"
    assert len(list(assets.glob("graph-*.js"))) == 1
    assert "Cytoscape" in (assets / "LICENSE.cytoscape.txt").read_text(encoding="utf-8")


def test_the_lock_of_the_bundle_names_no_host():
    lock = Path(package.__file__).parent / "frontend" / "package-lock.json"
    assert '"resolved"' not in lock.read_text(encoding="utf-8")
