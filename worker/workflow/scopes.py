"""The graph of a run as it is carried: what is ready, what is skipped, what templates see. Nothing here runs a node.

A *plan* is worked out once for a version of a workflow. A *scope* is one pass over the nodes of a plan: the run
itself, one item of a ``foreach``, one turn of a ``while``. Scopes know their nodes by place, ids come in only where
something is stored or named by a template.
"""

import contextlib
from collections import ChainMap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analytics.core.errors import HelmsightError
from worker.workflow.definition import NO_TIMEOUT, Definition, Node, OnError, RunIf, path_weights
from worker.workflow.kinds import find_kind
from worker.workflow.node_kind import NodeKind
from worker.workflow.records import Place
from worker.workflow.templates import has_template, resolve

COMPLETED = "completed"
FAILED = "failed"
SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Step:
    """A node with what is known of it before any run."""

    index: int
    node: Node
    kind: NodeKind | None
    """None when this worker does not know the kind."""
    followers: tuple[tuple[int, tuple[str, ...]], ...]
    """Who needs it, by index, and along which of its branches; no branches: whatever was taken."""
    weight: float
    """Seconds of the longest path that begins with it."""
    body: "Plan | None"
    is_literal: bool
    """Its configuration has no template."""

    @property
    def timeout_s(self) -> float | None:
        """Return the seconds it may take, or None when it may take as long as it takes."""
        timeout = self.node.timeout
        return None if timeout == NO_TIMEOUT else timeout.total_seconds()


@dataclass(frozen=True, slots=True)
class Plan:
    """The nodes of a definition, or of a body, ready to be carried."""

    definition: Definition | None
    """None for a body."""
    steps: tuple[Step, ...]
    needs: tuple[int, ...]
    """How many nodes each needs."""
    output: Any
    """With templates; None: what the nodes put out that nothing else needs."""
    problem: str | None = None
    """Why it cannot be carried: it was written by another release, or is broken."""

    @classmethod
    def of(cls, definition: Definition) -> "Plan":
        """Return the plan of *definition*."""
        return _plan(definition, definition.nodes, definition.output)

    @classmethod
    def unusable(cls, problem: str) -> "Plan":
        """Return a plan whose runs fail at once, because of *problem*."""
        return cls(None, (), (), None, problem)


def _plan(definition: Definition | None, nodes: Sequence[Node], output: Any) -> Plan:
    places = {node.id: place for place, node in enumerate(nodes)}
    followers: list[list[tuple[int, tuple[str, ...]]]] = [[] for _ in nodes]
    for place, node in enumerate(nodes):
        for need in node.needs:
            followers[places[need]].append((place, tuple(node.branches.get(need, ()))))
    weights = path_weights(nodes)
    return Plan(
        definition=definition,
        steps=tuple(
            Step(
                index=place,
                node=node,
                kind=_kind(node),
                followers=tuple(followers[place]),
                weight=weights[node.id],
                body=None if node.body is None else _plan(None, node.body.nodes, node.body.output),
                is_literal=not _has_templates(node.config),
            )
            for place, node in enumerate(nodes)
        ),
        needs=tuple(len(node.needs) for node in nodes),
        output=output,
    )


def _kind(node: Node) -> NodeKind | None:
    with contextlib.suppress(HelmsightError):
        return find_kind(node.kind)
    return None


def _has_templates(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(_has_templates(inner) for inner in value.values())
    if isinstance(value, list):
        return any(_has_templates(inner) for inner in value)
    return has_template(value)


class Scope:
    """One pass over the nodes of a plan."""

    __slots__ = (
        "_met",
        "_missing",
        "container",
        "failed",
        "head",
        "index",
        "left",
        "nodes",
        "plan",
        "prefix",
        "statuses",
        "view",
        "weight",
    )

    def __init__(
        self, plan: Plan, view: Mapping[str, Any], *, container: Any = None, prefix: str = "", head: str = "",
        index: int = -1, weight: float = 0.0,
    ) -> None:  # fmt: skip
        self.plan = plan
        self.container = container
        """Whose body it is; None for the run itself."""
        self.prefix = prefix
        self.head = head
        self.index = index
        """Which item or turn; -1 for the run itself."""
        self.weight = weight
        """Seconds of the longest path that follows the container."""
        self.nodes: dict[str, Any] = {}
        """What templates see of its nodes, by id."""
        outer = view.get("nodes")
        self.view = {**view, "nodes": self.nodes if not outer else ChainMap(self.nodes, outer)}
        self.statuses: list[str | None] = [None] * len(plan.steps)
        self.left = len(plan.steps)
        """How many of its nodes have not ended."""
        self.failed: int | None = None
        """The first node whose failure fails the scope."""
        self._missing = list(plan.needs)
        self._met = [0] * len(plan.steps)

    @property
    def is_closed(self) -> bool:
        """Tell whether nothing in it is begun any more, because a container around it was stopped."""
        scope = self
        while scope.container is not None:
            if scope.container.is_stopped:
                return True
            scope = scope.container.job.scope
        return False

    def place(self, step: Step) -> Place:
        """Return the address of *step* here."""
        return self.prefix + step.node.id, self.index

    def inner(self, step: Step, index: int, view: Mapping[str, Any], container: Any) -> "Scope":
        """Return the scope of item or turn *index* of the container *step*; *view* adds to what templates see."""
        assert step.body is not None  # noqa: S101 - containers have one
        return Scope(
            step.body,
            {**self.view, **view},
            container=container,
            prefix=f"{self.head}{step.node.id}/",
            head=f"{self.head}{step.node.id}[{index}]/",
            index=index,
            weight=self.weight + step.weight - 1.0,
        )

    def first(self) -> list[int]:
        """Return the nodes that need nothing."""
        return [place for place, needs in enumerate(self.plan.needs) if needs == 0]

    def settle(
        self, index: int, status: str, output: Any = None, error: Mapping[str, Any] | None = None
    ) -> tuple[list[int], list[int]]:
        """Take note of a node's end; return the nodes that are ready now, and those that will never run."""
        ready: list[int] = []
        skipped: list[int] = []
        steps, statuses, missing = self.plan.steps, self.statuses, self._missing
        step = steps[index]
        if status == FAILED and step.node.on_error is OnError.FAIL and self.failed is None:
            self.failed = index
        self._note(index, status, output, error)
        is_met = status == COMPLETED or (status == FAILED and step.node.on_error is OnError.CONTINUE)
        ended = [(index, is_met)]
        taken = output.get("taken") if isinstance(output, Mapping) else None
        while ended:
            current, is_met = ended.pop()
            for follower, branches in steps[current].followers:
                missing[follower] -= 1
                if statuses[follower] is not None:
                    continue
                goes_on = is_met and (not branches or taken in branches)
                self._met[follower] += goes_on
                if self._is_ready(follower, goes_on=goes_on):
                    ready.append(follower)
                elif missing[follower] == 0 or (not goes_on and steps[follower].node.run_if is RunIf.ALL):
                    self._note(follower, SKIPPED, None, None)
                    skipped.append(follower)
                    ended.append((follower, False))
        return ready, skipped

    def output(self) -> Any:
        """Return what the scope puts out, once all its nodes have ended.

        Raises:
            InputError: If a template names what is not there.
        """
        if self.plan.output is not None:
            return resolve(self.plan.output, self.view)
        ends = (step for step in self.plan.steps if not step.followers)
        return {step.node.id: self.nodes[step.node.id]["output"] for step in ends if self._has_output(step)}

    def _has_output(self, step: Step) -> bool:
        return self.statuses[step.index] in {COMPLETED, FAILED}

    def _is_ready(self, index: int, *, goes_on: bool) -> bool:
        if self._missing[index]:
            return False
        match self.plan.steps[index].node.run_if:
            case RunIf.ALL:
                return goes_on and self._met[index] == self.plan.needs[index]
            case RunIf.ANY:
                return self._met[index] > 0
            case RunIf.ALWAYS:
                return True

    def _note(self, index: int, status: str, output: Any, error: Mapping[str, Any] | None) -> None:
        self.statuses[index] = status
        self.left -= 1
        self.nodes[self.plan.steps[index].node.id] = {"output": output, "status": status, "error": error}
