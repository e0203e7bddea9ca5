"""The node kind ``foreach``: a body for each item of a list. The engine steers it; here are its schema and its docs."""

from collections.abc import Iterator, Mapping
from typing import Any

from worker.workflow.node_kind import Idempotence, NodeKind, Path, Transport

MAX_ITEMS = 10_000
DEFAULT_MAX_ITEMS = 1000
DEFAULT_MAX_PARALLEL = 16


def _check(config: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    items, most = config["items"], config.get("max_items", DEFAULT_MAX_ITEMS)
    if isinstance(items, list) and isinstance(most, int) and len(items) > most:
        yield ("items",), f"{len(items)} items are more than `max_items`, which is {most}"


KIND = NodeKind(
    name="foreach",
    summary="Runs its body once for each item of a list, several at a time.",
    config_schema={
        "type": "object",
        "required": ["items"],
        "additionalProperties": False,
        "properties": {
            "items": {
                "type": ["array", "string"],
                "description": "The list, or a template that names one.",
            },
            "max_parallel": {
                "type": "integer",
                "minimum": 1,
                "maximum": 1000,
                "default": DEFAULT_MAX_PARALLEL,
                "description": "How many items are under way at once.",
            },
            "max_items": {
                "type": "integer",
                "minimum": 1,
                "maximum": MAX_ITEMS,
                "default": DEFAULT_MAX_ITEMS,
                "description": "With more items the node fails, and no item is begun.",
            },
            "on_error": {
                "enum": ["fail", "continue"],
                "default": "fail",
                "description": "`continue`: a failed item puts out null and the others go on.",
            },
        },
    },
    transport=Transport.CONTROL,
    idempotence=Idempotence.IDEMPOTENT,
    has_body=True,
    check=_check,
    docs="""Puts out the list of what the body put out, in the order of the items; null for an item that failed, with
`on_error: continue`. Inside the body `item` is the item and `index` its place, from 0. The body's nodes have ids of
their own and may read what the node itself may read. Completed items are not run again after a crash.

```yaml
- id: each
  kind: foreach
  needs: [list]
  config: {items: "{{ nodes.list.output.json.urls }}", max_parallel: 8}
  body:
    nodes:
      - id: fetch
        kind: http.request
        config: {url: "{{ item }}"}
    output: "{{ nodes.fetch.output.status }}"
```
""",
)
