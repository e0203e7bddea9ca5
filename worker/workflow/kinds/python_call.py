"""The node kind ``python``: call a function that the operator allows, in a child process that can be killed.

Allowed is what an installed distribution names in the entry-point group ``helmsight.python``, and what
``HELMSIGHT_WORKER__PYTHON_ALLOWED`` lists; nothing else is imported. A definition can name a function and never holds
code.
"""

import asyncio
import functools
import hashlib
import importlib
import importlib.util
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points
from pathlib import Path as FilePath
from typing import Any

from sqlalchemy import Engine

from analytics.core.errors import HelmsightError, InputError, PolicyError
from worker.workflow.node_kind import Idempotence, NodeCall, NodeKind, Path, Transport

ENTRY_POINTS = "helmsight.python"

_CALL_FORM = r"^[A-Za-z_][\w.]*:[A-Za-z_][\w.]*$"


class _Allowed:
    """What the settings of this process allow besides entry points; not known until somebody tells."""

    names: frozenset[str] | None = None


def allow(names: Iterable[str]) -> None:
    """Say what the settings allow, so that a definition that calls anything else is refused before it runs."""
    _Allowed.names = frozenset(names)


def _run(call: NodeCall) -> Any:
    name = call.config["call"]
    entry = _named().get(name)
    if entry is None and name not in call.settings.worker.python_allowed:
        raise PolicyError(f"{_refusal(name)} It was not called.")
    function = _loaded(name)
    arguments = dict(call.config.get("arguments", {}))
    _check_arguments(name, function, arguments)
    if "call" in inspect.signature(function).parameters:
        arguments["call"] = call
    result = function(**arguments)
    return asyncio.run(result) if inspect.iscoroutine(result) else result


def _loaded(name: str) -> Callable[..., Any]:
    """Return the function called *name*; what its module does when it is imported is the node's doing, too."""
    module_name, _, path = name.partition(":")
    try:
        found: Any = functools.reduce(getattr, path.split("."), importlib.import_module(module_name))
    except (ImportError, AttributeError) as error:
        raise InputError(f"{name} cannot be loaded ({error}); nothing was called.") from error
    if not callable(found):
        raise InputError(f"{name} is not a function; nothing was called.")
    function: Callable[..., Any] = found
    return function


def _check_arguments(name: str, function: Callable[..., Any], arguments: Mapping[str, Any]) -> None:
    if "call" in arguments:
        raise InputError("`call` is what the node itself gives; nothing was called.")
    signature = inspect.signature(function)
    given = {"call": None} if "call" in signature.parameters else {}
    try:
        signature.bind(**given, **arguments)
    except TypeError as error:
        raise InputError(f"{name} cannot be called with these arguments ({error}); nothing was called.") from error


def _check(config: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    name = config.get("call")
    if isinstance(name, str) and _Allowed.names is not None and name not in _Allowed.names and name not in _named():
        yield ("call",), _refusal(name)


def _refusal(name: str) -> str:
    return (
        f"{name!r} may not be called: it is neither an entry point of {ENTRY_POINTS!r} nor listed in"
        " HELMSIGHT_WORKER__PYTHON_ALLOWED."
    )


@functools.cache
def _named() -> Mapping[str, EntryPoint]:
    return {entry.value.replace(" ", ""): entry for entry in entry_points(group=ENTRY_POINTS)}


def _fingerprint(config: Mapping[str, Any], engine: Engine) -> list[str]:
    """Return what tells one version of the function's code from another: its release, and its module's source."""
    del engine
    name = config["call"]
    module_name = name.partition(":")[0]
    entry = _named().get(name)
    release = "" if entry is None or entry.dist is None else f"{entry.dist.name} {entry.dist.version}"
    try:
        spec = importlib.util.find_spec(module_name)
        source = FilePath(spec.origin).read_bytes() if spec is not None and spec.origin is not None else b""
    except (ImportError, OSError, ValueError, PackageNotFoundError, HelmsightError):
        source = b""  # The node itself will say what is wrong.
    return [release, hashlib.sha256(source).hexdigest()]


KIND = NodeKind(
    name="python",
    summary="Calls a Python function that the operator allows.",
    config_schema={
        "type": "object",
        "required": ["call"],
        "additionalProperties": False,
        "properties": {
            "call": {
                "type": "string",
                "pattern": _CALL_FORM,
                "maxLength": 300,
                "description": "`package.module:function`: an entry point of `helmsight.python` or a listed one.",
            },
            "arguments": {"type": "object", "description": "Handed over by name."},
        },
    },
    transport=Transport.PROCESS,
    idempotence=Idempotence.RETRY_SAFE,
    run=_run,
    literals=("call",),
    cacheable=True,
    fingerprint=_fingerprint,
    check=_check,
    docs="""Puts out what the function returns, which has to be JSON: objects, lists, texts, numbers, times. Runs in a
child process with what it prints in the node's log; it is killed when its time is over. A function that has a
parameter `call` gets the node: `call.log.info(…)` writes a line, `call.save(name, bytes, media_type)` keeps a file,
`call.key` is the same on every attempt. A function may be called again after a crash, so what it does to others has
to bear that.

```yaml
- id: profile
  kind: python
  cache: 1h
  config:
    call: worker.functions.tables:profile
    arguments: {rows: "{{ nodes.rows.output.rows }}"}
```

A distribution offers functions by entry point; the operator may list others.

```toml
[project.entry-points."helmsight.python"]
invoices = "acme.invoices:extract_totals"
```

A kept result is dropped with another release of the distribution or another text of the function's module, but not
with a change elsewhere: then `helmsight cache forget --kind python` drops them.""",
)
