"""The graph in a real browser: drawing, choosing, live states, reconnecting."""

import json
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Literal

import httpx
import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import Server, ServerConnection, serve

from dashboard.processes.servers import free_port, launch

pytestmark = pytest.mark.browser

SCRIPT = """
import streamlit as st
from dashboard.components.graph import graph

st.set_page_config(layout="wide")
count = int(st.query_params.get("count", "4"))
states = ["active", "idle", "failed", "waiting"]
nodes = [
    {"id": f"n{i}", "label": f"Agent {i}", "state": states[i % 4], "icon": "smart_toy", "group": f"team {i % 3}"}
    for i in range(count)
]
edges = [{"source": f"n{i}", "target": f"n{i + 1}", "active": i == 0} for i in range(min(count, 40) - 1)]
if "levels" in st.query_params:
    wide = int(st.query_params["levels"])
    nodes = [{**node, "group": None} for node in nodes]
    edges = [{"source": f"n{i}", "target": f"n{i + wide}"} for i in range(count - wide)]
chosen = graph(nodes, edges, key="graph", selected=st.query_params.get("agent"),
               live_url=st.query_params.get("live"), label="Agents")
if chosen:
    st.query_params["agent"] = chosen
    st.rerun()
st.text(f"chosen: {st.query_params.get('agent')}")
st.button("Again")
"""


@pytest.fixture(scope="module")
def app_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("graph")
    script = folder / "page.py"
    script.write_text(SCRIPT, encoding="utf-8")
    port = free_port()
    options = ["--server.headless=true", "--browser.gatherUsageStats=false", "--server.fileWatcherType=none"]
    command = [sys.executable, "-m", "streamlit", "run", str(script), f"--server.port={port}", *options]
    process = launch([*command, "--server.address=127.0.0.1"], log=folder / "log")
    try:
        _wait_until(lambda: _answers(f"http://127.0.0.1:{port}/_stcore/health"), "the page's server", 40)
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.terminate()
        process.wait(timeout=15)


class Feed:
    """A live source that a test speaks through."""

    def __init__(self) -> None:
        self.port = free_port()
        self.opened = 0
        self.snapshot: list[dict[str, Any]] = []
        self._connections: list[ServerConnection] = []
        self._server: Server | None = None
        self.start()

    def start(self) -> None:
        self._server = serve(self._serve, "127.0.0.1", self.port)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server = None
        self.hang_up()

    def hang_up(self, code: int = 1012) -> None:
        for connection in self._connections:
            connection.close(code)
        self._connections.clear()

    def send(self, *agents: dict[str, Any], kind: str = "diff") -> None:
        self.say({"type": kind, "seq": 1, "agents": agents})

    def say(self, message: dict[str, Any]) -> None:
        for connection in self._connections:
            connection.send(json.dumps(message))

    def _serve(self, connection: ServerConnection) -> None:
        self.opened += 1
        self._connections.append(connection)
        connection.send(json.dumps({"type": "snapshot", "seq": 0, "agents": self.snapshot}))
        try:
            for _ in connection:
                pass
        except ConnectionClosed:
            return


@pytest.fixture
def feed() -> Iterator[Feed]:
    feed = Feed()
    yield feed
    feed.stop()


@pytest.fixture
def page_with_own_clock(chromium: BrowserContext) -> Iterator[Page]:
    """A page whose time the test turns on: in a window of its own, since the clock is that of all pages of a window."""
    assert chromium.browser is not None
    with chromium.browser.new_context() as window:
        page = window.new_page()
        page.clock.install()
        yield page


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2).status_code == 200
    except httpx.HTTPError:
        return False


def _wait_until(condition: Callable[[], bool], what: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} was not ready in time"
        time.sleep(0.05)


def open_graph(page: Page, url: str) -> Locator:
    page.goto(url)
    nodes = page.get_by_role("listbox")
    expect(nodes).to_have_attribute("aria-label", re.compile("nodes"))
    return nodes


def node(page: Page, name: str) -> Locator:
    return page.locator(f"[role=option][data-node={name}]")


def test_it_says_in_words_what_it_shows(page: Page, app_url: str):
    nodes = open_graph(page, app_url)
    expect(nodes).to_have_attribute(
        "aria-label", re.compile("^Agents: 4 nodes, 3 connections; 1 active, 1 idle, 1 failed, 1 waiting")
    )
    expect(node(page, "n2")).to_have_text("Agent 2, failed")


def test_a_click_on_a_node_reaches_the_page(page: Page, app_url: str):
    open_graph(page, f"{app_url}?count=1")
    page.locator(".helm-frame").click()
    expect(page.get_by_text("chosen: n0")).to_be_visible()
    expect(node(page, "n0")).to_have_attribute("aria-selected", "true")


def test_the_keyboard_moves_and_chooses(page: Page, app_url: str):
    nodes = open_graph(page, app_url)
    nodes.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(page.get_by_text("chosen: n2")).to_be_visible()
    expect(node(page, "n2")).to_have_attribute("aria-selected", "true")


def test_the_page_can_say_what_is_selected(page: Page, app_url: str):
    open_graph(page, f"{app_url}?agent=n3")
    expect(node(page, "n3")).to_have_attribute("aria-selected", "true")
    expect(page.get_by_text("chosen: n3")).to_be_visible()


def test_a_folded_group_opens_and_folds_again(page: Page, app_url: str):
    nodes = open_graph(page, f"{app_url}?count=330")
    expect(page.get_by_role("option")).to_have_count(3)
    expect(page.get_by_text("330 of 330 nodes are folded into 3 groups.")).to_be_visible()
    nodes.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("option")).to_have_count(113)
    page.get_by_role("button", name="Fold everything again").click()
    expect(page.get_by_role("option")).to_have_count(3)


def test_two_thousand_nodes_are_folded_opened_in_place_and_followed_live(page: Page, app_url: str, feed: Feed):
    """What is drawn, not how fast: a fold opens, its live states arrive, the rest stays folded and is counted."""
    nodes = open_graph(page, f"{app_url}?count=2000&levels=50&live=ws://127.0.0.1:{feed.port}/")
    expect(nodes).to_have_attribute("aria-label", re.compile("^Agents: 2000 nodes"))
    folds = page.get_by_role("option")
    assert folds.count() <= 20
    first = folds.first.get_attribute("data-node")
    assert first is not None
    feed.send({"id": "n0", "status": "failed", "version": 1})
    expect(page.locator(f"[data-node='{first}']")).to_have_attribute("data-state", "failed")
    nodes.focus()
    page.keyboard.press("Home")
    page.keyboard.press("Enter")
    expect(node(page, "n0")).to_have_text(re.compile("^Agent 0, failed"))
    expect(page.locator(f"[data-node='fold {first}']")).to_have_count(1)
    expect(page.locator(".helm-map")).to_have_count(1)
    page.get_by_role("button", name="Fold everything again").click()
    expect(node(page, "n0")).to_have_count(0)
    expect(page.locator(f"[data-node='{first}']")).to_have_attribute("data-state", "failed")


def test_live_states_change_the_drawing_without_a_rerun(page: Page, app_url: str, feed: Feed):
    feed.snapshot = [{"id": "n1", "status": "active", "task": "reading", "version": 1}]
    open_graph(page, f"{app_url}?live=ws://127.0.0.1:{feed.port}/")
    expect(page.get_by_text("● Live")).to_be_visible()
    expect(node(page, "n1")).to_have_text("Agent 1, active · reading")
    feed.send({"id": "n1", "status": "error", "task": None, "version": 3})
    expect(node(page, "n1")).to_have_text("Agent 1, error")
    feed.send({"id": "n1", "status": "idle", "version": 2}, {"id": "n0", "status": "offline", "version": 1})
    expect(node(page, "n0")).to_have_text("Agent 0, offline")
    expect(node(page, "n1")).to_have_text("Agent 1, error")
    feed.say({"type": "diff", "seq": 4, "agents": [], "gone": ["n1"]})
    expect(node(page, "n1")).to_have_text("Agent 1, idle")


def test_it_says_that_the_source_of_live_states_is_away(page: Page, app_url: str, feed: Feed):
    open_graph(page, f"{app_url}?live=ws://127.0.0.1:{feed.port}/")
    expect(page.get_by_text("● Live")).to_be_visible()
    feed.say({"type": "stale", "seq": 1})
    expect(page.get_by_text("Live states are away; states as of")).to_be_visible()
    feed.send(kind="snapshot")
    expect(page.get_by_text("● Live")).to_be_visible()


def test_it_rests_when_nothing_will_change_any_more(page: Page, app_url: str, feed: Feed):
    open_graph(page, f"{app_url}?live=ws://127.0.0.1:{feed.port}/")
    expect(page.get_by_text("● Live")).to_be_visible()
    feed.say({"type": "diff", "seq": 2, "nodes": [], "run": {"status": "completed"}})
    feed.hang_up(1000)
    expect(page.get_by_text("Complete")).to_be_visible()
    assert feed.opened == 1


def test_a_long_chain_is_broken_into_bands(page: Page, app_url: str):
    """Forty nodes in a row would be dots; the drawing keeps them large enough to read."""
    nodes = open_graph(page, f"{app_url}?count=40")
    nodes.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.get_by_text("chosen: n0")).to_have_count(0)
    expect(page.get_by_text("chosen: n")).to_be_visible()


def test_live_states_survive_a_rerun(page: Page, app_url: str, feed: Feed):
    feed.snapshot = [{"id": "n1", "status": "error", "version": 1}]
    open_graph(page, f"{app_url}?live=ws://127.0.0.1:{feed.port}/")
    expect(node(page, "n1")).to_have_text("Agent 1, error")
    page.get_by_role("button", name="Again").click()
    expect(page.locator("[data-testid=stStatusWidget]")).to_have_count(0)
    expect(node(page, "n1")).to_have_text("Agent 1, error")
    assert feed.opened == 1


def test_it_connects_again_and_takes_the_new_states(page: Page, app_url: str, feed: Feed):
    open_graph(page, f"{app_url}?live=ws://127.0.0.1:{feed.port}/")
    expect(page.get_by_text("● Live")).to_be_visible()
    for round_number in range(2, 5):
        feed.snapshot = [{"id": "n1", "status": "waiting", "task": f"round {round_number}", "version": 1}]
        feed.hang_up()
        expect(node(page, "n1")).to_have_text(f"Agent 1, waiting · round {round_number}")
        expect(page.get_by_text("● Live")).to_be_visible()
        assert feed.opened == round_number


def test_it_gives_up_after_five_tries_and_connects_again_on_request(
    page_with_own_clock: Page, app_url: str, feed: Feed
):
    page = page_with_own_clock
    open_graph(page, f"{app_url}?live=ws://127.0.0.1:{feed.port}/")
    expect(page.get_by_text("● Live")).to_be_visible()
    feed.stop()
    for attempt in range(1, 6):
        expect(page.get_by_text(f"Connecting again ({attempt} of 5)")).to_be_visible()
        page.clock.fast_forward(10_000)
    expect(page.get_by_text("Connection lost; states as of")).to_be_visible()
    feed.start()
    page.get_by_role("button", name="Connect again").click()
    expect(page.get_by_text("● Live")).to_be_visible()


def test_it_does_not_try_again_when_signed_out(page: Page, app_url: str, feed: Feed):
    open_graph(page, f"{app_url}?live=ws://127.0.0.1:{feed.port}/")
    expect(page.get_by_text("● Live")).to_be_visible()
    feed.hang_up(4401)
    expect(page.get_by_text("Signed out; states as of")).to_be_visible()
    assert feed.opened == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_accessible(
    page: Page, app_url: str, findings_of: Callable[[Page], dict[str, list[str]]], scheme: Literal["light", "dark"]
):
    page.emulate_media(color_scheme=scheme)
    open_graph(page, f"{app_url}?agent=n1")
    assert findings_of(page) == {}
