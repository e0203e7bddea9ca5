"""Plans as ``EXPLAIN (GENERIC_PLAN, VERBOSE, FORMAT JSON)`` gives them: whole tables read with a condition.

Pure functions. Conditions are read from the text that PostgreSQL writes for them, in which every operation stands in
parentheses of its own.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

_PARALLEL = 2.4
"""Rows of a parallel scan are given for one of its processes, of which there are two and a part of the leader."""
_NAME = r'(?:"(?:[^"]|"")+"|[a-z_\x80-\uffff][\w$\x80-\uffff]*)'
_CONDITION = re.compile(
    rf"""
    \(?(?:{_NAME}\.)?(?P<column>{_NAME})\)?(?:::[a-z][\w ]*(?:\(\d+\))?)?\s
    (?: (?P<null>IS\sNULL) | (?P<operator>=|<=|>=|<|>)\s(?P<value>.+) )
    """,
    re.VERBOSE | re.DOTALL,
)
_LITERAL = re.compile(r"'(?:[^']|'')*'")


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition on one column that an index serves."""

    column: str
    kind: Literal["equal", "any", "null", "range"]


@dataclass(frozen=True, slots=True)
class Scan:
    """A whole table, or a part of one, that a plan reads with a condition."""

    schema: str
    table: str
    conditions: Sequence[Condition]
    """Those that an index serves; empty when none is."""
    cost: float
    """Of all its passes, in units of the planner."""
    share: float
    """Of the cost of the plan, 0 to 1."""
    rows: float
    """That meet the condition, in one pass."""
    loops: float
    """How often it is read."""


def scans(plan: Mapping[str, Any]) -> list[Scan]:
    """Return the whole tables that *plan*, the ``Plan`` of EXPLAIN, reads with a condition."""
    whole = max(float(plan["Total Cost"]), 1e-9)
    found = []
    for node, loops in _nodes(plan, 1.0):
        if node["Node Type"] != "Seq Scan" or "Filter" not in node:
            continue
        cost = float(node["Total Cost"]) * loops
        rows = float(node["Plan Rows"]) * (_PARALLEL if node.get("Parallel Aware") else 1.0)
        conditions = conditions_of(node["Filter"], alias=node.get("Alias"))
        found.append(
            Scan(
                node.get("Schema", "public"),
                node["Relation Name"],
                conditions,
                cost,
                min(1.0, cost / whole),
                rows,
                loops,
            )
        )
    return found


def _nodes(plan: Mapping[str, Any], loops: float) -> Iterator[tuple[Mapping[str, Any], float]]:
    """Return each node with how often it is run; what is kept after the first time counts once."""
    yield plan, loops
    children: Sequence[Mapping[str, Any]] = plan.get("Plans", [])
    outer = next((child for child in children if child.get("Parent Relationship") == "Outer"), None)
    for child in children:
        again = 1.0
        if plan["Node Type"] == "Nested Loop" and child.get("Parent Relationship") == "Inner" and outer is not None:
            is_kept = child["Node Type"] in {"Materialize", "Memoize"}
            again = 1.0 if is_kept else max(1.0, float(outer["Plan Rows"]))
        yield from _nodes(child, loops * again)


def conditions_of(condition: str, *, alias: str | None) -> list[Condition]:
    """Return the conditions on single columns that *condition* demands all of, as far as a B-tree serves them."""
    found = []
    for part in _conjuncts(condition):
        match = _CONDITION.fullmatch(_bare(part))
        if match is None:
            continue
        column = match["column"]
        value = _LITERAL.sub("''", match["value"] or "")
        if alias is not None and re.search(rf"(?<![\w.]){re.escape(alias)}\.", value):
            continue  # compared with another column of the same row
        name = column[1:-1].replace('""', '"') if column.startswith('"') else column
        if match["null"]:
            found.append(Condition(name, "null"))
        elif match["operator"] != "=":
            if not re.match(r"(ANY|ALL)\b", value):
                found.append(Condition(name, "range"))
        elif value.startswith("ANY "):
            found.append(Condition(name, "any"))
        elif not value.startswith("ALL "):
            found.append(Condition(name, "equal"))
    return found


def _bare(part: str) -> str:
    """Return *part* without the parentheses around all of it."""
    while part.startswith("(") and _closing(part, 0) == len(part) - 1:
        part = part[1:-1].strip()
    return part


def _conjuncts(condition: str) -> Iterator[str]:
    """Return the parts that AND joins at the outermost level, down through parts that are such themselves."""
    condition = _bare(condition.strip())
    parts, start, place = [], 0, 0
    while place < len(condition):
        if condition[place] in "('\"":
            place = _closing(condition, place)
        elif condition.startswith(" AND ", place):
            parts.append(condition[start:place])
            start = place = place + 5
            continue
        elif condition.startswith(" OR ", place):
            return
        place += 1
    parts.append(condition[start:])
    if len(parts) == 1:
        yield condition
        return
    for part in parts:
        yield from _conjuncts(part)


def _closing(text: str, start: int) -> int:
    """Return where the parenthesis or quote that opens at *start* closes; the last place when it never does."""
    opened = text[start]
    if opened in "'\"":
        end = text.find(opened, start + 1)
        while end >= 0 and text[end + 1 : end + 2] == opened:
            end = text.find(opened, end + 2)
        return end if end >= 0 else len(text) - 1
    place = start + 1
    while place < len(text):
        if text[place] == ")":
            return place
        place = _closing(text, place) + 1 if text[place] in "('\"" else place + 1
    return len(text) - 1
