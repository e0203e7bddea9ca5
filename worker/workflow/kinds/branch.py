"""The node kind ``branch``: choose which way a run goes. The engine steers it; here are its schema and its docs."""

from collections.abc import Iterator, Mapping
from typing import Any

from worker.workflow.conditions import CONDITION_DEFS, condition_problems
from worker.workflow.node_kind import Idempotence, NodeKind, Path, Transport

BRANCH_NAME = r"^[A-Za-z][A-Za-z0-9_-]{0,63}$"


def branch_names(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the branches that *config* can take, ``else`` last when it is given; what does not fit is left out."""
    cases = config.get("cases")
    names = [case.get("name") for case in cases if isinstance(case, Mapping)] if isinstance(cases, list) else []
    return tuple(name for name in (*names, config.get("else")) if isinstance(name, str))


def _check(config: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    seen: set[str] = set()
    for place, case in enumerate(config["cases"]):
        if case["name"] in seen:
            yield ("cases", place, "name"), f"there are two branches {case['name']!r}"
        seen.add(case["name"])
        yield from condition_problems(case["when"], ("cases", place, "when"))
    if config.get("else") in seen:
        yield ("else",), f"the branch {config['else']!r} is also a case"


KIND = NodeKind(
    name="branch",
    summary="Chooses which way the run goes: the first case whose condition holds.",
    config_schema={
        "type": "object",
        "required": ["cases"],
        "additionalProperties": False,
        "properties": {
            "cases": {
                "type": "array",
                "minItems": 1,
                "maxItems": 50,
                "description": "Looked at in order; the first whose `when` holds is taken.",
                "items": {
                    "type": "object",
                    "required": ["name", "when"],
                    "additionalProperties": False,
                    "properties": {
                        "name": {"type": "string", "pattern": BRANCH_NAME},
                        "when": {"$ref": "#/$defs/condition"},
                    },
                },
            },
            "else": {
                "type": ["string", "null"],
                "pattern": BRANCH_NAME,
                "description": "The branch when no case holds; without it none is taken.",
            },
        },
        "$defs": CONDITION_DEFS,
    },
    transport=Transport.CONTROL,
    idempotence=Idempotence.IDEMPOTENT,
    lazy=("cases",),
    check=_check,
    docs="""Puts out `{"taken": NAME}`, or `{"taken": null}` when no case holds and there is no `else`.

A node goes along a branch by naming it: `needs: [route.large]`. A node on a branch that was not taken is skipped, and
so is what needs it; where branches meet again, say `run_if: any`.

```yaml
- id: route
  kind: branch
  needs: [count]
  config:
    cases:
      - {name: large, when: {value: "{{ nodes.count.output.rows[0].n }}", is: ">", than: 100}}
    else: small
```
""",
)
