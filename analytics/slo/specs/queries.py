"""Queries of specifications: checked, and written our way."""

import re

from analytics.core.errors import InputError
from analytics.slo.specs.fields import Fields
from analytics.slo.specs.promql import check_promql

_WINDOW = re.compile(r"\{\{ *\.window *\}\}|\{window\}|(?<=\[)window(?=\])")
_RATE = re.compile(r"\bi?rate\s*\(")
_INCREASE = re.compile(r"\bincrease\s*\(")


def read_query(body: Fields, name: str, *, required: bool = True, needs_window: bool = True) -> str | None:
    """Return the query in the field *name* with ``{window}`` for the length of a window; None, with a problem, if bad.

    Args:
        body: The fields.
        name: Which of them.
        required: Whether it must be there.
        needs_window: Whether it must have a place for the length of a window.
    """
    written = body.text(name, required=required)
    if written is None:
        return None
    query = _WINDOW.sub("{window}", written)
    if needs_window and "{window}" not in query:
        body.error(name, "it has no place for the length of a window", "write {{.window}}, as in rate(x[{{.window}}])")
        return None
    try:
        check_promql(query.replace("{window}", "5m"))
    except InputError as error:
        body.error(name, f"it is not PromQL: {error.message}")
        return None
    return query


def is_per_second(query: str) -> bool:
    """Return whether *query* gives events per second, not their number."""
    return bool(_RATE.search(query)) and not _INCREASE.search(query)
