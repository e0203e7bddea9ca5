"""The node kind ``wait``: for a time or a signal. The engine steers it; here are its schema and its docs."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from worker.workflow.durations import DAY_S, DURATION_SCHEMA, duration_problems
from worker.workflow.node_kind import Idempotence, NodeKind, Path, Transport
from worker.workflow.templates import has_template

MAX_WAIT_S = 400 * DAY_S


def _check(config: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    yield from duration_problems(config, "for", most_s=MAX_WAIT_S)
    yield from duration_problems(config, "deadline", most_s=MAX_WAIT_S)
    chosen = [name for name in ("for", "until", "signal") if name in config]
    if len(chosen) != 1:
        yield (), "a wait has one of `for`, `until` and `signal`"
    if "deadline" in config and "signal" not in config:
        yield ("deadline",), "only a wait for a `signal` has a deadline"
    until = config.get("until")
    if isinstance(until, str) and not has_template(until) and _offset(until) is None:
        yield ("until",), f"{until[:40]!r} is not a time with its offset, such as 2030-01-31T08:00:00+00:00"


def _offset(text: str) -> object:
    try:
        return datetime.fromisoformat(text).utcoffset()
    except ValueError:
        return None


KIND = NodeKind(
    name="wait",
    summary="Waits for a while, until a time, or for a signal, without holding a slot.",
    config_schema={
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "for": {**DURATION_SCHEMA, "description": "How long, from when the node begins."},
            "until": {"type": "string", "description": "A time as ISO 8601 with its offset; one in the past ends it."},
            "signal": {
                "type": "string",
                "pattern": r"^[A-Za-z][A-Za-z0-9_.-]{0,63}$",
                "description": "The name of what is sent to the run; one sent earlier counts.",
            },
            "deadline": {**DURATION_SCHEMA, "description": "How long it waits for the signal, then it fails."},
        },
    },
    transport=Transport.CONTROL,
    idempotence=Idempotence.IDEMPOTENT,
    check=_check,
    docs="""Puts out `{"waited_s": SECONDS, "data": WHAT CAME WITH THE SIGNAL}`. The run is *waiting* meanwhile and uses
no slot; it outlives restarts.

```yaml
- id: pause
  kind: wait
  config: {for: 10m}
- id: paid
  kind: wait
  config: {signal: payment, deadline: 3d}
```
""",
)
