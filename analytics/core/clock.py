"""The one clock: aware UTC times, half-open intervals."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from analytics.core.errors import InputError


def utc_now() -> datetime:
    """Return the present time, timezone-aware, in UTC."""
    return datetime.now(UTC)


def require_aware(moment: datetime) -> datetime:
    """Return *moment* in UTC.

    Raises:
        InputError: If *moment* has no time zone, since a naive time has no single meaning, or is outside of the
            years 1 to 9999 in UTC.
    """
    if moment.tzinfo is None:
        raise InputError(f"The time {moment.isoformat()} has no time zone; add one, for example +00:00.")
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise InputError(f"The time {moment.isoformat()} is outside of the years 1 to 9999 in UTC.") from error


def floor_time(moment: datetime, step: timedelta) -> datetime:
    """Return the latest multiple of *step* since the epoch that is not after *moment*."""
    moment = require_aware(moment)
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return epoch + ((moment - epoch) // step) * step


@dataclass(frozen=True, slots=True)
class Interval:
    """A half-open span of time ``[since, until)``, both ends aware."""

    since: datetime
    until: datetime

    def __post_init__(self) -> None:
        """Refuse naive or reversed ends."""
        if require_aware(self.since) > require_aware(self.until):
            raise InputError(f"The interval ends ({self.until}) before it starts ({self.since}).")

    @property
    def length(self) -> timedelta:
        """Return how long the interval is; zero or more."""
        return self.until - self.since

    @classmethod
    def last(cls, length: timedelta, *, now: datetime | None = None) -> "Interval":
        """Return the interval of *length* that ends at *now* (default: the present)."""
        end = require_aware(now) if now is not None else utc_now()
        return cls(end - length, end)
