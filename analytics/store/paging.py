"""Numbered pages: a slice of a list, and how many there are."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from analytics.core.errors import InputError

T = TypeVar("T")

DEFAULT_LIMIT = 20
MAX_LIMIT = 100


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a longer list; pages count from 1."""

    items: Sequence[T]
    page: int
    limit: int
    """The most items a page holds."""
    total: int
    """Items on all pages."""
    is_capped: bool = False
    """True when there are more than ``total``: counting stopped there."""

    @property
    def pages(self) -> int:
        """Return how many pages there are; 0 when the list is empty."""
        return -(-self.total // self.limit)


def check_paging(page: int = 1, limit: int = DEFAULT_LIMIT) -> int:
    """Return how many items stand before *page*.

    Raises:
        InputError: If *page* is below 1 or *limit* is not 1 to 100.
    """
    if page < 1:
        raise InputError(f"Pages count from 1; page {page} was not read.")
    if not 1 <= limit <= MAX_LIMIT:
        raise InputError(f"A page holds 1 to {MAX_LIMIT} items, not {limit}; nothing was read.")
    return (page - 1) * limit
