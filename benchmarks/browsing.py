"""What a reader's browser sees of one server: times, bytes, requests, accessibility. Uses a real Chromium."""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import urlsplit

from axe_core_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

OF_STREAMLIT = {"list", "listitem"}
"""What axe finds in Streamlit's own sidebar with sections."""
_OBSOLETE = {"duplicate-id", "duplicate-id-active"}
"""Rules of success criterion 4.1.1, which WCAG 2.2 removed."""
_OUR_HOST = "127.0.0.1"
_LOCAL_SCHEMES = {"data", "blob", "about"}
_WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
_TIMEOUT_MS = 60_000

_TITLE = "() => document.querySelector('[data-testid=stMain] h1')"
_COMPLETE = """() => {
  const app = document.querySelector('[data-testid=stApp]');
  return app && app.dataset.testScriptState === 'notRunning'
    && document.querySelector('[data-testid=stMain] h1')
    && !document.querySelector('[data-testid=stSkeleton], [data-testid=stAppSkeleton]');
}"""
"""The script has ended and nothing waits for a script or for a chart's code any more."""

_WATCH_FRAMES = """(() => {
  const Plain = window.WebSocket;
  window.helmFrame = window.helmPainted = 0;
  window.WebSocket = class extends Plain {
    constructor(...args) {
      super(...args);
      if (!String(args[0]).includes('/_stcore/stream')) return;
      this.addEventListener('message', () => {
        window.helmFrame = performance.now();
        requestAnimationFrame(() => setTimeout(() => { window.helmPainted = performance.now(); }));
      });
    }
  };
})()"""
_WATCH_CLICKS = """() => {
  const app = document.querySelector('[data-testid=stApp]');
  window.helmReruns = [];
  document.addEventListener('click', () => {
    const start = performance.now();
    const look = () => {
      const answered = window.helmFrame > start && window.helmPainted > window.helmFrame;
      const quiet = performance.now() - window.helmFrame > 150;
      if (answered && quiet && app.dataset.testScriptState === 'notRunning') {
        window.helmReruns.push(window.helmPainted - start);
      } else {
        requestAnimationFrame(look);
      }
    };
    look();
  }, true);
}"""
"""From the click to the frame after the last message of the rerun, in the page's own clock.

The end is the last message before a silence with no script running, since a quick rerun never shows as running.
"""


@dataclass
class Load:
    """One load of one page."""

    title_s: float
    complete_s: float
    bytes_received: int
    requests: int


@dataclass
class Traffic:
    """What the pages of one reader asked for."""

    bytes_received: int = 0
    requests: int = 0
    outside: list[str] = field(default_factory=list)


class Reader:
    """One reader, signed in, with a cache of their own."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self._context = context
        self._url = url
        self.traffic = Traffic()

    def sign_in(self, email: str, password: str) -> Self:
        """Sign in without loading a page, so that nothing is in the cache."""
        answer = self._context.request.post(
            f"{self._url}/login",
            form={"email": email, "password": password, "next": "/"},
            headers={"Origin": self._url},
            max_redirects=0,
        )
        if answer.status not in {302, 303}:
            raise RuntimeError(f"{email} could not sign in: {answer.status} {answer.text()[:500]}")
        return self

    @contextmanager
    def tab(self) -> Iterator[Page]:
        """Open a tab whose traffic is counted."""
        page = self._context.new_page()
        page.add_init_script(_WATCH_FRAMES)
        wire = self._context.new_cdp_session(page)
        wire.send("Network.enable")
        wire.on("Network.loadingFinished", self._finished)
        wire.on("Network.webSocketFrameReceived", self._frame)
        wire.on("Network.requestWillBeSent", self._requested)
        try:
            yield page
        finally:
            page.close()

    def load(self, page: Page, path: str) -> Load:
        """Load *path* in *page* and wait until it is complete."""
        received, requests = self.traffic.bytes_received, self.traffic.requests
        start = time.perf_counter()
        page.goto(f"{self._url}{path}", wait_until="commit")
        page.wait_for_function(_TITLE, polling="raf", timeout=_TIMEOUT_MS)
        title = time.perf_counter() - start
        page.wait_for_function(_COMPLETE, polling="raf", timeout=_TIMEOUT_MS)
        complete = time.perf_counter() - start
        return Load(title, complete, self.traffic.bytes_received - received, self.traffic.requests - requests)

    def _finished(self, event: dict[str, Any]) -> None:
        self.traffic.bytes_received += int(event.get("encodedDataLength", 0))

    def _frame(self, event: dict[str, Any]) -> None:
        self.traffic.bytes_received += len(event["response"].get("payloadData", "")) * 3 // 4

    def _requested(self, event: dict[str, Any]) -> None:
        address = urlsplit(event["request"]["url"])
        if address.scheme in _LOCAL_SCHEMES:
            return
        self.traffic.requests += 1
        if address.hostname != _OUR_HOST:
            self.traffic.outside.append(event["request"]["url"])


def click_times(page: Page, names: tuple[str, str], count: int) -> list[float]:
    """Click the choices *names* of the time range in turn; return milliseconds from click to drawn, *count* of them."""
    page.evaluate(_WATCH_CLICKS)
    for index in range(count):
        before = len(page.evaluate("() => window.helmReruns"))
        page.get_by_test_id("stMain").get_by_role("radio", name=names[index % 2], exact=True).click()
        page.wait_for_function(f"() => window.helmReruns.length > {before}", polling="raf", timeout=_TIMEOUT_MS)
    return [float(value) for value in page.evaluate("() => window.helmReruns")]


def percentile(ordered: list[float], share: float) -> float:
    """Return the value below which *share* of *ordered* lies (nearest rank)."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def findings(axe: Axe, page: Page) -> list[str]:
    """Return what WCAG 2.2 A and AA find on *page* beyond Streamlit's own, as "rule: element"."""
    violations = axe.run(page, options={"runOnly": {"type": "tag", "values": _WCAG}})["violations"]
    return [
        f"{found['id']}: {element['target']}"
        for found in violations
        if found["id"] not in OF_STREAMLIT | _OBSOLETE
        for element in found["nodes"]
    ]


@contextmanager
def browser() -> Iterator[Browser]:
    """Run a Chromium found in PATH."""
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None:
        raise RuntimeError("no Chromium in PATH (looked for chromium, chromium-browser, google-chrome)")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-background-networking"]
        )
        yield running
        running.close()


@contextmanager
def reader(running: Browser, url: str) -> Iterator[Reader]:
    """Be a new reader, with an empty cache, of the server at *url*."""
    context = running.new_context(viewport={"width": 1366, "height": 900})
    try:
        yield Reader(context, url)
    finally:
        context.close()
