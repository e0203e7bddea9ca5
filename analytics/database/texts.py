"""Texts of statements, without the values in them.

PostgreSQL puts ``$1`` for constants in most statements it counts, but not in those that define roles or servers, and
never in what a session runs at the moment. Values may be anybody's secrets, so none is shown.
"""

import re

LONGEST = 4_000

_PARTS = re.compile(
    r"""
      (?P<dollar>\$(?P<tag>[A-Za-z_\x80-\uffff][\w\x80-\uffff]*|)\$.*?(?:\$(?P=tag)\$|\Z))
    | (?P<escaped>\b[eE]'(?:[^'\\]|\\.|'')*(?:'|\Z))
    | (?P<string>'(?:[^']|'')*(?:'|\Z))
    | (?P<name>"(?:[^"]|"")*(?:"|\Z))
    | (?P<line>--[^\n]*)
    | (?P<block>/\*.*?(?:\*/|\Z))
    | (?P<number>(?<![\w$.])\d[\d_]*(?:\.\d+)?(?:[eE][+-]?\d+)?\b)
    """,
    re.VERBOSE | re.DOTALL,
)
_CAN_BE_PLANNED = re.compile(r"\s*\(*\s*(SELECT|WITH|INSERT|UPDATE|DELETE|MERGE|VALUES)\b", re.IGNORECASE)
_TYPED = re.compile(
    r"\b(interval|timestamptz|timestamp|date|time|timetz|uuid|jsonb|json|inet)\s+(\$\d+)", re.IGNORECASE
)
_SPACES = re.compile(r"[ \t]*\n\s*\n")


def without_values(text: str, *, numbers: bool = True) -> str:
    """Return *text* with its strings, comments and, if asked for, its *numbers* taken out.

    A text that was cut within a string loses all of its end. Longer texts are cut to :data:`LONGEST` characters.
    """

    def put(part: re.Match[str]) -> str:
        match part.lastgroup:
            case "name":
                return part[0]
            case "line" | "block":
                return " "
            case "number":
                return "…" if numbers else part[0]
            case _:
                return "'…'"

    clean = _SPACES.sub("\n", _PARTS.sub(put, text)).strip()
    return clean if len(clean) <= LONGEST else f"{clean[: LONGEST - 1]}…"


def can_be_planned(text: str) -> bool:
    """Return whether *text* is one statement that PostgreSQL makes a plan for."""
    bare = without_values(text, numbers=False)
    return len(bare) < LONGEST and ";" not in bare.rstrip("; \n") and _CAN_BE_PLANNED.match(bare) is not None


def plannable(text: str) -> str:
    """Return *text* with constants that stand behind their type, such as ``interval $1``, so that it can be read."""
    return _TYPED.sub(r"CAST(\2 AS \1)", text)
