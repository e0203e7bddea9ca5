"""The editor of definitions: a draft, what is wrong with it, its graph, and the definition that tests one node."""

import hashlib
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
import streamlit as st

from analytics.core.errors import InputError
from analytics.core.source import read_source
from dashboard import formats
from dashboard.components import states
from dashboard.components.graph.runs import run_graph
from worker.workflow.definition import Definition, parse_definition
from worker.workflow.kinds import registry
from worker.workflow.templates import references

MOST_BYTES = 4 * 1024 * 1024
"""The largest file that is taken in, as for any definition."""
MOST_PROBLEMS_SHOWN = 30
TEST_WORKFLOW = "node-test"
"""Runs of a single node under test are runs of this workflow."""
_GIVEN = "given_"
_FEW = 4


@dataclass(frozen=True, slots=True)
class Draft:
    """A definition being written."""

    text: str
    stored: str | None
    """What is stored of it; None: nothing is."""
    revision: int
    """Changes whenever the text is replaced by something that was not typed."""

    @property
    def is_changed(self) -> bool:
        """Tell whether it holds anything that is not stored."""
        return self.text != (self.stored or "")


@dataclass(frozen=True, slots=True)
class Checked:
    """What came out of reading a draft."""

    definition: Definition | None
    """None when there is a problem."""
    problems: Sequence[Mapping[str, Any]] = ()
    """``line`` (from 1, or None), ``path`` and ``reason`` each, by line."""
    spec: Mapping[str, Any] = field(default_factory=dict)
    """As far as it can be read; drawn even when something is wrong."""
    lines: Mapping[str, int] = field(default_factory=dict)
    """Where each node of the top begins, by id."""


def check(text: str) -> Checked:
    """Read *text* and return everything that is wrong with it."""
    try:
        read = read_source(text)
    except InputError as error:
        return Checked(None, [{"line": None, "path": "", "reason": error.message}])
    spec = drawable(read.value)
    lines = {}
    for place, item in enumerate(_items(read.value)):
        line = read.line_of(("nodes", place))
        if isinstance(item, Mapping) and isinstance(item.get("id"), str) and line is not None:
            lines[item["id"]] = line
    try:
        return Checked(parse_definition(text), (), spec, lines)
    except InputError as error:
        problems = error.context.get("problems") or [{"line": None, "path": "", "reason": error.message}]
        return Checked(None, problems, spec, lines)


def drawable(value: Any) -> dict[str, Any]:
    """Return of a definition, right or wrong, what can be drawn: nodes with ids of their own, needs that exist."""
    nodes = []
    known: set[str] = set()
    for item in _items(value):
        if isinstance(item, Mapping) and isinstance(item.get("id"), str) and item["id"] not in known:
            known.add(item["id"])
            nodes.append(dict(item))
    for item in nodes:
        needs = item.get("needs")
        wanted = needs if isinstance(needs, list) else []
        item["needs"] = [need for need in wanted if isinstance(need, str) and need.partition(".")[0] in known]
        item["name"] = item["name"] if isinstance(item.get("name"), str) else None
        item["group"] = item["group"] if isinstance(item.get("group"), str) else None
        if "body" in item:
            item["body"] = drawable(item["body"])
    return {"nodes": nodes}


def _items(value: Any) -> list[Any]:
    nodes = value.get("nodes") if isinstance(value, Mapping) else None
    return nodes if isinstance(nodes, list) else []


def graph_of(checked: Checked) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return nodes and edges of what can be read, nodes with a problem marked as such."""
    nodes, edges = run_graph(checked.spec)
    ids = [item["id"] for item in checked.spec.get("nodes", ())]
    wrong: dict[str, str] = {}
    for problem in checked.problems:
        parts = str(problem.get("path") or "").split(".")
        if len(parts) > 1 and parts[0] == "nodes" and parts[1].isdigit() and int(parts[1]) < len(ids):
            wrong.setdefault(ids[int(parts[1])], str(problem.get("reason")))
    marked = [
        {**node, "state": "error", "detail": wrong[node["id"]]} if node["id"] in wrong else node for node in nodes
    ]
    return marked, edges


# ---- The draft, over reruns and changes of page ----


def draft_of(session: MutableMapping[Any, Any], place: str, stored: str | None, *, example: str) -> Draft:
    """Return the draft kept for *place*; a new one holds what is stored, or else the example."""
    held = session.get(_key(place))
    if isinstance(held, Draft):
        return held
    draft = Draft(example if stored is None else stored, stored, _revision(place, stored))
    session[_key(place)] = draft
    return draft


def keep(session: MutableMapping[Any, Any], place: str, draft: Draft) -> None:
    """Keep *draft* for as long as the reader is signed in on this page."""
    session[_key(place)] = draft


def replaced(draft: Draft, text: str) -> Draft:
    """Return the draft with another text in place of what was typed."""
    return replace(draft, text=text, revision=draft.revision + 1)


def forget(session: MutableMapping[Any, Any], place: str) -> None:
    """Let go of the draft of *place*."""
    session.pop(_key(place), None)


def _key(place: str) -> str:
    return f"_draft.{place}"


def _revision(place: str, stored: str | None) -> int:
    """Return a number that tells this text from those of other places."""
    return int.from_bytes(hashlib.sha256(f"{place}\n{stored}".encode()).digest()[:5], "big")


def imported_text(content: bytes) -> str:
    """Return the text of a file.

    Raises:
        InputError: If it is too large, or is no text.
    """
    if len(content) > MOST_BYTES:
        raise InputError(f"The file has {formats.size_bytes(len(content))}; nothing was opened. Up to 4 MiB are read.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError("The file is no text in UTF-8; nothing was opened. Choose a YAML or JSON file.") from None


# ---- A test of one node ----


def given_nodes(definition: Definition, node_id: str) -> list[str]:
    """Return the nodes whose results the node *node_id* needs or reads, in the order of the definition."""
    node = next(node for node in definition.nodes if node.id == node_id)
    spec = node.to_spec()
    own = {item["id"] for item in (spec.get("body") or {}).get("nodes", ())}
    wanted = set(node.needs)
    for reference in references({name: spec[name] for name in ("config", "body") if name in spec}):
        root, *rest = reference.parts
        if root == "nodes" and rest and str(rest[0]) not in own:
            wanted.add(str(rest[0]))
    return [other.id for other in definition.nodes if other.id in wanted and other.id != node_id]


def trial_definition(definition: Definition, node_id: str) -> Definition:
    """Return a definition that carries one node; what it needs are nodes that give what the test says.

    The run's parameters are those of the definition, and ``given_0``, ``given_1``, … for :func:`given_nodes`.

    Raises:
        InputError: If it cannot be used.
    """
    node = next(node for node in definition.nodes if node.id == node_id)
    given = given_nodes(definition, node_id)
    stubs = [
        {"id": name, "kind": "transform", "config": {"input": f"{{{{ params.{_GIVEN}{place} }}}}", "steps": []}}
        for place, name in enumerate(given)
    ]
    spec = {name: value for name, value in node.to_spec().items() if name not in {"cache", "run_if", "on_error"}}
    spec |= {"needs": given, "retries": 0}
    schema = {"type": "object", **definition.params_schema}
    schema["properties"] = {
        **schema.get("properties", {}),
        **{f"{_GIVEN}{place}": {"title": f"Output of {name}"} for place, name in enumerate(given)},
    }
    return parse_definition(
        {
            "name": TEST_WORKFLOW,
            "description": "Single nodes that were tried out in the editor.",
            "tags": ["test"],
            "params": schema,
            "nodes": [*stubs, spec],
        }
    )


def trial_params(params: Mapping[str, Any], outputs: Sequence[Any]) -> dict[str, Any]:
    """Return the parameters of a test's run."""
    return {**params, **{f"{_GIVEN}{place}": output for place, output in enumerate(outputs)}}


def default_params(schema: Mapping[str, Any]) -> str:
    """Return as JSON what a form of *schema* begins with: its defaults, and empty texts for what is required."""
    found = {}
    for name, part in (schema.get("properties") or {}).items():
        if isinstance(part, Mapping) and "default" in part:
            found[name] = part["default"]
        elif name in (schema.get("required") or ()):
            found[name] = ""
    return orjson.dumps(found, option=orjson.OPT_INDENT_2).decode()


def json_of(text: str, what: str) -> Any:
    """Return the value that *text* says in JSON.

    Raises:
        InputError: If it is not JSON.
    """
    try:
        return orjson.loads(text or "null")
    except orjson.JSONDecodeError as error:
        raise InputError(f"{what} is not JSON: {error}. Nothing was run.") from error


# ---- Drawing ----


def draw_state(draft: Draft, checked: Checked) -> None:
    """Draw in badges whether the draft can be used and is stored."""
    count = len(checked.problems)
    badges = [
        f":red-badge[:material/error: {formats.plural(count, 'problem')}]"
        if count
        else ":green-badge[:material/check_circle: Can be stored]"
    ]
    if draft.stored is None:
        badges.append(":orange-badge[:material/edit: New, not stored]")
    elif draft.is_changed:
        badges.append(":orange-badge[:material/edit: Changes not stored]")
    else:
        badges.append(":gray-badge[:material/cloud_done: As stored]")
    st.markdown(" ".join(badges))


def draw_problems(problems: Sequence[Mapping[str, Any]]) -> int | None:
    """Draw every problem with its line; return the line that was clicked just now."""
    clicked = None
    with st.container(
        border=True, gap="xxsmall", height="content" if len(problems) <= _FEW else 240, key="editor.problems"
    ):
        for number, problem in enumerate(problems[:MOST_PROBLEMS_SHOWN]):
            line = problem.get("line")
            with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
                label = f"Line {line}" if line else "Anywhere"
                if st.button(label, key=f"editor.problem.{number}", type="tertiary", disabled=line is None):
                    clicked = line
                path = f"`{problem['path']}` " if problem.get("path") else ""
                st.markdown(f"{path}{formats.escaped(str(problem.get('reason', '')))}", width="stretch")
        if len(problems) > MOST_PROBLEMS_SHOWN:
            st.caption(f"and {len(problems) - MOST_PROBLEMS_SHOWN} more")
    return clicked


def draw_kinds() -> None:
    """Draw what kinds of nodes there are and how each is written."""
    kinds = registry()
    name = st.selectbox("Kind of node", sorted(kinds), key="editor.kind")
    kind = kinds[name]
    st.markdown(f"**{kind.name}** {formats.escaped(kind.summary)}")
    if kind.docs:
        st.markdown(kind.docs)
    with st.expander("Its configuration (JSON Schema)", icon=":material/schema:"):
        st.json(dict(kind.config_schema), expanded=2)


def no_graph() -> None:
    """Say that there is nothing to draw yet."""
    states.empty("No node yet", "Nodes appear here as soon as they have an id.", icon=":material/account_tree:")
