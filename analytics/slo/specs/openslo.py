"""OpenSLO ``v1`` read into objectives; references to indicators, sources and alert policies are followed."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

import orjson

from analytics.slo.model import (
    BUCKET,
    AlertPolicy,
    Budgeting,
    BurnPair,
    CompositeEvents,
    CompositeMode,
    Indicator,
    Member,
    Objective,
    RollingWindow,
    Severity,
    Slices,
    Window,
)
from analytics.slo.specs.fields import Fields, fields, label_name
from analytics.slo.specs.found import Found
from analytics.slo.specs.native import ID, parse_document
from analytics.slo.specs.openslo_export import API_VERSION, EXTRAS, dump_slo
from analytics.slo.specs.openslo_metrics import Sources, read_metrics
from analytics.slo.specs.openslo_parts import method_of, shorthand, slices_of, target_of, window_of
from analytics.slo.specs.problems import Problems, SpecError, nearest

__all__ = ["API_VERSION", "KINDS", "Library"]

_REQUIRED: Mapping[str, tuple[str, ...]] = {
    "SLO": (),
    "SLI": (),
    "Service": (),
    "DataSource": ("type",),
    "AlertPolicy": ("conditions",),
    "AlertCondition": ("severity", "condition"),
    "AlertNotificationTarget": ("target",),
}
"""Fields that each kind must have besides those that are read."""
KINDS = tuple(_REQUIRED)

_RFC1123 = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?", re.ASCII)
_LONGEST_DESCRIPTION = 1050
_TICKETS = ("ticket", "low", "info", "warn")


@dataclass(frozen=True, slots=True)
class _Frame:
    """What the objectives of one document have in common."""

    name: str
    title: str
    labels: Mapping[str, str]
    service: str
    description: str
    window: Window
    budgeting: Budgeting
    alerting: AlertPolicy
    extras: Objective | None
    """What our annotation holds, when the rest of the document has been changed since it was written."""
    indicator: Indicator | None
    """The indicator of that, when it has not been changed."""

    def objective(
        self, indicator: Indicator, target: Decimal, slices: Slices, *, number: int | None = None
    ) -> Objective:
        extras, suffix = self.extras, "" if number is None else f"-{number}"
        return Objective(
            id=(extras.id if extras else self.name.lower()) + suffix,
            title=self.title if number is None else f"{self.title} ({number})",
            service=self.service,
            target=target,
            indicator=indicator,
            description=self.description,
            window=self.window,
            budgeting=self.budgeting,
            slices=slices,
            alerting=extras.alerting if extras else self.alerting,
            group_by=extras.group_by if extras else (),
            owner=extras.owner if extras else None,
            labels=self.labels,
        )


@dataclass
class Library:
    """The documents there are, by kind and name, so that references can be followed."""

    documents: dict[tuple[str, str], Mapping[str, Any]] = field(default_factory=dict)

    @classmethod
    def of(cls, roots: Iterable[Fields]) -> "Library":
        """Return the library of *roots*."""
        found = cls()
        for root in roots:
            metadata = root.values.get("metadata")
            if isinstance(metadata, Mapping):
                found.documents.setdefault((str(root.values.get("kind")), str(metadata.get("name"))), root.values)
        return found

    def spec_of(self, kind: str, name: str) -> Mapping[str, Any] | None:
        """Return the specification of the document called *name*; None when it is not there."""
        spec = self.documents.get((kind, name), {}).get("spec")
        return spec if isinstance(spec, Mapping) else None

    def read(self, root: Fields) -> Found:
        """Return what *root*, a document of the library, defines; problems are left with it."""
        return _Reader(self, root).read()


class _Reader:
    def __init__(self, library: Library, root: Fields) -> None:
        self._library = library
        self._root = root
        self._problems: Problems = root.problems

    def read(self) -> Found:
        root, kind = self._root, self._root.text("kind") or ""
        root.ignore("apiVersion")
        metadata, spec = root.mapping("metadata", required=True), root.mapping("spec", required=True)
        root.close(is_lenient=True)
        name, title, labels, annotations = self._metadata(metadata)
        if spec is None:
            return Found()
        description = spec.text("description") or ""
        if len(description) > _LONGEST_DESCRIPTION:
            self._problems.forgive(spec.at("description"), f"it has more than {_LONGEST_DESCRIPTION} characters")
        for required in _REQUIRED[kind]:
            if not spec.has(required):
                spec.error(required, "it is missing")
        if kind == "SLI":
            self._metrics(spec)
        if kind == "AlertPolicy":
            self._check_policy(spec)
        if kind != "SLO":
            return Found()
        extras = self._extras(annotations)
        written = dump_slo(extras)["spec"] if extras else {}
        if extras and written == dict(spec.values):
            return Found([(root.at("metadata.name"), replace(extras, title=title or extras.title, labels=labels))])
        is_same = extras is not None and written.get("indicator") == spec.values.get("indicator")
        frame = _Frame(
            name=name,
            title=title or name,
            labels=labels,
            service=spec.text("service", required=True) or "?",
            description=description,
            window=self._window(spec),
            budgeting=method_of(spec),
            alerting=self._alerting(spec),
            extras=extras,
            indicator=extras.indicator if extras and is_same else None,
        )
        return self._slo(spec, frame)

    # ---- Metadata ----

    def _metadata(self, part: Fields | None) -> tuple[str, str | None, dict[str, str], Mapping[str, Any]]:
        if part is None:
            return "?", None, {}, {}
        name = part.text("name", required=True) or "?"
        if not _RFC1123.fullmatch(name):
            self._problems.forgive(
                part.at("name"), f"{name[:100]!r} is no name", "small letters, digits and -, at most 63"
            )
        if name != "?" and not ID.fullmatch(name.lower()):
            part.error("name", f"{name[:100]!r} cannot be an id", "letters, digits, -, _ and .")
        title = part.text("displayName")
        annotations = part.values.get("annotations")
        labels = self._labels(part)
        part.ignore("annotations")
        part.close(is_lenient=True)
        return name, title, labels, annotations if isinstance(annotations, Mapping) else {}

    def _labels(self, part: Fields) -> dict[str, str]:
        """Return labels as texts; of a list of values, the values with commas between."""
        values = part.values.get("labels")
        if not isinstance(values, Mapping):
            part.labels("labels")
            return {}
        joined = {
            name: ",".join(str(item) for item in value) if isinstance(value, list) else value
            for name, value in values.items()
        }
        part.ignore("labels")
        found = Fields({"labels": joined}, part.path, self._problems).labels("labels", any_key=True)
        return {label_name(name): text for name, text in found.items()}

    # ---- The objective ----

    def _window(self, spec: Fields) -> Window:
        windows = spec.items("timeWindow")
        if len(windows) > 1:
            spec.error("timeWindow", "there is more than one", "an objective has one window")
        if not windows:
            self._problems.forgive(spec.at("timeWindow"), "it is missing; the last 30 days were taken")
            return RollingWindow()
        part = windows[0]
        length = shorthand(part, "duration", required=True)
        window = window_of(part, "duration", length) if length else None
        part.close(is_lenient=True)
        return window or RollingWindow()

    def _slo(self, spec: Fields, frame: _Frame) -> Found:
        shared = None if frame.indicator else self._indicator(spec)
        spec.ignore("indicator")
        parts = spec.items("objectives", required=True)
        spec.close(is_lenient=True)
        found = []
        for place, part in enumerate(parts):
            own = self._indicator(part)
            weight = part.number("compositeWeight")
            if weight is not None and weight <= 0:
                part.error("compositeWeight", f"{weight} is not above 0")
            indicator = frame.indicator or self._measured(part, shared or own, has_both=bool(shared and own))
            target, slices = target_of(part), slices_of(part, frame.budgeting)
            part.ignore("displayName", "op", "value")
            part.close(is_lenient=True)
            if indicator and target:
                number = place + 1 if len(parts) > 1 else None
                objective = frame.objective(indicator, target, slices, number=number)
                found.append((part, objective, weight if own else None))
        if self._problems.errors:
            return Found()
        objectives = [(part.path, objective) for part, objective, _ in found]
        weights = [(objective, weight) for _, objective, weight in found if weight is not None]
        if len(weights) > 1 and len(weights) == len(found):
            objectives.append((spec.path, _composite(frame, weights)))
        return Found(objectives)

    def _indicator(self, part: Fields) -> Fields | None:
        """Return the metrics of an indicator, given in place or by reference."""
        if part.has("indicatorRef"):
            name = part.text("indicatorRef") or ""
            spec = self._library.spec_of("SLI", name)
            if spec is None:
                self._problems.forgive(
                    part.at("indicatorRef"), f"there is no SLI called {name[:100]!r}; what it is of was left out"
                )
                return None
            return fields(spec, part.at("indicatorRef"), self._problems)
        inline = part.mapping("indicator")
        if inline is None:
            return None
        inline.ignore("metadata", "apiVersion", "kind")
        spec_part = inline.mapping("spec", required=True)
        inline.close(is_lenient=True)
        return spec_part

    def _measured(self, part: Fields, metrics: Fields | None, *, has_both: bool) -> Indicator | None:
        if has_both:
            part.error("indicator", "there is one for the whole SLO already")
        if metrics is None:
            if not part.has("indicatorRef"):
                self._problems.forgive(part.path, "it has no indicator; it was left out")
            return None
        return self._metrics(metrics, part)

    def _metrics(self, metrics: Fields, objective: Fields | None = None) -> Indicator | None:
        sources = Sources({name: spec for (kind, name), spec in self._specs() if kind == "DataSource"})
        return read_metrics(metrics, sources, objective)

    def _specs(self) -> Iterable[tuple[tuple[str, str], Mapping[str, Any]]]:
        for key, document in self._library.documents.items():
            spec = document.get("spec")
            if isinstance(spec, Mapping):
                yield key, spec

    def _extras(self, annotations: Mapping[str, Any]) -> Objective | None:
        """Return the objective that our annotation holds."""
        text = annotations.get(EXTRAS)
        if text is None:
            return None
        try:
            return parse_document(orjson.loads(str(text)))
        except (ValueError, SpecError):
            self._problems.warn(f"metadata.annotations.{EXTRAS}", "it cannot be read; it was ignored")
            return None

    # ---- Alerts ----

    def _alerting(self, spec: Fields) -> AlertPolicy:
        spec.ignore("alertPolicies")
        policies = spec.values.get("alertPolicies")
        if policies is None:
            return AlertPolicy()
        if not isinstance(policies, list):
            spec.error("alertPolicies", "a list is needed")
            return AlertPolicy()
        pairs: list[BurnPair] = []
        for place, item in enumerate(policies):
            path = f"{spec.at('alertPolicies')}[{place}]"
            policy = self._followed("AlertPolicy", item, path, "alertPolicyRef")
            conditions = policy.values.get("conditions") if policy else None
            for number, condition in enumerate(conditions if isinstance(conditions, list) else []):
                pair = self._pair(condition, f"{path}.conditions[{number}]", len(pairs) + 1)
                pairs += [pair] if pair else []
        return AlertPolicy(pairs=tuple(pairs) or None)

    def _check_policy(self, spec: Fields) -> None:
        if not spec.has("notificationTargets"):
            self._problems.forgive(spec.at("notificationTargets"), "it is missing")
        conditions, targets = spec.items("conditions"), spec.items("notificationTargets")
        if len(conditions) > 1:
            self._problems.forgive(spec.at("conditions"), "there is more than one")
        for items, reference in ((conditions, "conditionRef"), (targets, "targetRef")):
            for item in items:
                if not item.has(reference) and not item.has("spec"):
                    item.error(reference, "it is missing")

    def _pair(self, condition: object, path: str, tier: int) -> BurnPair | None:
        spec = self._followed("AlertCondition", condition, path, "conditionRef")
        part = spec.mapping("condition", required=True) if spec else None
        if spec is None or part is None:
            return None
        severity = (spec.text("severity", required=True) or "").lower()
        if (kind := part.text("kind") or "burnrate") != "burnrate":
            part.error("kind", f"{kind[:40]!r} is not known", nearest(kind, ["burnrate"]))
        factor, length = part.number("threshold", required=True), shorthand(part, "lookbackWindow", required=True)
        part.ignore("op", "alertAfter")
        if factor is None or length is None or factor <= 0:
            return None
        long = max(length.length, 2 * BUCKET)
        is_ticket = any(word in severity for word in _TICKETS)
        return BurnPair(
            Severity.TICKET if is_ticket else Severity.PAGE,
            long,
            max(long / 12 // BUCKET * BUCKET, BUCKET),
            float(factor),
            tier,
        )

    def _followed(self, kind: str, item: object, path: str, reference: str) -> Fields | None:
        """Return the specification of *item*, which holds it or names it."""
        name = item if isinstance(item, str) else item.get(reference) if isinstance(item, Mapping) else None
        if isinstance(name, str):
            spec: object = self._library.spec_of(kind, name)
            if spec is None:
                self._problems.forgive(path, f"there is no {kind} called {name[:100]!r}; it was left out")
                return None
        else:
            spec = item.get("spec") if isinstance(item, Mapping) else item
        return fields(spec, path, self._problems)


def _composite(frame: _Frame, weights: list[tuple[Objective, Decimal]]) -> Objective:
    """Return the sum of the burn rates of objectives, by weight; its target is their mean by weight."""
    whole = sum((weight for _, weight in weights), Decimal(0))
    target = sum((objective.target * weight for objective, weight in weights), Decimal(0)) / whole
    members = tuple(Member(objective.id, weight) for objective, weight in weights)
    return frame.objective(CompositeEvents(CompositeMode.BURN_SUM, members), round(target, 9).normalize(), Slices())
