"""Structured logs: one JSON object a line, with the correlation id of the click that caused it."""

import contextvars
import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog

from analytics.core.ids import new_id

_correlation: contextvars.ContextVar[str | None] = contextvars.ContextVar("correlation_id", default=None)
_SECRET_KEY = re.compile(r"(password|secret|token|authorization|cookie|dsn|api_key)", re.IGNORECASE)
_URL_PASSWORD = re.compile(r"(\w+://[^:/@\s]*:)[^@\s]+(@)")
_CHATTY = ("alembic", "sqlalchemy", "httpx", "httpcore", "rq")
"""Libraries that tell at INFO what only their authors need."""
_MASK = "***"
_CORRELATION_FORM = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def correlation_id() -> str | None:
    """Return the id that joins a click, its request, its job and its log lines, or None outside of one."""
    return _correlation.get()


@contextmanager
def correlated(value: str | None = None) -> Iterator[str]:
    """Bind a correlation id for the block: *value* if it is well formed, else a new one."""
    bound = value if value is not None and _CORRELATION_FORM.fullmatch(value) else new_id().hex
    token = _correlation.set(bound)
    try:
        yield bound
    finally:
        _correlation.reset(token)


def _add_correlation(_: Any, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    bound = _correlation.get()
    if bound is not None:
        event.setdefault("correlation_id", bound)
    return event


def mask_secrets(_: Any, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Replace the values of secret keys, and the passwords inside URLs, by ``***``."""
    for key, value in event.items():
        if _SECRET_KEY.search(key) and value is not None:
            event[key] = _MASK
        elif isinstance(value, str) and "://" in value:
            event[key] = _URL_PASSWORD.sub(rf"\1{_MASK}\2", value)
    return event


def configure_logging(*, level: str = "INFO", json: bool = True, part: str = "helmsight") -> None:
    """Send every log line of this process to standard error, through structlog; call once at start.

    Args:
        level: The lowest level written, a name of :mod:`logging`.
        json: One JSON object a line; otherwise lines for a person.
        part: Which part of Helmsight this process is; stands in every line.
    """

    def add_part(_: Any, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        event.setdefault("part", part)
        return event

    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        add_part,
        _add_correlation,
        mask_secrets,
    ]
    final: list[structlog.typing.Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if json
        else [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *final],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for chatty in _CHATTY:
        logging.getLogger(chatty).setLevel(max(logging.WARNING, root.level))


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """Return the logger called *name*; events are past-tense words, values are keyword arguments."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger
