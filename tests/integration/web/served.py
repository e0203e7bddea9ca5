"""A dashboard in a process of its own, as it is served in earnest."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from analytics.core.ids import new_id
from dashboard.processes.servers import free_port

PASSWORD = "correct horse battery"
METRICS_TOKEN = "metrics-token-of-the-tests"

_PAGE = """
import streamlit as st
from dashboard.auth.viewer import current_viewer

viewer = current_viewer()
st.title(f"Hello {viewer.name}, {viewer.role.label}")
"""
_START = (
    "import sys; from pathlib import Path; from analytics.core.settings import load_settings;"
    " from dashboard.app import serve; serve(load_settings(), script=Path(sys.argv[1]))"
)


@dataclass(frozen=True)
class Dashboard:
    """A running dashboard."""

    url: str
    dsn: str
    home: Path
    log: Path

    def client(self) -> httpx.Client:
        """Return a browser without scripts: it keeps cookies and does not follow redirects."""
        return httpx.Client(base_url=self.url, headers={"Accept": "text/html"}, timeout=20)

    @contextmanager
    def sign_in(self, email: str, password: str = PASSWORD) -> Iterator[httpx.Client]:
        """Give a client that is signed in."""
        with self.client() as client:
            answer = client.post("/login", data={"email": email, "password": password})
            assert answer.status_code == 303, answer.text[-600:]
            yield client

    def as_program(self, token: str) -> httpx.Client:
        """Return a client with an API token."""
        return httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {token}"}, timeout=20)


@contextmanager
def dashboard_process(
    tmp: Path, *, dsn: str, redis_url: str, script: Path | None = None, wait: bool = True, **variables: str
) -> Iterator[Dashboard]:
    """Run a dashboard until the block ends."""
    page = script or tmp / "page.py"
    if script is None:
        page.write_text(_PAGE)
    port, log = free_port(), tmp / f"dashboard-{new_id().hex}.log"
    env = {name: value for name, value in os.environ.items() if not name.startswith("HELMSIGHT_")} | {
        "HELMSIGHT_HOME": str(tmp / "home"),
        "HELMSIGHT_STORE__DSN": dsn,
        "HELMSIGHT_REDIS__URL": redis_url,
        "HELMSIGHT_HTTP__PORT": str(port),
        "HELMSIGHT_METRICS__TOKEN": METRICS_TOKEN,
        **variables,
    }
    with log.open("wb") as out:
        process = subprocess.Popen([sys.executable, "-c", _START, str(page)], env=env, stdout=out, stderr=out)
        try:
            running = Dashboard(f"http://127.0.0.1:{port}", dsn, tmp / "home", log)
            if wait:
                _wait_until_up(running, process)
            yield running
        finally:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise


def _wait_until_up(running: Dashboard, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        assert process.poll() is None, running.log.read_text()[-3000:]
        try:
            httpx.get(f"{running.url}/healthz", timeout=2)
        except httpx.TransportError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError(running.log.read_text()[-3000:])
