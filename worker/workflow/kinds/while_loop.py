"""The node kind ``while``: a body again and again. The engine steers it; here are its schema and its docs."""

from collections.abc import Iterator, Mapping
from typing import Any

from worker.workflow.conditions import CONDITION_DEFS, condition_problems
from worker.workflow.node_kind import Idempotence, NodeKind, Path, Transport

MAX_ITERATIONS = 1000


def _check(config: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    return condition_problems(config["condition"], ("condition",))


KIND = NodeKind(
    name="while",
    summary="Runs its body again and again as long as a condition holds, up to a bound.",
    config_schema={
        "type": "object",
        "required": ["condition", "max_iterations"],
        "additionalProperties": False,
        "properties": {
            "condition": {
                "$ref": "#/$defs/condition",
                "description": "Looked at before each turn; may read `loop.index` and `loop.last`.",
            },
            "max_iterations": {
                "type": "integer",
                "minimum": 1,
                "maximum": MAX_ITERATIONS,
                "description": "When the condition still holds after so many turns, the node fails (`loop_bound`).",
            },
        },
        "$defs": CONDITION_DEFS,
    },
    transport=Transport.CONTROL,
    idempotence=Idempotence.IDEMPOTENT,
    has_body=True,
    lazy=("condition",),
    check=_check,
    docs="""Puts out `{"iterations": N, "last": OUTPUT}`. `loop.index` is the turn, from 0, and `loop.last` what the
turn before put out, null in the first; end the path with `?` where the first turn has no such value. A turn that fails
makes the node fail.

```yaml
- id: pages
  kind: while
  config:
    max_iterations: 50
    condition:
      any:
        - {value: "{{ loop.index }}", is: "==", than: 0}
        - {value: "{{ loop.last.next? }}", is: present}
  body:
    nodes:
      - id: fetch
        kind: http.request
        config: {url: "https://example.com/list", query: {after: "{{ loop.last.next? }}"}}
    output: "{{ nodes.fetch.output.json }}"
```
""",
)
