"""The editor of objectives: a draft over reruns, what is wrong with its text, and changes that a form makes to it."""

import copy
import re
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import yaml

from analytics.core.errors import InputError
from analytics.core.source import Source, read_source
from analytics.slo.model import Objective
from analytics.slo.specs.native import dump_document, parse_document
from analytics.slo.specs.problems import Level, Problem, SpecError
from dashboard import formats

EXAMPLE = """\
# Of all requests, how many were not answered with a server error?
slo: v1
id: checkout_availability
title: Checkout answers
service: checkout
target: 99.9%
window: {rolling: 30d}
indicator:
  events:
    total: sum(increase(http_requests_total{job="checkout"}[{window}]))
    bad: sum(increase(http_requests_total{job="checkout",code=~"5.."}[{window}]))
"""
_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")


class _Never:
    """Stands for a null that is written, as against a field that is left out."""


NEVER = _Never()


@dataclass(frozen=True, slots=True)
class Draft:
    """An objective being written."""

    text: str
    stored: str | None
    """What is stored of it; None: nothing is."""
    base: int
    """The revision it was begun from, which is the one that saving replaces; 0 for a new objective."""
    revision: int = 0
    """Changes whenever the text is replaced by something that was not typed as text."""
    form: int = 0
    """Changes whenever the text is replaced by something that was not typed into the form."""

    @property
    def is_changed(self) -> bool:
        """Tell whether it holds anything that is not stored."""
        return self.text != (self.stored or "")

    def typed(self, text: str) -> "Draft":
        """Return it with what was typed as text."""
        return replace(self, text=text, form=self.form + 1)

    def filled_in(self, text: str) -> "Draft":
        """Return it with what the form made of the text."""
        return replace(self, text=text, revision=self.revision + 1)

    def replaced(self, text: str) -> "Draft":
        """Return it with another text in place of what was typed."""
        return replace(self, text=text, revision=self.revision + 1, form=self.form + 1)

    def saved(self, text: str | None, base: int) -> "Draft":
        """Return it as it is when *text* is stored as revision *base*, and nothing else is written."""
        kept = EXAMPLE if text is None else text
        return replace(self.replaced(kept), stored=text, base=base)


@dataclass(frozen=True, slots=True)
class Checked:
    """What came out of reading a draft."""

    objective: Objective | None
    """None when there is a problem."""
    document: Mapping[str, Any] | None
    """As far as it can be read; None when it is no mapping at all."""
    problems: Sequence[Mapping[str, Any]] = ()
    """``line`` (from 1, or None), ``path`` and ``reason`` each."""
    source: Source = field(default_factory=Source)

    def refused(self, path: str, reason: str) -> "Checked":
        """Return it with one more problem."""
        problem = {"line": line_of(self.source, path), "path": path, "reason": reason}
        return replace(self, objective=None, problems=[*self.problems, problem])


def badges(draft: Draft, checked: Checked) -> str:
    """Return in badges whether the draft can be used and is stored."""
    count = len(checked.problems)
    usable = (
        f":red-badge[:material/error: {formats.plural(count, 'problem')}]"
        if count
        else ":green-badge[:material/check_circle: No mistakes]"
    )
    if draft.stored is None:
        return f"{usable} :orange-badge[:material/edit: New, not saved]"
    if draft.is_changed:
        return f"{usable} :orange-badge[:material/edit: Changes not saved]"
    return f"{usable} :gray-badge[:material/cloud_done: As saved]"


def check(text: str) -> Checked:
    """Read *text* and return everything that is wrong with it."""
    try:
        source = read_source(text)
    except InputError as error:
        return Checked(None, None, [{"line": None, "path": "", "reason": error.message}])
    document = source.value if isinstance(source.value, Mapping) else None
    if source.problems or document is None:
        problems = [problem.as_dict() for problem in source.problems]
        missing = {
            "line": None,
            "path": "",
            "reason": "an objective is a mapping that begins with slo: v1",
            "hint": None,
        }
        return Checked(None, document, problems or [missing], source)
    try:
        return Checked(parse_document(document), document, (), source)
    except SpecError as error:
        problems = [
            {"line": line_of(source, item.path), "path": item.path, "reason": _reason(item)}
            for item in error.problems
            if item.level is Level.ERROR
        ]
        return Checked(None, document, sorted(problems, key=lambda item: item["line"] or 0), source)


def _reason(problem: Problem) -> str:
    return problem.message if problem.hint is None else f"{problem.message}: {problem.hint}"


def line_of(source: Source, path: str) -> int | None:
    """Return the line of the value at *path*, such as ``alerting.pairs[0].long``, or of what is around it."""
    steps = [int(place) if place else name for name, place in _STEP.findall(path)]
    return source.line_of(tuple(steps))


# ---- Changing a text ----


def text_of(document: Mapping[str, Any]) -> str:
    """Return *document* as YAML, in its order; queries of several lines are written as such."""
    return yaml.dump(dict(document), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000)


def text_of_objective(objective: Objective) -> str:
    """Return *objective* as YAML in the native form."""
    return text_of(dump_document(objective))


def with_value(document: Mapping[str, Any], path: str, value: Any) -> dict[str, Any]:
    """Return *document* with *value* at *path*; None takes it out, with what is empty then, and NEVER is a null."""
    found: dict[str, Any] = copy.deepcopy(dict(document))
    holders = [found]
    *outer, last = path.split(".")
    for name in outer:
        inner = holders[-1].get(name)
        if not isinstance(inner, dict):
            inner = holders[-1][name] = {}
        holders.append(inner)
    if value is None:
        holders[-1].pop(last, None)
        for holder, name in reversed(list(zip(holders, outer, strict=False))):
            if not holder[name]:
                del holder[name]
    else:
        holders[-1][last] = None if value is NEVER else value
    return found


class _Dumper(yaml.SafeDumper):
    """Writes several lines of text as a block, without indenting lists less than what holds them."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002
        """Indent lists below their key."""
        super().increase_indent(flow, indentless=False)


def _write_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _write_text)


# ---- The draft, over reruns and changes of page ----


def draft_of(session: MutableMapping[Any, Any], place: str, start: str | None, stored: str | None, base: int) -> Draft:
    """Return the draft kept for *place*; a new one begins with *start*, or else with the example."""
    held = session.get(_key(place))
    if isinstance(held, Draft):
        return held
    draft = Draft(EXAMPLE if start is None else start, stored, base)
    session[_key(place)] = draft
    return draft


def keep(session: MutableMapping[Any, Any], place: str, draft: Draft) -> None:
    """Keep *draft* for as long as the reader is signed in on this page."""
    session[_key(place)] = draft


def forget(session: MutableMapping[Any, Any], place: str) -> None:
    """Let go of the draft of *place*."""
    session.pop(_key(place), None)


def _key(place: str) -> str:
    return f"_slo_draft.{place}"
