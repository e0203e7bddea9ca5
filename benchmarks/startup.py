"""How long a start takes, on a new and on an old home, and how much memory each process then holds.

Run with ``python -m benchmarks.startup``; the last line is one JSON object. Everything is measured on this machine,
in this run: ready means that the dashboard answers and every worker takes work.
"""

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from analytics.core.settings import inherited_environment
from dashboard.processes.home import Home, StackState

IMPORTS = ("dashboard.app", "worker.main")
IMPORT_ROUNDS = 5
READY_S = 180
SETTLE_S = 5.0


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="helmsight-startup-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)  # as root, PostgreSQL runs as another account
        home = Home(Path(name) / "home")
        new_s, _ = start_and_stop(home)
        old_s, memory = start_and_stop(home)
    result = {
        "ready_new_home_s": round(new_s, 2),
        "ready_old_home_s": round(old_s, 2),
        "memory_bytes": memory,
        "memory_total_bytes": sum(memory.values()),
        "memory_kind": memory_kind(),
        "import_s": {module: import_s(module) for module in IMPORTS},
        "cpus": os.cpu_count(),
        "load_1m": round(os.getloadavg()[0], 2),
    }
    print(json.dumps(result))


def start_and_stop(home: Home) -> tuple[float, dict[str, int]]:
    """Start everything on *home*; return the seconds until ready and the memory of each part once it settled."""
    environment = inherited_environment(HELMSIGHT_HOME=str(home.root), HELMSIGHT_HTTP__PORT="0")
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "dashboard.cli", "up"], env=environment, stdout=sys.stderr)
    try:
        state = wait_ready(process, home)
        ready_s = time.perf_counter() - started
        print(f"ready after {ready_s:.2f} s: {state.ready_at}", file=sys.stderr)
        time.sleep(SETTLE_S)
        return ready_s, memory_of(home.read_state() or state)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=90)


def wait_ready(process: subprocess.Popen[bytes], home: Home) -> StackState:
    """Wait until the supervisor says that everything is ready."""
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        state = home.read_state()
        if state is not None and state.pid == process.pid and state.ready_at is not None:
            return state
        if process.poll() is not None:
            raise SystemExit(f"helmsight up ended with code {process.returncode}")
        time.sleep(0.02)
    raise SystemExit(f"not ready after {READY_S} s")


def memory_of(state: StackState) -> dict[str, int]:
    """Return the memory of each part with all that it started, in bytes; shared pages count by share where known."""
    found = {"supervisor": of_process(psutil.Process(state.pid))}
    if state.guard_pid is not None:
        found["guard"] = of_process(psutil.Process(state.guard_pid))
    for part in state.parts:
        if part.group is not None:
            leader = psutil.Process(part.group.pid)
            found[part.name] = sum(of_process(process) for process in (leader, *leader.children(recursive=True)))
    return found


def of_process(process: psutil.Process) -> int:
    """Return PSS where the system tells it, else RSS; 0 when the process has just ended."""
    try:
        return int(getattr(process.memory_full_info(), "pss", 0) or process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def memory_kind() -> str:
    """Return what :func:`of_process` measures here."""
    return "pss" if hasattr(psutil.Process().memory_full_info(), "pss") else "rss"


def import_s(module: str) -> float:
    """Return the median seconds in which a fresh interpreter imports *module*, without the interpreter's own start."""
    code = f"import time; t = time.perf_counter(); import {module}; print(time.perf_counter() - t)"
    rounds = [
        float(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)
        for _ in range(IMPORT_ROUNDS)
    ]
    return round(statistics.median(rounds), 3)


if __name__ == "__main__":
    main()
