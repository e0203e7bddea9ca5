"""Questions to Prometheus, through prometheus-api-client with its traps closed.

The package is used on a session of our own, which puts queries in the body, ends within the timeout, does not ask
a failing server again, keeps warnings, and turns every failure into an error of ours.
"""

import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Generic, Self, TypeVar
from urllib.parse import urlsplit

import numpy as np
import requests
from numpy.typing import NDArray
from prometheus_api_client import PrometheusConnect
from urllib3.connectionpool import ConnectionPool
from urllib3.exceptions import ReadTimeoutError
from urllib3.response import BaseHTTPResponse
from urllib3.util.retry import Retry

from analytics.core.clock import Interval, require_aware
from analytics.core.errors import DependencyError, InputError
from analytics.core.logging import get_logger

MAX_POINTS = 11_000
"""The most points of one series that Prometheus returns in one answer."""

_SECOND = timedelta(seconds=1)
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}
_REFUSED = {400, 422}
_log = get_logger(__name__)

T = TypeVar("T")


class Answer(list[T], Generic[T]):
    """What Prometheus answered, with the warnings it gave; a warned answer may be incomplete."""

    def __init__(self, items: Iterable[T] = (), *, warnings: tuple[str, ...] = ()) -> None:
        super().__init__(items)
        self.warnings = warnings


@dataclass(frozen=True, slots=True)
class Sample:
    """One value at one moment."""

    labels: Mapping[str, str]
    value: float | None
    """None where Prometheus says NaN: it does not know. May be infinite."""


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """Values over time, without the steps at which there was none."""

    labels: Mapping[str, str]
    times: NDArray[np.float64]
    """Seconds since the epoch, ascending."""
    values: NDArray[np.float64]
    """As Prometheus gave them: NaN and infinities included."""


class PromClient:
    """A connection to one Prometheus, or to what speaks its query API; safe to share among threads.

    It connects at the first query, and a query takes no longer than *timeout*.
    """

    def __init__(self, url: str, timeout: timedelta = timedelta(seconds=10)) -> None:
        self._timeout_s = timeout.total_seconds()
        self._session = _Session()
        if urlsplit(url).hostname in _LOOPBACK:
            self._session.trust_env = False
        retry = _NoSecondWait(total=1, status=0, redirect=0, backoff_factor=0.1, allowed_methods=None)
        self._connect = PrometheusConnect(
            url.rstrip("/"), retry=retry, session=self._session, timeout=self._timeout_s, method="POST"
        )

    def instant(self, query: str, at: datetime | None = None) -> Answer[Sample]:
        """Return the value of each series of *query* at *at* (default: now); empty when there is none.

        Raises:
            InputError: If Prometheus cannot read *query* or refuses to compute it.
            DependencyError: If Prometheus is away, not ready or too slow; ``context["part"]`` is ``prometheus``.
        """
        params = {"timeout": f"{self._timeout_s:g}"}
        if at is not None:
            params["time"] = f"{require_aware(at).timestamp():.3f}"
        result = self._connect.custom_query(query, params=params)
        if result and not isinstance(result[0], dict):
            result = [{"metric": {}, "value": result}]
        return self._answer(query, (Sample(item["metric"], _value(item)) for item in result))

    def range(self, query: str, interval: Interval, step: timedelta) -> Answer[Series]:
        """Return *query* computed at ``since``, ``since + step``, … before ``until``.

        Longer answers than Prometheus gives at once are asked for in parts and joined.

        Raises:
            InputError: If *step* is not a whole number of seconds, at least one, or Prometheus refuses *query*.
            DependencyError: If Prometheus is away, not ready or too slow; ``context["part"]`` is ``prometheus``.
        """
        if step < _SECOND or step % _SECOND:
            raise InputError(f"A step of {step} cannot be asked of Prometheus; take whole seconds.")
        parts: dict[tuple[tuple[str, str], ...], list[Any]] = {}
        warnings: list[str] = []
        for since, until in _pages(interval, step):
            result = self._connect.custom_query_range(
                query,
                start_time=since,
                end_time=until,
                step=f"{step // _SECOND}",
                params={"timeout": f"{self._timeout_s:g}"},
            )
            warnings += self._session.warnings
            for item in result:
                if "values" not in item:
                    raise _native_histogram(query)
                parts.setdefault(tuple(sorted(item["metric"].items())), []).extend(item["values"])
        self._session.warnings = tuple(dict.fromkeys(warnings))
        return self._answer(query, (_series(dict(labels), points) for labels, points in parts.items()))

    def is_ready(self) -> bool:
        """Return whether Prometheus answers a query now; also true behind a prefix or a proxy."""
        try:
            return bool(self.instant("vector(1)"))
        except (DependencyError, InputError):
            return False

    def close(self) -> None:
        """Give the connections back."""
        self._connect.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _answer(self, query: str, items: Iterable[T]) -> Answer[T]:
        answer = Answer(items, warnings=self._session.warnings)
        if answer.warnings:
            _log.warning("prometheus warned", query=query[:200], warnings=answer.warnings)
        return answer


def matcher(label: str, value: str, operator: str = "=") -> str:
    """Return a label matcher such as ``job="api"``, with *value* escaped so that it cannot end the string."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'{label}{operator}"{escaped}"'


class _NoSecondWait(Retry):
    """Connects a second time at once, but does not wait a second time for an answer that was too slow."""

    def increment(
        self,
        method: str | None = None,
        url: str | None = None,
        response: BaseHTTPResponse | None = None,
        error: Exception | None = None,
        _pool: ConnectionPool | None = None,
        _stacktrace: TracebackType | None = None,
    ) -> Self:
        if isinstance(error, ReadTimeoutError):
            raise error
        return super().increment(method, url, response, error, _pool, _stacktrace)


class _Session(requests.Session):
    """A session that sends parameters of POST in the body, keeps warnings and raises our errors."""

    def __init__(self) -> None:
        super().__init__()
        self._local = threading.local()

    @property
    def warnings(self) -> tuple[str, ...]:
        """Return the warnings of this thread's last answer."""
        return getattr(self._local, "warnings", ())

    @warnings.setter
    def warnings(self, value: tuple[str, ...]) -> None:
        self._local.warnings = value

    def request(self, method: Any, url: Any, *arguments: Any, **named: Any) -> requests.Response:
        self.warnings = ()
        if method == "POST" and named.get("data") is None:
            named["data"] = named.pop("params", None)
        try:
            response = super().request(method, url, *arguments, **named)
            payload = response.json() if response.ok or response.status_code in _REFUSED else {}
        except requests.RequestException as error:
            raise _away(type(error).__name__) from error
        if response.status_code in _REFUSED:
            raise InputError(f"Prometheus refused the query: {payload.get('error', 'no reason given')}")
        if not response.ok:
            raise _away(f"HTTP {response.status_code}")
        if payload.get("status") != "success" or "data" not in payload:
            raise _away("an answer that is not of its query API")
        self.warnings = tuple(payload.get("warnings", ()))
        return _Parsed(response, payload)


class _Parsed(requests.Response):
    """An answer that was parsed once already."""

    def __init__(self, response: requests.Response, payload: Any) -> None:
        super().__init__()
        self.__dict__.update(response.__dict__)
        self._payload = payload

    def json(self, **_: Any) -> Any:
        return self._payload


def _away(reason: str) -> DependencyError:
    return DependencyError(
        f"Prometheus did not answer ({reason}); numbers from it are missing, the others are not touched."
        " Run `helmsight doctor`.",
        part="prometheus",
    )


def _native_histogram(query: str) -> InputError:
    return InputError(f"The query returns histograms, not numbers; take a quantile or a fraction of it: {query[:200]}")


def _value(item: Mapping[str, Any]) -> float | None:
    if "value" not in item:
        raise _native_histogram(str(item.get("metric")))
    value = float(item["value"][1])
    return None if np.isnan(value) else value


def _series(labels: Mapping[str, str], points: list[Any]) -> Series:
    times = np.array([point[0] for point in points], dtype=np.float64)
    values = np.array([point[1] for point in points], dtype=np.float64)
    return Series(labels, times, values)


def _pages(interval: Interval, step: timedelta) -> Iterator[tuple[datetime, datetime]]:
    """Yield first and last moment of each part; whole seconds, which the package would round to anyway."""
    since = interval.since.astimezone(UTC).replace(microsecond=0)
    count = -(-(interval.until - since) // step)
    for first in range(0, count, MAX_POINTS):
        last = min(first + MAX_POINTS, count) - 1
        yield since + first * step, since + last * step
