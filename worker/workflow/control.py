"""What the engine does for kinds that it steers itself: branches, loops, and waits of every sort.

Loops open scopes and collect what they put out; the executor carries the scopes. Waits are described here, and what
their end means for the node. Nothing here talks to a database.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol

from analytics.core.errors import HelmsightError, InputError
from worker.runtime import Failure, failure_of
from worker.workflow.attempts import Job
from worker.workflow.conditions import evaluate
from worker.workflow.durations import parse_duration
from worker.workflow.inputs import resolved_config
from worker.workflow.kinds.foreach import DEFAULT_MAX_ITEMS, DEFAULT_MAX_PARALLEL, MAX_ITEMS
from worker.workflow.records import WaitRecord, WaitState
from worker.workflow.results import to_json
from worker.workflow.scopes import Scope

ATTENTION_MESSAGE = (
    "The worker died while this node was under way, and repeating it may do harm. Look whether it happened, then say"
    " whether to repeat it, to go on with an output, or to fail it."
)


class Carrier(Protocol):
    """What a loop needs of the executor."""

    def enter(self, scope: Scope) -> None:
        """Begin what is ready in *scope*; its container hears when all of it has ended."""

    def leave(self, container: "Container", result: Any) -> None:
        """End the node of *container*; *result* is its output or a failure."""


class Container(Protocol):
    """A loop that is under way."""

    job: Job
    is_stopped: bool
    """Nothing in it is begun any more."""

    def go_on(self) -> None:
        """Open what may be opened, or leave when there is nothing more to do."""

    def child_ended(self, scope: Scope) -> None:
        """Take what *scope* put out, and go on."""


class Foreach:
    """Opens a scope for each item, several at a time, the earliest first."""

    def __init__(self, job: Job, carrier: Carrier) -> None:
        config = config_of(job)
        self.job = job
        self.is_stopped = False
        self._carrier = carrier
        self._items = _items(config, job.step.node.id)
        self._most = int(config.get("max_parallel", DEFAULT_MAX_PARALLEL))
        self._continues = config.get("on_error", "fail") == "continue"
        self._outputs: list[Any] = [None] * len(self._items)
        self._next = 0
        self._under_way = 0
        self._failure: Failure | None = None

    def go_on(self) -> None:
        """Open items up to the limit; none after one has failed for good."""
        job = self.job
        while self._failure is None and self._next < len(self._items) and self._under_way < self._most:
            index = self._next
            self._next += 1
            self._under_way += 1
            view = {"item": self._items[index], "index": index}
            self._carrier.enter(job.scope.inner(job.step, index, view, self))
        if self._under_way == 0:
            self._carrier.leave(self, self._outputs if self._failure is None else self._failure)

    def child_ended(self, scope: Scope) -> None:
        """Keep what the item put out, or note that it failed."""
        self._under_way -= 1
        result = scope_result(scope)
        if not isinstance(result, Failure):
            self._outputs[scope.index] = result
        elif not self._continues and self._failure is None:
            self._failure = result
        self.go_on()


class While:
    """Opens a scope for each turn, one after another."""

    def __init__(self, job: Job, carrier: Carrier) -> None:
        self.job = job
        self.is_stopped = False
        self._carrier = carrier
        self._config = config_of(job)
        self._turn = 0
        self._last: Any = None

    def go_on(self) -> None:
        """Open the next turn while the condition holds."""
        job, most = self.job, int(self._config["max_iterations"])
        view = {"loop": {"index": self._turn, "last": self._last}}
        try:
            holds = evaluate(self._config["condition"], {**job.scope.view, **view})
        except HelmsightError as error:
            self._carrier.leave(self, failure_of(error))
            return
        if not holds:
            self._carrier.leave(self, {"iterations": self._turn, "last": self._last})
        elif self._turn >= most:
            message = f"The condition of {job.step.node.id!r} still holds after {most} turns; it was given up."
            self._carrier.leave(self, Failure("loop_bound", message, retryable=False))
        else:
            self._carrier.enter(job.scope.inner(job.step, self._turn, view, self))

    def child_ended(self, scope: Scope) -> None:
        """Remember what the turn put out; a turn that failed ends the loop."""
        result = scope_result(scope)
        if isinstance(result, Failure):
            self._carrier.leave(self, result)
            return
        self._turn += 1
        self._last = result
        self.go_on()


def branch_taken(job: Job) -> dict[str, Any]:
    """Return the output of a branch: the first case that holds.

    Raises:
        InputError: If a template names what is not there.
    """
    config = job.step.node.config
    for case in config["cases"]:
        if evaluate(case["when"], job.scope.view):
            return {"taken": case["name"]}
    return {"taken": config.get("else")}


def config_of(job: Job) -> Mapping[str, Any]:
    """Return the configuration of *job* with its templates resolved, without what the engine reads at its own time.

    Raises:
        InputError: If a template names what is not there, or the result does not fit the schema.
    """
    kind = job.step.kind
    assert kind is not None  # noqa: S101 - only known kinds are steered
    return resolved_config(kind, job.step.node, job.scope.view, is_literal=job.step.is_literal)


def scope_result(scope: Scope) -> Any:
    """Return what *scope* put out, or the failure of the first of its nodes that failed for good."""
    if scope.failed is not None:
        node = scope.plan.steps[scope.failed].node
        error = scope.nodes[node.id]["error"] or {}
        return Failure(
            error.get("code", "unexpected"),
            f"{node.id!r} of number {scope.index}: {error.get('message', '')}"[:2000],
            retryable=False,
        )
    try:
        return scope.output()
    except HelmsightError as error:
        return failure_of(error)


def wait_of(job: Job) -> WaitRecord:
    """Return what an ``approval`` or a ``wait`` waits for.

    Raises:
        InputError: If its configuration cannot be used.
    """
    config = config_of(job)
    deadline_s = _seconds(config["deadline"]) if "deadline" in config else job.step.timeout_s
    if job.step.node.kind == "approval":
        form = config.get("form")
        return WaitRecord(
            *job.place,
            "approval",
            title=config["title"],
            message=config.get("message"),
            form=None if form is None else to_json(form),
            role=config.get("role"),
            for_s=deadline_s,
        )
    if "signal" in config:
        return WaitRecord(*job.place, "signal", name=config["signal"], for_s=deadline_s)
    if "until" in config:
        return WaitRecord(*job.place, "time", until=_time(config["until"]))
    return WaitRecord(*job.place, "time", for_s=_seconds(config.get("for", 0)))


def attention_of(job: Job) -> WaitRecord:
    """Return the wait for a person who knows what became of a node that is not safe to repeat."""
    return WaitRecord(*job.place, "attention", title=job.step.node.name or job.step.node.id, message=ATTENTION_MESSAGE)


def outcome_of(job: Job, wait: WaitState) -> Any:
    """Return the output of a node whose wait is over, or its failure."""
    match wait.kind:
        case "time":
            return {"waited_s": _waited_s(wait), "data": None}
        case "signal" if wait.outcome == "received":
            return {"waited_s": _waited_s(wait), "data": wait.data}
        case "approval":
            return _decided(job, wait)
        case "run" if wait.outcome is not None:
            return _child_result(job, wait)
        case "attention":
            return _settled(job, wait)
        case _:
            message = f"{job.place[0]!r} waited until its deadline, and nothing came."
            return Failure("deadline", message, retryable=False)


def _settled(job: Job, wait: WaitState) -> Any:
    if wait.outcome == "completed":
        return wait.data
    return Failure("unsafe_interrupted", f"{job.place[0]!r} was given up: {ATTENTION_MESSAGE}", retryable=False)


def _decided(job: Job, wait: WaitState) -> Any:
    config = config_of(job)
    decision, by, at = wait.outcome, wait.resolved_by, wait.resolved_at
    if decision not in {"approved", "rejected"}:
        rule = config.get("on_deadline", "fail")
        if rule == "fail":
            message = f"Nobody decided {job.place[0]!r} before its deadline."
            return Failure("deadline", message, retryable=False)
        decision, by, at = ("approved" if rule == "approve" else "rejected"), None, wait.until
    if decision == "rejected" and config.get("reject_fails"):
        message = f"{job.place[0]!r} was rejected" + (f" by {by}." if by else ".")
        return Failure("rejected", message, retryable=False)
    return {"decision": decision, "by": by, "data": wait.data, "at": None if at is None else at.isoformat()}


def _child_result(job: Job, wait: WaitState) -> Any:
    data = wait.data if isinstance(wait.data, Mapping) else {}
    status = data.get("status")
    if status == "completed":
        return {"run_id": str(wait.child_run_id), "status": status, "output": data.get("output")}
    error = data.get("error") or {}
    said = error.get("message") or f"it ended {status}"
    return Failure(
        "subworkflow",
        f"The run {wait.child_run_id} that {job.place[0]!r} started failed: {said}"[:2000],
        retryable=False,
    )


def _waited_s(wait: WaitState) -> float:
    ended = wait.resolved_at or wait.until
    return round(max(0.0, (ended - wait.created_at).total_seconds()), 3) if ended is not None else 0.0


def _items(config: Mapping[str, Any], node_id: str) -> list[Any]:
    items = config["items"]
    if not isinstance(items, list):
        raise InputError(f"The items of {node_id!r} are no list but a {type(items).__name__}; nothing was begun.")
    most = min(int(config.get("max_items", DEFAULT_MAX_ITEMS)), MAX_ITEMS)
    if len(items) > most:
        raise InputError(
            f"{node_id!r} has {len(items):,} items, more than its max_items of {most:,}; no item was begun. Raise"
            f" max_items (at most {MAX_ITEMS:,}), or hand on fewer items."
        )
    return items


def _seconds(value: Any) -> float | None:
    return None if value is None else parse_duration(value).total_seconds()


def _time(value: str) -> datetime:
    try:
        found = datetime.fromisoformat(value)
    except ValueError as error:
        raise InputError(f"{value[:40]!r} is no time; nothing was waited for.") from error
    if found.utcoffset() is None:
        raise InputError(f"{value[:40]!r} has no offset, such as +00:00; nothing was waited for.")
    return found
