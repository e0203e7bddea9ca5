"""What is different between two definitions: fields, parameters, and nodes with what changed in each."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from worker.workflow.definition import Definition, Node, walk

What = Literal["added", "removed", "changed"]


@dataclass(frozen=True, slots=True)
class Change:
    """One value that is different."""

    path: str
    """Where, for example ``config.url`` or ``properties.hours.default``; a place in a list is its number."""
    what: What
    before: Any = None
    """None when it was added."""
    after: Any = None
    """None when it was removed."""


@dataclass(frozen=True, slots=True)
class NodeChange:
    """One node that is different."""

    node_id: str
    """Its address: ``each/fetch`` is ``fetch`` in the body of ``each``."""
    what: What
    kind: str
    """Its kind now, or of a removed one the kind it had."""
    changes: tuple[Change, ...] = ()
    """What changed in it; a container's body is told node by node. Empty for added and removed ones."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Everything that is different, in the order of the newer definition, what was removed last."""

    fields: tuple[Change, ...]
    """Name, description, tags, limits and output."""
    params: tuple[Change, ...]
    """The parameters' schema."""
    nodes: tuple[NodeChange, ...]

    @property
    def is_empty(self) -> bool:
        """Tell whether both are equal."""
        return not (self.fields or self.params or self.nodes)

    def of(self, what: What) -> list[str]:
        """Return the addresses of nodes that were added, removed or changed."""
        return [node.node_id for node in self.nodes if node.what == what]

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON."""
        return asdict(self)

    def summary(self) -> str:
        """Return it in a few words: "2 nodes added, 1 changed; parameters changed"."""
        counts = [(what, len(self.of(what))) for what in ("added", "removed", "changed")]
        told = [f"{count} {what}" for what, count in counts if count]
        parts = []
        if told:
            first, *rest = told
            number, _, word = first.partition(" ")
            parts.append(", ".join([f"{number} {'node' if number == '1' else 'nodes'} {word}", *rest]))
        if self.params:
            parts.append("parameters changed")
        if self.fields:
            parts.append(f"{', '.join(dict.fromkeys(change.path.partition('.')[0] for change in self.fields))} changed")
        return "; ".join(parts) or "no difference"


def difference(before: Definition, after: Definition) -> Difference:
    """Return what makes *after* another definition than *before*; texts and lists are compared by what they mean."""
    old, new = before.to_spec(), after.to_spec()
    for spec in (old, new):
        del spec["nodes"]
    old_params, new_params = old.pop("params", {}), new.pop("params", {})
    return Difference(
        fields=tuple(changes_between(old, new)),
        params=tuple(changes_between(old_params, new_params)),
        nodes=tuple(_node_changes(before, after)),
    )


def changes_between(before: Any, after: Any, path: tuple[str, ...] = ()) -> Iterator[Change]:
    """Yield the values that are different in two JSON values, each where it is; true and 1 are different."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in [*after, *(key for key in before if key not in after)]:
            yield from _change_of(key, before, after, path)
    elif _are_objects(before) and _are_objects(after):
        old, new = dict(enumerate(before)), dict(enumerate(after))
        for place in range(max(len(old), len(new))):
            yield from _change_of(place, old, new, path)
    elif not _is_same(before, after):
        yield Change(".".join(path), "changed", before, after)


def _change_of(
    key: Any, before: Mapping[Any, Any], after: Mapping[Any, Any], path: tuple[str, ...]
) -> Iterator[Change]:
    here = (*path, str(key))
    if key not in before:
        yield Change(".".join(here), "added", None, after[key])
    elif key not in after:
        yield Change(".".join(here), "removed", before[key], None)
    else:
        yield from changes_between(before[key], after[key], here)


def _are_objects(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, Mapping | list) for item in value)


def _is_same(before: Any, after: Any) -> bool:
    if isinstance(before, list) and isinstance(after, list):
        return len(before) == len(after) and all(map(_is_same, before, after))
    return isinstance(before, bool) == isinstance(after, bool) and bool(before == after)


def _node_changes(before: Definition, after: Definition) -> Iterator[NodeChange]:
    old, new = dict(walk(before)), dict(walk(after))
    for node_id, node in new.items():
        earlier = old.get(node_id)
        if earlier is None:
            yield NodeChange(node_id, "added", node.kind)
            continue
        changes = tuple(changes_between(_own_spec(earlier), _own_spec(node)))
        if changes:
            yield NodeChange(node_id, "changed", node.kind, changes)
    for node_id, node in old.items():
        if node_id not in new:
            yield NodeChange(node_id, "removed", node.kind)


def _own_spec(node: Node) -> dict[str, Any]:
    """Return the node as JSON without the nodes it carries, which are told by themselves."""
    spec = node.to_spec()
    if "body" in spec:
        spec["body"] = {"output": spec["body"]["output"]} if "output" in spec["body"] else {}
    return spec
