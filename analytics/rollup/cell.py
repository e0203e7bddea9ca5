"""What was counted of some facts: of one hour or day, or of any number of them added up."""

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from analytics.rollup.sketch import People, Sketch

EMPTY = Sketch()
NOBODY = People()


@dataclass(slots=True)
class Cell:
    """Sums over facts of one kind; None where this kind of fact has no such measure.

    A cell is never empty: where nothing was seen, there is no cell. It is a value, not to be changed; it is not frozen
    because making a frozen one takes four times as long, and a page makes thousands.
    """

    n: int
    """How many facts; 1 or more."""
    ok: int | None
    """How many came to a good end."""
    failed: int | None
    """How many came to a bad end; those that have not ended, or were cancelled, are in neither."""
    demo: int
    """How many of them are demo history."""
    newest: datetime
    """Time of the newest fact."""
    duration_n: int | None
    """How many have a known duration."""
    duration_s: float | None
    input_tokens: int | None
    output_tokens: int | None
    cost_usd: float | None
    """The sum of known costs; None when none of them is known, never 0 for that."""
    priced: int | None
    """How many have a known cost."""
    value_n: int | None
    """How many have a value: a sample's value, an agent's confidence, a lead's score, a work item's completion."""
    value_sum: float | None
    value_min: float | None
    value_max: float | None
    sketch: Sketch = EMPTY
    """Distribution of durations in seconds; of values, for samples and leads."""
    people: People = NOBODY
    """The people; of events only."""

    @property
    def ended(self) -> int | None:
        """Return how many came to an end, good or bad."""
        return None if self.ok is None or self.failed is None else self.ok + self.failed

    @property
    def success_ratio(self) -> float | None:
        """Return the share of the ended that ended well, 0 to 1; None when none has ended."""
        return None if not self.ended or self.ok is None else self.ok / self.ended

    @property
    def mean_duration_s(self) -> float | None:
        """Return the mean of known durations in seconds; None when none is known."""
        return None if not self.duration_n or self.duration_s is None else self.duration_s / self.duration_n

    @property
    def mean_value(self) -> float | None:
        """Return the mean of known values; None when none is known."""
        return None if not self.value_n or self.value_sum is None else self.value_sum / self.value_n

    @property
    def tokens(self) -> int | None:
        """Return input and output tokens together."""
        return (
            None if self.input_tokens is None or self.output_tokens is None else self.input_tokens + self.output_tokens
        )

    @property
    def is_demo(self) -> bool:
        """Return whether some of it is demo history."""
        return self.demo > 0

    def quantile(self, q: float) -> float | None:
        """Return the quantile *q* (0 to 1) of what ``sketch`` holds, at most 4.4 % off; None when nothing is known."""
        return self.sketch.quantile(q)

    def distinct(self) -> int | None:
        """Return about how many different people (1.6 % standard error); None for facts without people."""
        return self.people.estimate() if self.people.packed else None

    def __add__(self, other: "Cell") -> "Cell":
        """Return the cell of the facts of both."""
        return _added([self, other])


def cell_of(row: Sequence[Any]) -> Cell:
    """Return the cell in *row*: its numbers in the order of the fields, then the packed sketch and people."""
    return _built(row[:-2], row[-2], row[-1])


def summed(cells: Sequence[Cell]) -> Cell | None:
    """Return the cell of the facts of all *cells*; None when there are none."""
    if not cells:
        return None
    return cells[0] if len(cells) == 1 else _added(cells)


def _added(cells: Sequence[Cell]) -> Cell:
    columns = zip(*map(_NUMBERS_OF, cells), strict=True)
    return _built(
        [_add(name, column) for name, column in zip(_NUMBERS, columns, strict=True)],
        b"".join([cell.sketch.packed for cell in cells]),
        b"".join([cell.people.packed for cell in cells]),
    )


def _built(numbers: Sequence[Any], sketch: bytes | None, people: bytes | None) -> Cell:
    every = [*numbers, Sketch(sketch) if sketch else EMPTY, People(people) if people else NOBODY]
    return Cell(*every)


def _add(name: str, column: Sequence[Any]) -> Any:
    known = [number for number in column if number is not None]
    return _AS.get(name, sum)(known) if known else None


_NUMBERS = tuple(field.name for field in fields(Cell))[:-2]
_NUMBERS_OF = operator.attrgetter(*_NUMBERS)
_AS: Mapping[str, Callable[[Iterable[Any]], Any]] = {"newest": max, "value_min": min, "value_max": max}
