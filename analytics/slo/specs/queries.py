"""Queries of specifications: checked, and written our way."""

import re

from analytics.core.errors import InputError
from analytics.slo.rules.model import PLACEHOLDER
from analytics.slo.specs.fields import Fields
from analytics.slo.specs.promql import check_promql

_RATE = re.compile(r"\bi?rate\s*\(")
_INCREASE = re.compile(r"\bincrease\s*\(")


def read_query(body: Fields, name: str) -> str | None:
    """Return the query in the field *name*, with ``{window}`` for the length of a window.

    Returns:
        None, with a problem, when it is missing, is not PromQL or has no place for the window.
    """
    written = body.text(name, required=True)
    if written is None:
        return None
    query = with_placeholder(written)
    if "{window}" not in query:
        body.error(name, "it has no place for the length of a window", "write {{.window}}, as in rate(x[{{.window}}])")
        return None
    return checked(body, name, query)


def checked(body: Fields, name: str, query: str) -> str | None:
    """Return *query*, which was made of the field *name*, when it is PromQL; None, with a problem, otherwise."""
    try:
        check_promql(with_placeholder(query).replace("{window}", "5m"))
    except InputError as error:
        body.error(name, f"it is not PromQL: {error.message}")
        return None
    return query


def with_placeholder(query: str) -> str:
    """Return *query* with ``{window}`` for the length of a window, however it was written."""
    return PLACEHOLDER.sub("{window}", query)


def is_per_second(query: str) -> bool:
    """Return whether *query* gives events per second, not their number."""
    return bool(_RATE.search(query)) and not _INCREASE.search(query)
