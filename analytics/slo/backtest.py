"""What a policy would have done: its alerts over a history, judged at the end of every step. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from math import inf, log
from statistics import median

import numpy as np
from numpy.typing import NDArray

from analytics.core.clock import Interval
from analytics.slo.history import History
from analytics.slo.model import AlertPolicy, BurnPair, Objective, Severity
from analytics.slo.windows import MIN_BAD_EVENTS, burns, guard_of, pairs_of

MOST_BAD = 10
"""The highest guard that is ever suggested."""

_BY_CHANCE = 0.05
_CALM = 0.5
"""Share of its budget that a service spends which nobody needs to be told of."""
_NOTHING = timedelta(0)


@dataclass(frozen=True, slots=True)
class Incident:
    """A time in which something is known to have been wrong."""

    interval: Interval
    title: str = ""


@dataclass(frozen=True, slots=True)
class Alarm:
    """One page or one ticket: from when any pair of its severity fired until none did."""

    severity: Severity
    tiers: tuple[int, ...]
    """Of the pairs that fired, fastest first."""
    started_at: datetime
    """End of the first step at which it fired."""
    ended_at: datetime | None
    """End of the first step at which it did not any more; None when it was still firing at the end."""
    minutes: float
    bad: float
    """Bad events, or time slices, from the start of the long window in which it first fired to its end."""
    spent_before: float | None
    """Share of the budget that its long window had spent when it fired; None for a target of 100 %."""
    spent_during: float | None
    """Share of the budget spent while it fired."""
    peak_burn: float
    """Highest burn rate of its long windows; infinity for a target of 100 %."""
    is_false: bool
    """Whether neither an incident nor a real loss explains it."""
    incident: Incident | None = None
    """The first known incident that explains it."""


@dataclass(frozen=True, slots=True)
class Detection:
    """When a known incident was told of."""

    incident: Incident
    paged_after: timedelta | None
    """From its start to the first page; zero when a page was firing already, None when none came."""
    ticketed_after: timedelta | None


@dataclass(frozen=True, slots=True)
class BacktestResult:
    """What a policy would have done over an interval."""

    slo_id: str
    policy: AlertPolicy
    interval: Interval
    pages: Sequence[Alarm]
    """Oldest first."""
    tickets: Sequence[Alarm]
    page_minutes: float
    ticket_minutes: float
    false_pages: int
    false_tickets: int
    detections: Sequence[Detection]
    """One for each known incident within the interval, oldest first."""
    median_delay: timedelta | None
    """Of the incidents told of, by page or ticket; None when there are none."""

    @property
    def detected(self) -> int:
        """Return how many known incidents were told of, by page or ticket."""
        return sum(item.paged_after is not None or item.ticketed_after is not None for item in self.detections)


def backtest(
    history: History,
    policy: AlertPolicy | None = None,
    *,
    incidents: Sequence[Incident] = (),
    since: datetime | None = None,
) -> BacktestResult:
    """Return what *policy* would have done over *history*.

    A step without data neither starts nor ends an alert. An alert is false when no incident overlaps it (allowing for
    the time that its short window needs to forget) and a service that spends half its budget would be expected to show
    as many bad events in one of twenty such intervals by chance.

    Args:
        history: By five minutes; longer than what is judged, where the first windows should be full.
        policy: None for that of the objective.
        incidents: What is known to have been wrong, such as annotations.
        since: From when to judge; None for all of the history.

    Raises:
        InputError: If the windows of a pair are not whole steps of the history.
    """
    return _judge(_Replay(history, since or history.interval.since), policy, incidents)


def compare(
    history: History,
    policies: Mapping[str, AlertPolicy],
    *,
    incidents: Sequence[Incident] = (),
    since: datetime | None = None,
) -> Mapping[str, BacktestResult]:
    """Return what each of *policies* would have done, by the same names.

    Raises:
        InputError: If the windows of a pair are not whole steps of the history.
    """
    replay = _Replay(history, since or history.interval.since)
    return {name: _judge(replay, policy, incidents) for name, policy in policies.items()}


def suggest_min_bad(history: History, *, incidents: Sequence[Incident] = ()) -> int:
    """Return the guard, 0 to 10, that loses no real alert and has the fewest false pages; of several, nearest to 3.

    The other parts of the policy are the objective's own.
    """
    replay = _Replay(history, history.interval.since)
    policy = history.objective.alerting
    tried = [_judge(replay, replace(policy, min_bad=guard), incidents) for guard in range(MOST_BAD + 1)]
    real = [alarm for alarm in (*tried[0].pages, *tried[0].tickets) if not alarm.is_false]

    def badness(guard: int) -> tuple[int, int, int]:
        kept = (*tried[guard].pages, *tried[guard].tickets)
        lost = sum(not any(_overlap(alarm, other) for other in kept) for alarm in real)
        return lost, tried[guard].false_pages, abs(guard - MIN_BAD_EVENTS)

    return min(range(len(tried)), key=badness)


def firing_spans(history: History, pair: BurnPair, *, since: datetime | None = None) -> list[Interval]:
    """Return from when to when *pair* fires over *history*, oldest first; the last may end with the history.

    Raises:
        InputError: If the windows of the pair are not whole steps of the history.
    """
    replay = _Replay(history, since or history.interval.since)
    return [
        Interval(replay.end_of(first), min(replay.end_of(last), history.interval.until))
        for first, last in runs(replay.fires(pair, guard_of(history.objective)))
    ]


def peak_burn(history: History, pair: BurnPair, steps: tuple[int, int]) -> float:
    """Return the highest burn rate of the long window of *pair* at the ends of the steps ``[first, last)``.

    0 without events; infinity for a target of 100 % that was missed.
    """
    return _peak(history.trailing(pair.long), history.objective.budget_ratio, steps)


@dataclass(frozen=True, slots=True)
class _Run:
    """Steps ``[first, last)`` in which pairs of one severity fired, and what was counted around them."""

    first: int
    last: int
    opener: BurnPair
    """The fastest pair that fired first."""
    bad: float
    """From the start of the long window of the opener to the end."""
    total: float
    before: float
    """Bad in that window when it began to fire."""
    during: float


@dataclass(slots=True)
class _Replay:
    """A history with the sums of its windows, each computed once."""

    history: History
    since: datetime
    allowed: float = field(init=False)
    """How many events may be bad in a whole period at the traffic of the history."""
    windows: dict[timedelta, tuple[NDArray[np.float64], NDArray[np.float64]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        length, total = self.history.interval.length, self.history.totals()[1]
        self.allowed = self.objective.budget_ratio * total * (self.objective.period / length) if length else 0.0

    @property
    def objective(self) -> Objective:
        return self.history.objective

    @property
    def first(self) -> int:
        """Return the first step that is judged."""
        late = self.since - self.history.interval.since
        return min(len(self.history), max(0, -(-late // self.history.step)))

    def end_of(self, place: int) -> datetime:
        return self.history.interval.since + (place + 1) * self.history.step

    def sums(self, window: timedelta) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        if window not in self.windows:
            self.windows[window] = self.history.trailing(window)
        return self.windows[window]

    def fires(self, pair: BurnPair, guard: int) -> NDArray[np.bool_]:
        """Return whether *pair* fires at the end of each step; without data, what it did before."""
        ratio = self.objective.budget_ratio
        raw = np.asarray(burns(pair, self.sums(pair.long), self.sums(pair.short), ratio, guard), dtype=np.bool_)
        raw[: self.first] = False
        known = (self.history.measured_s > 0) | (self.history.excluded_s > 0)
        if known.all():
            return raw
        last_known = np.maximum.accumulate(np.where(known, np.arange(len(raw)), -1))
        frozen: NDArray[np.bool_] = np.where(last_known >= 0, raw[last_known], False)  # noqa: FBT003 - an array's value
        return frozen

    def counted(self, found: Sequence[tuple[int, int]], openers: Sequence[BurnPair]) -> list[_Run]:
        """Return the runs of steps that were *found*, each with the pair that opened it, and what they cost."""
        first, last = np.array(found, dtype=np.int64).reshape(-1, 2).T
        widths = np.array([pair.long // self.history.step for pair in openers], dtype=np.int64)
        begun = first + 1
        reach = np.maximum(0, begun - widths)
        good, total = self.history.between(np.concatenate((reach, reach, begun)), np.concatenate((last, begun, last)))
        bad, before, during = np.split(total - good, 3)
        sums = np.stack([bad, total[: len(found)], before, during], axis=1).tolist()
        return [_Run(*steps, opener, *costs) for steps, opener, costs in zip(found, openers, sums, strict=True)]


def _judge(replay: _Replay, policy: AlertPolicy | None, incidents: Sequence[Incident]) -> BacktestResult:
    policy = policy or replay.objective.alerting
    objective = replace(replay.objective, alerting=policy)
    interval = Interval(min(replay.since, replay.history.interval.until), replay.history.interval.until)
    near = sorted(
        (item for item in incidents if item.interval.since < interval.until and item.interval.until >= interval.since),
        key=lambda item: item.interval.since,
    )
    alarms = {severity: _alarms(replay, objective, severity, near) for severity in Severity}
    pages, tickets = alarms[Severity.PAGE], alarms[Severity.TICKET]
    detections = [Detection(item, _delay(item, pages, objective), _delay(item, tickets, objective)) for item in near]
    delays = [
        min(delay.total_seconds() for delay in (item.paged_after, item.ticketed_after) if delay is not None)
        for item in detections
        if item.paged_after is not None or item.ticketed_after is not None
    ]
    return BacktestResult(
        slo_id=objective.id,
        policy=policy,
        interval=interval,
        pages=pages,
        tickets=tickets,
        page_minutes=sum(alarm.minutes for alarm in pages),
        ticket_minutes=sum(alarm.minutes for alarm in tickets),
        false_pages=sum(alarm.is_false for alarm in pages),
        false_tickets=sum(alarm.is_false for alarm in tickets),
        detections=detections,
        median_delay=timedelta(seconds=median(delays)) if delays else None,
    )


def _alarms(replay: _Replay, objective: Objective, severity: Severity, incidents: Sequence[Incident]) -> list[Alarm]:
    """Return the alarms of one severity: a pair that takes over from another makes no new one."""
    pairs = [pair for pair in pairs_of(objective) if pair.severity is severity]
    if not pairs:
        return []
    fires = {pair: replay.fires(pair, guard_of(objective)) for pair in pairs}
    found = runs(np.logical_or.reduce(list(fires.values())))
    openers = [next(pair for pair in pairs if fires[pair][first]) for first, _ in found]
    return [
        _alarm(replay, run, [pair for pair in pairs if fires[pair][run.first : run.last].any()], incidents)
        for run in replay.counted(found, openers)
    ]


def _alarm(replay: _Replay, run: _Run, pairs: Sequence[BurnPair], incidents: Sequence[Incident]) -> Alarm:
    """Return the alarm of *run*, in which *pairs* fired."""
    ratio, allowed = replay.objective.budget_ratio, replay.allowed
    begun, over = replay.end_of(run.first), replay.end_of(run.last)
    until = over if run.last < len(replay.history) else None
    explained = _explanation(begun, until, incidents, max(pair.short for pair in pairs))
    tries = replay.history.interval.length / run.opener.long
    return Alarm(
        severity=run.opener.severity,
        tiers=tuple(pair.tier for pair in pairs),
        started_at=begun,
        ended_at=until,
        minutes=(run.last - run.first) * (replay.history.step / timedelta(minutes=1)),
        bad=run.bad,
        spent_before=run.before / allowed if allowed > 0 else None,
        spent_during=run.during / allowed if allowed > 0 else None,
        peak_burn=max(_peak(replay.sums(pair.long), ratio, (run.first, run.last)) for pair in pairs),
        is_false=explained is None and _is_chance(run.bad, _CALM * ratio * run.total, tries),
        incident=explained,
    )


def _peak(sums: tuple[NDArray[np.float64], NDArray[np.float64]], ratio: float, steps: tuple[int, int]) -> float:
    good, total = (values[slice(*steps)] for values in sums)
    errors = np.divide(total - good, total, out=np.zeros_like(total), where=total > 0)
    highest = float(errors.max(initial=0.0))
    if ratio > 0:
        return highest / ratio
    return inf if highest > 0 else 0.0


def _is_chance(bad: float, expected: float, tries: float) -> bool:
    """Return whether so many *bad* events would be seen by chance in one of so many *tries*, now and then.

    *expected* is how many a calm service has in each. The bound of Chernoff on the tail of a
    Poisson distribution stands for the chance itself: it is a little higher, and needs no table.
    """
    if expected <= 0 or bad <= expected:
        return bad <= expected
    return bad - expected - bad * log(bad / expected) + log(max(tries, 1.0)) > log(_BY_CHANCE)


def _explanation(
    begun: datetime, until: datetime | None, incidents: Sequence[Incident], forgets: timedelta
) -> Incident | None:
    for item in incidents:
        if begun <= item.interval.until + forgets and (until is None or until > item.interval.since):
            return item
    return None


def _delay(incident: Incident, alarms: Sequence[Alarm], objective: Objective) -> timedelta | None:
    """Return how long after the start of *incident* the first of *alarms* that tells of it came."""
    forgets = {pair.tier: pair.short for pair in pairs_of(objective)}
    for alarm in alarms:
        shorts = max(forgets[tier] for tier in alarm.tiers)
        if _explanation(alarm.started_at, alarm.ended_at, [incident], shorts) is not None:
            return max(_NOTHING, alarm.started_at - incident.interval.since)
    return None


def _overlap(one: Alarm, other: Alarm) -> bool:
    return (one.ended_at is None or other.started_at < one.ended_at) and (
        other.ended_at is None or one.started_at < other.ended_at
    )


def runs(values: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return first and one past the last place of each run of true *values*."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], values, [False])).astype(np.int8)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
