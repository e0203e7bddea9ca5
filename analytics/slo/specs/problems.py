"""What is wrong with a specification: all of it at once, each with where it is and what to do."""

import enum
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, TypeVar

from analytics.core.errors import InputError

T = TypeVar("T")

_MOST_SHOWN = 5


class Level(enum.StrEnum):
    """Whether a problem keeps a specification from being used."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, or doubtful."""

    path: str
    """Such as ``spec.slos[1].objective``; empty for the document as a whole."""
    message: str
    hint: str | None = None
    """What to write instead, when that is known."""
    level: Level = Level.ERROR
    line: int | None = None
    """Of the text it was read from, from 1; None when there is none."""

    def __str__(self) -> str:
        """Return it as one line."""
        where = f"{self.path}: " if self.path else ""
        return f"{where}{self.message}{f' ({self.hint})' if self.hint else ''}"

    def as_dict(self) -> dict[str, Any]:
        """Return it as pages and the API show it, like the problems of workflows."""
        return {"line": self.line, "path": self.path, "reason": self.message, "hint": self.hint, "level": self.level}


class SpecError(InputError):
    """A specification cannot be used; ``context["problems"]`` holds all its problems as dictionaries."""

    code = "specification"

    def __init__(self, message: str, **context: Any) -> None:
        super().__init__(message, **context)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Return the problems, warnings included."""
        return tuple(
            Problem(item["path"], item["reason"], item["hint"], Level(item["level"]), item["line"])
            for item in self.context["problems"]
        )

    @classmethod
    def of(cls, problems: Collection[Problem]) -> "SpecError":
        """Return the error that tells of *problems*."""
        errors = [item for item in problems if item.level is Level.ERROR]
        shown = "; ".join(str(item) for item in errors[:_MOST_SHOWN])
        more = f"; and {len(errors) - _MOST_SHOWN} more" if len(errors) > _MOST_SHOWN else ""
        return cls(
            f"The specification cannot be used, and nothing was stored: {shown}{more}.",
            problems=[item.as_dict() for item in problems],
        )


@dataclass
class Problems:
    """Problems found so far; readers add to it and go on."""

    found: list[Problem] = field(default_factory=list)
    is_strict: bool = False
    """Whether what could be forgiven is an error."""

    def error(self, path: str, message: str, hint: str | None = None) -> None:
        """Add what keeps the specification from being used."""
        self.found.append(Problem(path, message, hint))

    def warn(self, path: str, message: str, hint: str | None = None) -> None:
        """Add what does not, whether reading is strict or not."""
        self.found.append(Problem(path, message, hint, Level.WARNING))

    def forgive(self, path: str, message: str, hint: str | None = None) -> None:
        """Add what breaks the rules of a format but can be understood: an error only when reading is strict."""
        self.found.append(Problem(path, message, hint, Level.ERROR if self.is_strict else Level.WARNING))

    def built(self, path: str, build: Callable[[], T]) -> T | None:
        """Return what *build* returns; None, with a problem, when it refuses."""
        try:
            return build()
        except InputError as refusal:
            self.error(path, refusal.message.rstrip("."))
            return None

    @property
    def errors(self) -> int:
        """Return how many there are that keep the specification from being used."""
        return sum(item.level is Level.ERROR for item in self.found)


def nearest(name: str, known: Collection[str]) -> str | None:
    """Return a hint at the one of *known* that *name* is meant to be; without a close one, at all of them."""
    close = get_close_matches(name, list(known), n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"there are {', '.join(sorted(known))}" if known else None
