"""The product as a user starts it: one home, one stack at a time, real processes."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from dashboard.processes.groups import marked
from dashboard.processes.home import Home, StackState

COMMAND = [sys.executable, "-m", "dashboard.cli"]
READY_S = 100
STOP_S = 60


class Product:
    """A home and what runs on it."""

    def __init__(self, root: Path) -> None:
        self.home = Home(root)
        self.process: subprocess.Popen[str] | None = None
        self.output = root.with_suffix(".out")
        self.start_ids: set[str] = set()

    def environment(self, **changes: str) -> dict[str, str]:
        """Return the environment of a command on this home."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("HELMSIGHT_")}
        ours = {
            "HELMSIGHT_HOME": str(self.home.root),
            "HELMSIGHT_HTTP__PORT": "0",
            "HELMSIGHT_PROMETHEUS__SCRAPE_INTERVAL": "1",
        }
        return clean | ours | changes

    def run(self, *arguments: str, timeout_s: float = 150, **changes: str) -> subprocess.CompletedProcess[str]:
        """Run one command to its end."""
        return subprocess.run(
            [*COMMAND, *arguments],
            env=self.environment(**changes),
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
        )

    def start(self, *arguments: str) -> StackState:
        """Start ``helmsight up`` and wait until it says that it is ready."""
        with self.output.open("w") as sink:
            self.process = subprocess.Popen(
                [*COMMAND, *(arguments or ("up",))], env=self.environment(), stdout=sink, stderr=sink, text=True
            )
        deadline = time.monotonic() + READY_S
        while time.monotonic() < deadline:
            state = self.state()
            if state is not None and state.pid == self.process.pid:
                self.start_ids.add(state.start_id)
                if state.ready_at is not None:
                    return state
            assert self.process.poll() is None, self.said()
            time.sleep(0.1)
        raise AssertionError(f"not ready after {READY_S} s:\n{self.said()}")

    def state(self) -> StackState | None:
        """Return what state.json says."""
        return self.home.read_state()

    def said(self) -> str:
        """Return what the running command has printed so far."""
        return self.output.read_text()

    def stop(self, number: int) -> int:
        """Send a signal to the supervisor and return its exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(timeout=STOP_S)

    def left(self) -> list[str]:
        """Return the command lines of all that still runs of any start on this home."""
        pids = {process.pid for start_id in self.start_ids for process in marked(start_id)}
        for process in psutil.process_iter(["cmdline"]):
            words = " ".join(process.info["cmdline"] or [])
            if str(self.home.root) in words and process.status() != psutil.STATUS_ZOMBIE:
                pids.add(process.pid)
        return [" ".join(psutil.Process(pid).cmdline()) for pid in pids if psutil.pid_exists(pid)]

    def until(self, condition, *, seconds: float = 40) -> None:
        """Wait until *condition* holds."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"waited {seconds} s in vain\n{self.said()}"
            time.sleep(0.1)


@pytest.fixture(scope="module")
def product() -> Iterator[Product]:
    """A product on a home of its own; whatever still runs at the end is stopped."""
    with tempfile.TemporaryDirectory(prefix="helmsight-accept-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        product = Product(Path(name) / "home")
        yield product
        if product.process is not None and product.process.poll() is None:
            product.process.send_signal(signal.SIGTERM)
            product.process.wait(timeout=STOP_S)
