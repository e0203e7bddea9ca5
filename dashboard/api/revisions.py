"""From which revision a change was made, as callers say it."""

from collections.abc import Mapping

from analytics.core.errors import InputError
from dashboard.api.operations import Call

MATCH: Mapping[str, str] = {"If-Match": "The revision the change was made from; another one since is a conflict."}


def expected_revision(call: Call) -> int | None:
    """Return the revision that the caller says it changes; None when it does not say.

    Raises:
        InputError: If ``If-Match`` is not a revision.
    """
    sent = call.request.headers.get("if-match", "*").strip()
    number = sent.removeprefix("W/").strip('"')
    if number == "*":
        return None
    if not (number.isascii() and number.isdigit() and len(number) < 10):  # noqa: PLR2004 - digits of an integer column
        raise InputError(f"If-Match is {sent[:100]!r}; send the revision the change was made from. Nothing was done.")
    return int(number)
