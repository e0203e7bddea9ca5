"""The guard: a tiny process that outlives a killed supervisor and leaves no orphan behind.

It reads lines from the supervisor's pipe (its standard input). When the pipe ends without a farewell, the
supervisor is dead, and the guard stops every registered process group, the last started first, then goes.
Killing a process closes its pipes on every system, so this needs nothing particular to one.
"""

import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from dashboard.processes.groups import ProcessGroup, created_at, kill_marked, stop_groups

_FAREWELL = "farewell"


class Guard:
    """The supervisor's side: starts the guard, tells it what runs, and starts another if it dies."""

    def __init__(self, *, mark: str, log: Path) -> None:
        self._mark = mark
        self._log = log
        self._lock = threading.Lock()
        self._groups: dict[int, ProcessGroup] = {}
        self._process: subprocess.Popen[str] | None = None

    @property
    def pid(self) -> int | None:
        """Return the guard's process id, or None when it does not run."""
        return None if self._process is None else self._process.pid

    @property
    def created(self) -> float | None:
        """Return when the guard started, in seconds since the epoch."""
        return None if self._process is None else created_at(self._process.pid)

    def ensure(self) -> bool:
        """Start the guard unless it runs; return whether it had to be started."""
        with self._lock:
            if self._process is not None and self._process.poll() is None:
                return False
            _close(self._process)
            self._process = self._start()
            for group in self._groups.values():
                self._tell({"add": group.as_dict()})
            return True

    def add(self, group: ProcessGroup) -> None:
        """Register *group*."""
        with self._lock:
            self._groups[group.pid] = group
            self._tell({"add": group.as_dict()})

    def remove(self, pid: int) -> None:
        """Forget the group led by *pid*: it ended."""
        with self._lock:
            self._groups.pop(pid, None)
            self._tell({"remove": pid})

    def farewell(self) -> None:
        """Let the guard go: everything was stopped."""
        with self._lock:
            if self._process is None:
                return
            self._tell({_FAREWELL: True})
            _close(self._process)
            try:
                self._process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def _start(self) -> subprocess.Popen[str]:
        with self._log.open("a", encoding="utf-8") as log:
            return subprocess.Popen(  # noqa: S603 - our own module
                [sys.executable, "-m", "dashboard.processes.guard", self._mark],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd="/",
                text=True,
            )

    def _tell(self, message: dict[str, object]) -> None:
        if self._process is None or self._process.stdin is None or self._process.stdin.closed:
            return
        with suppress(BrokenPipeError):  # `ensure` starts another guard and tells it all
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()


def _close(process: subprocess.Popen[str] | None) -> None:
    """Close our end of the pipe, whatever of it could not be written."""
    if process is not None and process.stdin is not None:
        with suppress(OSError):
            process.stdin.close()


def watch(source: IO[str], *, mark: str) -> None:
    """Follow the supervisor's lines in *source* to their end; stop all that is registered unless it said farewell."""
    groups: dict[int, ProcessGroup] = {}
    for line in source:
        try:
            message = json.loads(line)
        except ValueError:  # the supervisor died in the middle of a line
            continue
        if _FAREWELL in message:
            return
        if "add" in message:
            group = ProcessGroup.from_dict(message["add"])
            groups[group.pid] = group
        elif "remove" in message:
            groups.pop(int(message["remove"]), None)
    _say(f"the supervisor is gone; stopping {', '.join(group.name for group in groups.values()) or 'nothing'}")
    stop_groups(groups.values(), said=_say)
    left = kill_marked(mark)
    _say(f"stopped; {left} stray processes killed")


def _say(text: str) -> None:
    with suppress(OSError):  # a full disk must not keep the guard from its work
        sys.stderr.write(f"{datetime.now(UTC).isoformat(timespec='seconds')} guard {os.getpid()}: {text}\n")
        sys.stderr.flush()


def main() -> None:
    """Run the guard: ``python -m dashboard.processes.guard MARK``."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    watch(sys.stdin, mark=sys.argv[1])


if __name__ == "__main__":
    main()
