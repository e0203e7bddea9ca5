"""What a node sees: the scope its templates name, and its configuration with every template resolved."""

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from analytics.core.errors import InputError
from worker.workflow.definition import Node, config_validator
from worker.workflow.node_kind import NodeKind
from worker.workflow.schemas import violations
from worker.workflow.templates import resolve


def scope_of(run_id: uuid.UUID, created_at: datetime, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return what templates may name: ``params``, ``run``, and ``nodes``, empty until outputs are put in."""
    return {
        "params": params,
        "nodes": {},
        "run": {"id": str(run_id), "created_at": created_at.isoformat()},
    }


def resolved_config(kind: NodeKind, node: Node, scope: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration of *node* with every template resolved, valid against the kind's schema.

    Raises:
        InputError: If a template names what is not there, or the result does not fit the schema.
    """
    literal = {key: value for key, value in node.config.items() if key in kind.literals or key in kind.lazy}
    config = {**resolve({key: value for key, value in node.config.items() if key not in literal}, scope), **literal}
    problems = violations(config_validator(kind.name), config)
    if problems:
        listed = "; ".join(f"{'.'.join(map(str, path)) or 'config'}: {reason}" for path, reason in problems[:5])
        raise InputError(f"The configuration of {node.id!r} cannot be used: {listed}. The node was not run.")
    return config
