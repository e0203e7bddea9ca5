"""Specifications of any format, read from text: which format it is, what it defines and what is wrong with it."""

import enum
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from analytics.core.errors import InputError
from analytics.core.source import Source, read_documents, yaml_text
from analytics.slo.model import Objective
from analytics.slo.rules.generate import document_of
from analytics.slo.rules.model import RuleDocument
from analytics.slo.specs import native, openslo, openslo_alpha, pyrra, slogenerator, sloth
from analytics.slo.specs.durations import kind_of
from analytics.slo.specs.fields import Fields
from analytics.slo.specs.found import Found
from analytics.slo.specs.openslo_export import dump_openslo
from analytics.slo.specs.problems import Level, Problem, Problems, nearest


class Format(enum.StrEnum):
    """The language of a specification."""

    NATIVE = "native"
    SLOTH = "sloth"
    SLOTH_KUBERNETES = "sloth_kubernetes"
    OPENSLO = "openslo"
    OPENSLO_ALPHA = "openslo_alpha"
    PYRRA = "pyrra"
    SLO_GENERATOR = "slo_generator"


@dataclass(frozen=True, slots=True)
class Parsed:
    """One document of a text."""

    source: str
    """Name of the text and, where it holds several, number of the document: ``checkout.yaml, document 2``."""
    format: Format | None
    """None when it could not be told."""
    objectives: tuple[Objective, ...]
    """Those without errors; empty when no part of the document can be used, or it defines no objectives."""
    problems: tuple[Problem, ...]
    """Errors and warnings."""
    rules: RuleDocument = field(default_factory=RuleDocument)
    """What :func:`analytics.slo.rules.rules_for` makes Prometheus rules of."""

    @property
    def is_valid(self) -> bool:
        """Return whether it has no errors."""
        return all(item.level is not Level.ERROR for item in self.problems)


def read_text(text: str, *, strict: bool = False, name: str = "text") -> list[Parsed]:
    """Return what *text* (YAML or JSON, one document or several) specifies, in order; never raises for bad content.

    Args:
        text: In any format; documents may be of different ones.
        strict: Whether what breaks the rules of a format but can be understood is an error, not a warning.
        name: What the text is called in messages.
    """
    return read_texts({name: text}, strict=strict)


def read_texts(texts: Mapping[str, str], *, strict: bool = False) -> list[Parsed]:
    """Return what several texts by name specify together: ids must be unique and references may cross texts."""
    documents = [document for name, text in texts.items() for document in _documents(name, text, strict=strict)]
    library = openslo.Library.of(item.root for item in documents if item.root and item.format is Format.OPENSLO)
    first_of: dict[str, str] = {}
    return [_parsed(document, library, first_of) for document in documents]


def export_native(objectives: Iterable[Objective]) -> str:
    """Return *objectives* as YAML documents of the native form."""
    return "---\n".join(yaml_text(native.dump_document(item)) for item in objectives)


def export_openslo(objectives: Sequence[Objective]) -> str:
    """Return *objectives* as documents of OpenSLO v1; what it has no words for stands in annotations of ours."""
    return "---\n".join(yaml_text(document) for document in dump_openslo(objectives))


# ---- Documents ----


@dataclass
class _Document:
    source: str
    text: Source
    problems: Problems
    root: Fields | None = None
    format: Format | None = None


def _documents(name: str, text: str, *, strict: bool) -> list[_Document]:
    try:
        sources = read_documents(text)
    except InputError as error:
        return [_Document(name, Source(), Problems([Problem("", error.message.rstrip("."))]))]
    if not sources:
        return [_Document(name, Source(), Problems([Problem("", "there is nothing in it")]))]
    found = []
    for number, source in enumerate(sources, 1):
        label = name if len(sources) == 1 else f"{name}, document {number}"
        faults = [Problem(path_text(fault.path), fault.reason, line=fault.line) for fault in source.problems]
        is_list = isinstance(source.value, list)
        for place, value in enumerate(source.value if is_list else [source.value]):
            document = _Document(label, source, Problems(faults, is_strict=strict))
            if not faults:
                _recognise(document, value, f"[{place}]" if is_list else "")
            found.append(document)
            faults = []
    return found


def _recognise(document: _Document, value: object, path: str) -> None:
    if not isinstance(value, Mapping):
        document.problems.error(path, f"a mapping is needed, not {kind_of(value)}")
        return
    document.root = Fields(value, path, document.problems)
    document.format = _format_of(value, document.root)


def _format_of(value: Mapping[str, Any], root: Fields) -> Format | None:
    if "slo" in value:
        return Format.NATIVE
    if "slo_name" in value:
        return Format.SLO_GENERATOR
    version, kind = value.get("version"), value.get("kind")
    if "apiVersion" not in value:
        if version == sloth.VERSION:
            return Format.SLOTH
        versions = [sloth.VERSION] if "version" in value else ["slo", "version", "apiVersion"]
        name = "version" if "version" in value else ""
        message = f"the version {version!r} is not known" if name else "this is no specification that is known"
        root.problems.error(root.at(name) if name else root.path, message, f"there are {', '.join(versions)}")
        return None
    found = _API_VERSIONS.get(str(value["apiVersion"]))
    if found is None:
        hint = nearest(str(value["apiVersion"]), _API_VERSIONS)
        root.error("apiVersion", f"{str(value['apiVersion'])[:100]!r} is not known", hint)
    elif kind not in found[1]:
        root.error("kind", f"{str(kind)[:100]!r} is not known", nearest(str(kind), found[1]))
    else:
        return found[0]
    return None


_API_VERSIONS: Mapping[str, tuple[Format, Sequence[str]]] = {
    sloth.API_VERSION: (Format.SLOTH_KUBERNETES, (sloth.KIND,)),
    openslo.API_VERSION: (Format.OPENSLO, openslo.KINDS),
    openslo_alpha.API_VERSION: (Format.OPENSLO_ALPHA, openslo_alpha.KINDS),
    pyrra.API_VERSION: (Format.PYRRA, (pyrra.KIND,)),
    slogenerator.API_VERSION: (Format.SLO_GENERATOR, (slogenerator.KIND,)),
}

# ---- Reading ----


def _parsed(document: _Document, library: openslo.Library, first_of: dict[str, str]) -> Parsed:
    found, root = Found(), document.root
    if root is not None and document.format is not None:
        found = library.read(root) if document.format is Format.OPENSLO else _READERS[document.format](root)
    objectives: list[Objective] = []
    for path, objective in found.objectives:
        first = first_of.setdefault(objective.id, document.source)
        if objective.id in {item.id for item in objectives} or first != document.source:
            document.problems.error(path, f"the id {objective.id!r} is defined already in {first}", "ids are unique")
        else:
            objectives.append(objective)
    return Parsed(
        document.source,
        document.format,
        tuple(objectives),
        tuple(_with_line(item, document.text) for item in document.problems.found),
        _rules_of(found),
    )


def _rules_of(found: Found) -> RuleDocument:
    if found.rules:
        return RuleDocument(tuple(found.rules), kubernetes=found.kubernetes)
    document = document_of([objective for _, objective in found.objectives])
    return replace(document, kubernetes=found.kubernetes, joins=found.kubernetes is None)


def _read_native(root: Fields) -> Found:
    before = root.problems.errors
    objective = native.read_objective(root)
    is_good = objective is not None and root.problems.errors == before
    return Found([(root.at("id"), objective)] if objective is not None and is_good else [])


_READERS: Mapping[Format, Callable[[Fields], Found]] = {
    Format.NATIVE: _read_native,
    Format.SLOTH: sloth.read_plain,
    Format.SLOTH_KUBERNETES: sloth.read_kubernetes,
    Format.OPENSLO_ALPHA: openslo_alpha.read,
    Format.PYRRA: pyrra.read,
    Format.SLO_GENERATOR: slogenerator.read,
}


# ---- Places ----


def path_text(path: Iterable[str | int]) -> str:
    """Return *path* as problems write it: ``spec.slos[1].objective``."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def _with_line(problem: Problem, source: Source) -> Problem:
    if problem.line is not None or source.value is None:
        return problem
    parts = re.findall(r"\[(\d+)\]|([^.\[\]]+)", problem.path)
    return replace(problem, line=source.line_of(tuple(int(place) if place else name for place, name in parts)))
