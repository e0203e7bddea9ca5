"""The node kind ``approval``: a person decides. The engine steers it; here are its schema and its docs."""

from collections.abc import Iterator, Mapping
from typing import Any

from worker.workflow.durations import DAY_S, DURATION_SCHEMA, duration_problems
from worker.workflow.node_kind import Idempotence, NodeKind, Path, Transport
from worker.workflow.schemas import schema_problem

MAX_DEADLINE_S = 400 * DAY_S


def _check(config: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    yield from duration_problems(config, "deadline", least_s=1.0, most_s=MAX_DEADLINE_S)
    if "on_deadline" in config and "deadline" not in config:
        yield ("on_deadline",), "it says what happens at the deadline, but there is no `deadline`"
    form = config.get("form")
    if isinstance(form, Mapping):
        found = schema_problem(dict(form))
        if found is not None:
            yield ("form", *found[0]), found[1]
        elif form.get("type") != "object":
            yield ("form",), "the form's schema has to say `type: object`"


KIND = NodeKind(
    name="approval",
    summary="Waits until a person approves or rejects, without holding a slot.",
    config_schema={
        "type": "object",
        "required": ["title"],
        "additionalProperties": False,
        "properties": {
            "title": {"type": "string", "minLength": 1, "maxLength": 200, "description": "What is to be decided."},
            "message": {"type": "string", "maxLength": 10_000, "description": "What whoever decides should know."},
            "form": {"type": "object", "description": "JSON Schema of what is filled in with the decision."},
            "deadline": {**DURATION_SCHEMA, "description": "How long it waits; for ever when it is not given."},
            "on_deadline": {
                "enum": ["fail", "approve", "reject"],
                "default": "fail",
                "description": "What happens when nobody has decided by then.",
            },
            "role": {
                "enum": ["viewer", "analyst", "operator", "admin"],
                "default": "operator",
                "description": "The least role that may decide.",
            },
            "reject_fails": {
                "type": "boolean",
                "default": False,
                "description": "Whether a rejection fails the node; else a `branch` can act on it.",
            },
        },
    },
    transport=Transport.CONTROL,
    idempotence=Idempotence.IDEMPOTENT,
    literals=("form",),
    check=_check,
    docs="""Puts out `{"decision": "approved" | "rejected", "by": WHO, "data": FORM, "at": TIME}`. The run is *waiting*
meanwhile and uses no slot; it outlives restarts.

```yaml
- id: release
  kind: approval
  needs: [check]
  config:
    title: "Send {{ nodes.check.output.count }} letters?"
    deadline: 2d
    on_deadline: reject
    form: {type: object, properties: {reason: {type: string, title: Reason}}}
```
""",
)
