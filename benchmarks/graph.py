"""How smooth the graph stays with many nodes: ``python -m benchmarks.graph [--quick]``; the last line is JSON.

A page with the graph alone is served by Streamlit and looked at in a headless Chromium without a GPU, the worst case
there is. For each size everything is folded open, so that every node is drawn.

- ``layout_ms``: processor time in which places, folds and edges are worked out on the server; the least of three.
- ``ready_s``: from navigation until the graph says what it shows. ``folded_ready_s``: the same as a reader first meets
  it, folded.
- ``frame_p50_ms``, ``frame_p95_ms``: time between frames while the drawing is dragged across the screen.
- ``work_per_frame_ms``: processor time of the page's main thread for each of them; what else the machine does counts
  in the times above, and not here.
- ``recolour_ms``: until the frame after a live message that changes the state of every node; ``recolour_work_ms``: the
  processor time of it.
- ``open_ms``: from choosing a fold until what is in it is drawn; ``open_work_ms``: the processor time of it.
"""

import argparse
import json
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Page
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from benchmarks.browsing import browser
from dashboard.components.graph.model import picture
from dashboard.processes.servers import free_port, launch

SIZES = (100, 300, 1000, 2000)
QUICK_SIZES = (300, 2000)
LEVELS = 40
STEPS = 60
TARGETS = {"frame_p50_ms": 34.0, "work_per_frame_ms": 25.0, "recolour_work_ms": 1000.0, "folded_ready_s": 4.0}
"""At 2,000 nodes."""
_VIEWPORT = {"width": 1440, "height": 900}

SCRIPT = """
import streamlit as st
from benchmarks.graph import sample
from dashboard.components.graph import graph
from dashboard.components.graph.model import picture

st.set_page_config(layout="wide")
nodes, edges = sample(int(st.query_params["count"]))
if "open" in st.query_params:
    folds = [node["id"] for node in picture(nodes, edges).nodes if node.get("fold")]
    st.session_state["bench"] = {"unfolded": folds}
    key = "open"
    import dashboard.components.graph as component
    drawn = component.picture
    component.picture = lambda nodes, edges, **given: drawn(nodes, edges, **{**given, "unfolded": folds})
    graph(nodes, edges, key=key, live_url=st.query_params.get("live"), height=700, label="Nodes")
    component.picture = drawn
else:
    graph(nodes, edges, key="folded", live_url=st.query_params.get("live"), height=700, label="Nodes")
"""
_DRAG = """async ({ steps }) => {
  const times = [];
  let last = performance.now();
  await new Promise((done) => {
    const step = (now) => {
      times.push(now - last);
      last = now;
      times.length < steps ? requestAnimationFrame(step) : done();
    };
    requestAnimationFrame(step);
  });
  return times.slice(1);
}"""
_NEXT_FRAME = "() => new Promise((done) => requestAnimationFrame(() => setTimeout(() => done(performance.now()))))"


def sample(count: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return a graph of *count* nodes on :data:`LEVELS` levels with one and a half edges each; the same every time."""
    wide = max(1, count // LEVELS)
    nodes = [
        {"id": f"n{place}", "label": f"Step {place}", "state": "pending", "detail": "transform"}
        for place in range(count)
    ]
    edges = [{"source": f"n{place - wide}", "target": f"n{place}"} for place in range(wide, count)]
    edges += [{"source": f"n{place - wide}", "target": f"n{place + 1}"} for place in range(wide, count - 1, 2)]
    return nodes, edges


def layout_ms(count: int) -> float:
    """Return the processor time that one drawing of *count* nodes takes on the server, everything open."""
    nodes, edges = sample(count)
    folds = [str(node["id"]) for node in picture(nodes, edges).nodes if node.get("fold")]
    spent = []
    for _ in range(3):
        start = time.process_time()
        picture(nodes, edges, unfolded=folds)
        spent.append(time.process_time() - start)
    return round(min(spent) * 1000, 1)


class Source:
    """A live source that says what it is told to."""

    def __init__(self) -> None:
        self.port = free_port()
        self._connection: ServerConnection | None = None
        self._server = serve(self._serve, "127.0.0.1", self.port)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def say(self, entries: list[dict[str, Any]]) -> None:
        """Send the states of nodes."""
        if self._connection is not None:
            self._connection.send(json.dumps({"type": "diff", "seq": 1, "nodes": entries}))

    def close(self) -> None:
        """Stop."""
        self._server.shutdown()

    def _serve(self, connection: ServerConnection) -> None:
        self._connection = connection
        connection.send(json.dumps({"type": "snapshot", "seq": 0, "nodes": []}))
        try:
            for _ in connection:
                pass
        except ConnectionClosed:
            return


@contextmanager
def _served() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="helmsight-graph-") as name:
        folder, port = Path(name), free_port()
        script = folder / "page.py"
        script.write_text(SCRIPT, encoding="utf-8")
        options = ["--server.headless=true", "--browser.gatherUsageStats=false", "--server.fileWatcherType=none"]
        command = [sys.executable, "-m", "streamlit", "run", str(script), f"--server.port={port}", *options]
        process = launch([*command, "--server.address=127.0.0.1"], log=folder / "log")
        try:
            _wait_for(f"http://127.0.0.1:{port}/_stcore/health")
            yield f"http://127.0.0.1:{port}/"
        finally:
            process.terminate()
            process.wait(timeout=15)


def _wait_for(url: str, *, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            if httpx.get(url, timeout=2).is_success:
                return
        except httpx.HTTPError:
            pass
        if time.monotonic() > deadline:
            raise TimeoutError(f"{url} did not answer within {seconds:g} s.")
        time.sleep(0.1)


def _opened(page: Page, url: str) -> float:
    """Open the page and return how many seconds passed until the graph said what it shows."""
    start = time.perf_counter()
    page.goto(url)
    page.wait_for_function("() => document.querySelector('[data-testid=stMain]')")
    page.locator("[role=listbox][aria-label*='nodes']").wait_for(timeout=120_000)
    page.evaluate(_NEXT_FRAME)
    return round(time.perf_counter() - start, 2)


class Work:
    """The processor time of a page's main thread, in milliseconds."""

    def __init__(self, page: Page) -> None:
        self._session = page.context.new_cdp_session(page)
        self._session.send("Performance.enable", {"timeDomain": "threadTicks"})
        self._mark = self._read()

    def since(self) -> float:
        """Return what was spent since this was asked last."""
        before, self._mark = self._mark, self._read()
        return self._mark - before

    def _read(self) -> float:
        metrics = self._session.send("Performance.getMetrics")["metrics"]
        return next(float(entry["value"]) for entry in metrics if entry["name"] == "TaskDuration") * 1000


def _dragged(page: Page, work: Work) -> tuple[list[float], float]:
    """Drag the drawing about, and return the times between frames and the work in each, in milliseconds."""
    box = page.locator(".helm-frame").bounding_box()
    if box is None:
        raise RuntimeError("The graph is not there.")
    x, y = box["x"] + 24, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    work.since()
    handle = page.evaluate_handle(f"() => ({{ done: ({_DRAG})({{ steps: {STEPS} }}) }})")
    for step in range(STEPS):
        page.mouse.move(x + 6 * step, y + 80 * ((step % 8) - 4) / 4)
    frames: list[float] = handle.evaluate("(watch) => watch.done")
    spent = work.since() / max(1, len(frames))
    page.mouse.up()
    return frames, spent


def measure(page: Page, url: str, source: Source, count: int) -> dict[str, Any]:
    """Return the figures of one size."""
    live = f"&live=ws://127.0.0.1:{source.port}/"
    ready = _opened(page, f"{url}?count={count}&open=1{live}")
    page.get_by_text("● Live").wait_for()
    work = Work(page)
    frames, per_frame = _dragged(page, work)
    page.evaluate(_NEXT_FRAME)
    work.since()
    start = time.perf_counter()
    source.say([{"id": f"n{place}", "status": "completed", "version": 1} for place in range(count)])
    page.locator(f"[data-node=n{count - 1}][data-state=completed]").wait_for(state="attached", timeout=60_000)
    page.evaluate(_NEXT_FRAME)
    recolour, recolour_work = (time.perf_counter() - start) * 1000, work.since()
    figures = {
        "drawn": page.locator("[role=option][data-node^=n]").count(),
        "layout_ms": layout_ms(count),
        "ready_s": ready,
        "frame_p50_ms": round(statistics.median(frames), 1),
        "frame_p95_ms": round(statistics.quantiles(frames, n=20)[-1], 1),
        "work_per_frame_ms": round(per_frame, 1),
        "recolour_ms": round(recolour),
        "recolour_work_ms": round(recolour_work),
    }
    figures["folded_ready_s"] = _opened(page, f"{url}?count={count}")
    if page.locator("[role=option]").count() < count:
        nodes = page.locator("[role=listbox]")
        nodes.focus()
        work.since()
        start = time.perf_counter()
        page.keyboard.press("Enter")
        page.locator("[role=option][data-node^='fold ']").wait_for(state="attached", timeout=60_000)
        page.evaluate(_NEXT_FRAME)
        figures["open_ms"] = round((time.perf_counter() - start) * 1000)
        figures["open_work_ms"] = round(work.since())
    return figures


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer sizes")
    sizes = QUICK_SIZES if parser.parse_args().quick else SIZES
    found: dict[str, Any] = {}
    source = Source()
    try:
        with _served() as url, browser() as chromium:
            for count in sizes:
                context = chromium.new_context(viewport=_VIEWPORT, reduced_motion="reduce")  # type: ignore[arg-type]
                page = context.new_page()
                found[str(count)] = measure(page, url, source, count)
                context.close()
                print(count, found[str(count)], flush=True)
    finally:
        source.close()
    largest = found[str(max(sizes))]
    missed = [name for name, target in TARGETS.items() if largest[name] > target]
    print(json.dumps({"graph": found, "targets_at_2000": TARGETS, "missed": missed}))


if __name__ == "__main__":
    main()
