"""The node kind ``subworkflow``: another workflow as a step. The engine steers it; here are its schema and its docs."""

from worker.workflow.node_kind import Idempotence, NodeKind, Transport

MAX_DEPTH = 10
"""Runs inside runs."""

KIND = NodeKind(
    name="subworkflow",
    summary="Runs another workflow and waits for its end, without holding a slot.",
    config_schema={
        "type": "object",
        "required": ["workflow"],
        "additionalProperties": False,
        "properties": {
            "workflow": {"type": "string", "minLength": 1, "maxLength": 64, "description": "Its name."},
            "version": {
                "type": ["integer", "string"],
                "minimum": 1,
                "description": "One version of it; the current one when it is not given.",
            },
            "params": {
                "type": ["object", "string"],
                "default": {},
                "description": "Parameters, as the other workflow wants them.",
            },
        },
    },
    transport=Transport.CONTROL,
    idempotence=Idempotence.RETRY_SAFE,
    docs=f"""Puts out `{{"run_id": ID, "status": STATUS, "output": OUTPUT}}` of the run it started, which keeps its own
page. The node fails when that run fails; cancelling goes down to it. After a crash the same run is waited for, never a
second one started. Runs may be {MAX_DEPTH} deep in one another.

```yaml
- id: intake
  kind: subworkflow
  config: {{workflow: document-intake, params: {{hours: 24}}}}
```
""",
)
