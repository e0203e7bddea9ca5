"""The errors of Helmsight, translated once at each edge.

::

    HelmsightError            code, message, context, retryable
    ├─ ConfigError            operator: refuse to start, name the variable
    ├─ InputError             caller: bad document, bad query      → 4xx, no retry
    │  ├─ NotFoundError       → 404
    │  └─ ConflictError       → 409
    ├─ DependencyError        PostgreSQL, Redis, Prometheus or an engine is silent → 503, retry
    ├─ PolicyError            a role or a policy forbids it        → 403, audited
    │  └─ LimitError          too many calls                       → 429
    └─ InvariantError         our bug                              → 500, page someone

A message says what failed, what was *not* done, and what to do next.
"""

from typing import Any, ClassVar, Self


class HelmsightError(Exception):
    """Something Helmsight expected to go right went wrong."""

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 500
    """HTTP status that an API route answers with."""
    retryable: ClassVar[bool] = False
    """Whether the same call may succeed later without a change by the caller."""

    def __init__(self, message: str, **context: Any) -> None:
        super().__init__(message)
        self.message = message
        self.context = context

    def __reduce__(self) -> tuple[Any, ...]:
        """Keep message and context over a process border."""
        return (_rebuild, (type(self), self.message, self.context))

    def with_context(self, **context: Any) -> Self:
        """Return the error itself with *context* added."""
        self.context.update(context)
        return self


def _rebuild(kind: type[HelmsightError], message: str, context: dict[str, Any]) -> HelmsightError:
    return kind(message, **context)


class ConfigError(HelmsightError):
    """A setting is missing or wrong; nothing was started."""

    code = "config"


class InputError(HelmsightError):
    """The caller sent something that cannot be used."""

    code = "input"
    status = 422


class NotFoundError(InputError):
    """What the caller named does not exist."""

    code = "not_found"
    status = 404


class ConflictError(InputError):
    """What the caller asks for clashes with what is already there."""

    code = "conflict"
    status = 409


class DependencyError(HelmsightError):
    """A service we rely on did not answer; trying again may help."""

    code = "dependency"
    status = 503
    retryable = True


class PolicyError(HelmsightError):
    """A role or a policy forbids it."""

    code = "policy"
    status = 403


class LimitError(PolicyError):
    """The caller asks too often; it may try again after ``context["retry_after_s"]`` seconds."""

    code = "limit"
    status = 429


class InvariantError(HelmsightError):
    """Helmsight itself is wrong."""

    code = "invariant"
