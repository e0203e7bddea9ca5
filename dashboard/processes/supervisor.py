"""The supervisor: starts parts, watches them, starts them again with a growing wait, stops them in reverse.

Each part has a thread of its own that starts the process, asks whether it is ready and waits for its end. What
runs is written to the home's ``state.json`` at every change, so that others can read it. What the parts are is
decided in :mod:`dashboard.processes.up`.
"""

import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import psutil

from analytics.core.clock import utc_now
from analytics.core.errors import ConfigError, DependencyError, HelmsightError
from dashboard.processes.groups import MARK_VARIABLE, ProcessGroup, kill_marked, stop_groups
from dashboard.processes.guard import Guard
from dashboard.processes.home import Home, PartState, PartStatus, StackState

FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 30.0
STABLE_AFTER_S = 60.0
CRASH_LOOP_AFTER = 5
LOG_BYTES = 10 * 2**20
LOG_FILES_KEPT = 3

_POLL_S = 0.1
_TICK_S = 0.2
_LOG_TAIL_BYTES = 8192
_LONGEST_LINE = 500


class Account(Protocol):
    """Whom a process runs as."""

    pw_uid: int
    pw_gid: int


@dataclass(frozen=True, kw_only=True)
class Part:
    """Something that the supervisor keeps running."""

    name: str
    command: Callable[[], Sequence[str]]
    """The program and its arguments; asked again at every start."""
    is_ready: Callable[[ProcessGroup], bool]
    """Whether it takes work now."""
    prepare: Callable[[], None] = lambda: None
    """What must be there before a start; safe to run twice."""
    env: Mapping[str, str]
    account: Any | None = None
    stage: int = 0
    """Parts of a higher stage are started later and stopped first."""
    stop_signal: signal.Signals = signal.SIGTERM
    stop_timeout_s: float = 15.0
    ready_timeout_s: float = 45.0
    port: int | None = None
    is_required: bool = True
    """Whether a start without it is given up; otherwise it is shown and tried again."""
    config_exit_code: int | None = None
    """The exit code by which it says that its settings are wrong, so that another start cannot help."""


class StopRequestedError(HelmsightError):
    """Somebody asked to stop while the start was going on."""

    code = "stopped"


class Backoff:
    """How long to wait before the next start: twice as long each time, from the beginning after a stable life."""

    def __init__(self) -> None:
        self.failures = 0
        """Ends in a row without a stable life between them."""

    def wait_s(self, lived_s: float) -> float:
        """Return the wait after a life of *lived_s* seconds; both in seconds."""
        self.failures = 1 if lived_s >= STABLE_AFTER_S else self.failures + 1
        return float(min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** (self.failures - 1)))

    @property
    def is_looping(self) -> bool:
        """Tell whether it ends again and again."""
        return self.failures >= CRASH_LOOP_AFTER


class Supervisor:
    """Keeps the parts of one home running, and tells in ``state.json`` what they do."""

    def __init__(self, home: Home, *, start_id: str, said: Callable[[str], None]) -> None:
        self.home = home
        self.said = said
        self.stopping = threading.Event()
        """Set by whoever wants the stop: a signal handler, or an error at the start."""
        self.hurried = threading.Event()
        """Set when somebody asks a second time: nobody is waited for any longer."""
        self._keepers: list[_Keeper] = []
        self._external: list[PartStatus] = []
        self._lock = threading.Lock()
        self._guard = Guard(mark=start_id, log=home.log("guard"))
        own = psutil.Process()
        self._state = StackState(
            start_id=start_id, pid=own.pid, created=own.create_time(), started_at=utc_now().isoformat()
        )
        self._write_failed = False

    @property
    def state(self) -> StackState:
        """Return what runs now."""
        with self._lock:
            return replace(self._state, parts=(*self._external, *(keeper.status for keeper in self._keepers)))

    def begin(self) -> None:
        """Start the guard and write the first state."""
        self._guard.ensure()
        self.tell(guard_pid=self._guard.pid, guard_created=self._guard.created)

    def tell(self, **changes: Any) -> None:
        """Change what the state says of the whole, and write it."""
        with self._lock:
            self._state = replace(self._state, **changes)
        self.write()

    def tell_external(self, name: str, state: PartState, detail: str) -> None:
        """Show a part that is not ours to run."""
        with self._lock:
            self._external.append(PartStatus(name=name, state=state, since=utc_now().isoformat(), detail=detail))
        self.write()

    def write(self) -> None:
        """Write ``state.json``; a full disk is said once and does not stop what runs."""
        state = self.state
        with self._lock:
            try:
                self.home.write_state(state)
                self._write_failed = False
            except OSError as error:
                if not self._write_failed:
                    self.said(f"state.json cannot be written ({error.strerror}); everything goes on running")
                self._write_failed = True

    def start(self, parts: Iterable[Part]) -> None:
        """Start *parts* at once, each in its thread; returns without waiting."""
        for part in parts:
            keeper = _Keeper(part, self, self._guard)
            with self._lock:
                self._keepers.append(keeper)
            keeper.start()

    def wait_ready(self, *names: str, timeout_s: float) -> None:
        """Wait until the parts called *names* are ready, or, when not required, at least tried.

        Raises:
            StopRequestedError: If a stop was asked for meanwhile.
            HelmsightError: What a required part failed with.
        """
        deadline = time.monotonic() + timeout_s
        waiting = [keeper for keeper in self._keepers if keeper.part.name in names]
        while waiting:
            self.check_stop()
            waiting = [keeper for keeper in waiting if not _is_settled(keeper)]
            if waiting and time.monotonic() > deadline:
                late = ", ".join(keeper.part.name for keeper in waiting)
                if any(keeper.part.is_required for keeper in waiting):
                    raise DependencyError(
                        f"Not ready after {timeout_s:g} s: {late}; everything was stopped. Look into {self.home.logs}.",
                        part=late,
                    )
                self.said(f"not ready yet after {timeout_s:g} s, and tried on: {late}")
                return
            if waiting:
                self.stopping.wait(_POLL_S)

    def check_stop(self) -> None:
        """Raise :class:`StopRequestedError` if a stop was asked for."""
        if self.stopping.is_set():
            raise StopRequestedError("Stopped before everything was ready.")

    def watch(self) -> None:
        """Stay until a stop is asked for; keep the guard alive and the logs small meanwhile."""
        while not self.stopping.wait(_TICK_S):
            if self._guard.ensure():
                self.said("the guard ended and was started again")
                self.tell(guard_pid=self._guard.pid, guard_created=self._guard.created)
            for keeper in self._keepers:
                rotate(self.home.log(keeper.part.name))

    def stop(self) -> None:
        """Stop everything, the last stage first, and leave no process behind."""
        self.stopping.set()
        with self._lock:
            keepers = list(self._keepers)
        for keeper in keepers:
            keeper.halt()
        stop_groups(
            [group for keeper in keepers if (group := keeper.status.group) is not None],
            hurry=self.hurried.is_set,
            said=self.said,
        )
        for keeper in keepers:
            keeper.join(timeout=10)
        kill_marked(self._state.start_id)
        self.tell(url=None)
        self._guard.farewell()


class _Keeper(threading.Thread):
    """Keeps one part running."""

    def __init__(self, part: Part, supervisor: Supervisor, guard: Guard) -> None:
        super().__init__(name=f"keep-{part.name}", daemon=True)
        self.part = part
        self.error: HelmsightError | None = None
        """What the part failed with last; None once it is ready."""
        self.no_more = threading.Event()
        """Set when no further start may happen."""
        self.status = PartStatus(name=part.name, state=PartState.STARTING, since=utc_now().isoformat(), port=part.port)
        self._supervisor = supervisor
        self._guard = guard
        self._launch_lock = threading.Lock()
        self._backoff = Backoff()
        self._ready_at: float | None = None
        self._was_ready = False
        self._log_start = 0
        """Size of the log when the present life began, in bytes."""

    def halt(self) -> None:
        """Start nothing any more; a start that goes on is finished first, so that its process is known."""
        with self._launch_lock:
            self.no_more.set()

    def run(self) -> None:
        """Start the part again and again until told otherwise."""
        while not self.no_more.is_set():
            try:
                self._live_once()
            except ConfigError as error:  # trying again cannot help
                self.error = error
                self._show(PartState.FAILED, detail=error.message)
                return
            except (HelmsightError, OSError) as error:
                self.error = _ours(self.part.name, error)
            if self.no_more.is_set():
                break
            self._wait()
        self._show(PartState.STOPPED)

    def _wait(self) -> None:
        lived_s = time.monotonic() - self._ready_at if self._ready_at is not None else 0.0
        self._ready_at = None
        wait_s = self._backoff.wait_s(lived_s)
        reason = self.error.message if self.error is not None else "ended"
        state = PartState.CRASH_LOOP if self._backoff.is_looping else PartState.WAITING
        self._supervisor.said(f"{self.part.name} {reason}; starting it again in {wait_s:g} s")
        self._show(state, detail=reason, restarts=self.status.restarts + 1)
        self.no_more.wait(wait_s)

    def _live_once(self) -> None:
        self.part.prepare()
        process = self._launch()
        if process is None:
            return
        try:
            self._wait_until_ready(process)
            process.wait()
        finally:
            process.wait()
            self._guard.remove(process.pid)
            _sweep(self.status.group)
            self.status = replace(self.status, group=None)
        if not self.no_more.is_set():
            raise self._end_of(process)

    def _launch(self) -> subprocess.Popen[bytes] | None:
        """Start the process and register it; None when a stop came in between."""
        log = self._supervisor.home.log(self.part.name)
        with log.open("ab") as sink, self._launch_lock:
            self._log_start = sink.tell()
            if self.no_more.is_set():
                return None
            identity: dict[str, Any] = {}
            if self.part.account is not None:
                identity = {"user": self.part.account.pw_uid, "group": self.part.account.pw_gid, "extra_groups": []}
            process = subprocess.Popen(  # noqa: S603 - commands are ours
                list(self.part.command()),
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                start_new_session=True,
                cwd="/",
                env=dict(self.part.env),
                **identity,
            )
            group = ProcessGroup(
                name=self.part.name,
                pid=process.pid,
                created=_created(process),
                stop_signal=self.part.stop_signal,
                stop_timeout_s=self.part.stop_timeout_s,
                stage=self.part.stage,
            )
            self._guard.add(group)
            self.status = replace(self.status, group=group)
        self._show(PartState.STARTING)
        return process

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        started = time.monotonic()
        group = self.status.group
        while process.poll() is None and not self.no_more.is_set() and group is not None:
            if self.part.is_ready(group):
                self._ready_at = time.monotonic()
                self.error = None
                self._was_ready = True
                self._show(PartState.READY)
                self._supervisor.said(f"{self.part.name} is ready ({self._ready_at - started:.1f} s)")
                return
            if time.monotonic() - started > self.part.ready_timeout_s:
                stop_groups([group], hurry=self._supervisor.hurried.is_set)
                return
            self.no_more.wait(_POLL_S)

    def _end_of(self, process: subprocess.Popen[bytes]) -> HelmsightError:
        log = self._supervisor.home.log(self.part.name)
        last = last_line(log, after=self._log_start).removeprefix("helmsight: ")
        if self._ready_at is None and process.returncode == self.part.config_exit_code:
            return ConfigError(last)
        what = (
            f"was ended by {_signal_name(-process.returncode)}"
            if process.returncode < 0
            else f"ended with code {process.returncode}"
        )
        before = " before it was ready" if self._ready_at is None else ""
        said = f": {last}" if last else ""
        return DependencyError(f"{what}{before}{said} (its log: {log})", part=self.part.name)

    def _show(self, state: PartState, *, detail: str = "", restarts: int | None = None) -> None:
        self.status = replace(
            self.status,
            state=state,
            since=utc_now().isoformat(),
            detail=detail,
            restarts=self.status.restarts if restarts is None else restarts,
        )
        self._supervisor.write()

    @property
    def is_given_up(self) -> bool:
        """Tell whether the first start failed for good, or so often that a start of the whole must end."""
        return self.status.state in {PartState.FAILED, PartState.CRASH_LOOP} and not self._was_ready


def rotate(log: Path, *, limit_bytes: int = LOG_BYTES, kept: int = LOG_FILES_KEPT) -> bool:
    """Copy *log* aside and empty it when it is larger than *limit_bytes*; return whether that was done.

    The writer keeps the file open and appends, so the file itself must stay. Lines written between copy and
    emptying are lost; that is a moment.
    """
    try:
        if log.stat().st_size <= limit_bytes:
            return False
        for number in range(kept - 1, 0, -1):
            older = log.with_name(f"{log.name}.{number}")
            if older.exists():
                older.replace(log.with_name(f"{log.name}.{number + 1}"))
        shutil.copyfile(log, log.with_name(f"{log.name}.1"))
    except OSError:  # no space for the copy: emptying the log still helps
        if not log.exists():
            return False
    with log.open("r+b") as file:
        file.truncate(0)
    return True


def last_line(log: Path, *, after: int = 0) -> str:
    """Return the last line that is not empty in *log* from byte *after* on, or an empty text."""
    try:
        with log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(after if after <= size else 0, size - _LOG_TAIL_BYTES))
            lines = file.read().decode("utf-8", errors="replace").split("\n")
    except OSError:
        return ""
    return next((line.strip()[-_LONGEST_LINE:] for line in reversed(lines) if line.strip()), "")


def marked_environment(base: Mapping[str, str], start_id: str) -> dict[str, str]:
    """Return *base* with the mark by which a stray child of this start is known."""
    return {**base, MARK_VARIABLE: start_id}


def _is_settled(keeper: _Keeper) -> bool:
    if keeper.status.state is PartState.READY:
        return True
    if not keeper.is_given_up:
        return False
    if keeper.part.is_required and keeper.error is not None:
        raise type(keeper.error)(
            f"{keeper.part.name} {keeper.error.message}. Everything was stopped.", **keeper.error.context
        )
    return True


def _sweep(group: ProcessGroup | None) -> None:
    """End what a dead leader left in its group."""
    if group is not None:
        stop_groups([group])


def _created(process: subprocess.Popen[bytes]) -> float:
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(process.pid).create_time()
    return time.time()


def _ours(name: str, error: HelmsightError | OSError) -> HelmsightError:
    if isinstance(error, HelmsightError):
        return error
    return DependencyError(f"could not be started: {error}", part=name)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
