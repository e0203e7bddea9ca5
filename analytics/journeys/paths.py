"""Paths: what people do next, step by step.

A person is the subject of its events, a visit a run of them without a long break. Events of contexts, whose subject is
the context, are left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from sqlalchemy import text
from sqlalchemy.orm import Session

from analytics.core.clock import Interval
from analytics.core.errors import InputError
from analytics.journeys.acts import MOST_ROWS, SHARES, Acts, Flags, Ints, of_share, read_acts
from analytics.rollup import read as rollup

SESSION_GAP = timedelta(minutes=30)
"""After so long without an event, what a person does next begins a new visit."""
MOST_DEPTH = 8
OTHER = "other"
_LONGEST_GAP = timedelta(days=30)
_SECOND = 1_000_000


@dataclass(frozen=True, slots=True)
class Link:
    """How many visits went from one kind of event to the next at one place of the way."""

    depth: int
    """Place of the first of the two, from 0."""
    source: str
    """Kind of event; :data:`OTHER` for those that are rare."""
    target: str | None
    """None: the visit ended here, or is looked at no further."""
    n: int
    people: int
    took_s: float | None
    """Median between the two, seconds; None at an end."""


@dataclass(frozen=True, slots=True)
class Paths:
    """What people did after a first event, or from the beginning of their visits."""

    interval: Interval
    start: str | None
    links: Sequence[Link]
    """By depth, those with most visits first."""
    visits: int
    people: int
    sample_ratio: float
    """1: everybody was counted; less: that share of people, chosen by a hash, and counts are scaled up."""
    demo: int
    """How many of the visits are of the demo history."""


def paths(
    session: Session,
    interval: Interval,
    *,
    start: str | None = None,
    depth: int = 4,
    most: int = 6,
    gap: timedelta = SESSION_GAP,
    most_rows: int = MOST_ROWS,
) -> Paths:
    """Return the ways that visits took in *interval*.

    An event of the kind of the one before it, such as one page after the other, is no step of its own.

    Args:
        session: The caller's transaction.
        interval: In which the events happened.
        start: Kind of event from whose first time in a visit on it is looked at; None: from its beginning.
        depth: Steps that are followed, 1 to :data:`MOST_DEPTH`.
        most: Kinds told apart at each step; the others are one.
        gap: So long without an event ends a visit.
        most_rows: Events that are looked at; where there are more, a share of the people is.

    Raises:
        InputError: If *depth*, *most* or *gap* is out of bounds.
    """
    if not 1 <= depth <= MOST_DEPTH or most < 1 or not timedelta(0) < gap <= _LONGEST_GAP:
        raise InputError(f"Paths have 1 to {MOST_DEPTH} steps and breaks of at most {_LONGEST_GAP.days} days.")
    acts = read_acts(session, interval, mark="0", own="hashtextextended(kind, 0)", parameters={}, most_rows=most_rows)
    visits = _visits(acts, gap // timedelta(microseconds=1))
    codes, place = np.unique(visits.kind, return_inverse=True)
    names = _names(session, interval, codes, acts.share)
    if start is not None:
        visits, place = _from(visits, place, names, start)
    links: list[Link] = []
    top = _top(place[visits.depth == 0], names, most)
    for here in range(depth):
        at_here = visits.depth == here
        after = _top(place[visits.depth == here + 1], names, most)
        links += _links(here, _Step(visits, place, at_here, top, after), names, acts.scale)
        top = after
    first = visits.depth == 0
    return Paths(
        interval,
        start,
        links,
        visits=round(int(np.sum(first)) * acts.scale),
        people=round(len(np.unique(visits.person[first])) * acts.scale),
        sample_ratio=acts.share / SHARES,
        demo=round(int(np.sum(visits.is_demo[first])) * acts.scale),
    )


@dataclass(frozen=True, slots=True)
class _Visits:
    """Steps of visits, in their order."""

    person: Ints
    visit: Ints
    kind: Ints
    """Hash of its name."""
    at: Ints
    is_demo: Flags

    @property
    def depth(self) -> Ints:
        """Return the place of each step in its visit, from 0."""
        places = np.arange(len(self.visit))
        return places - np.searchsorted(self.visit, self.visit, side="left")

    def only(self, rows: Flags) -> "_Visits":
        """Return some of the steps."""
        return _Visits(self.person[rows], self.visit[rows], self.kind[rows], self.at[rows], self.is_demo[rows])


@dataclass(frozen=True, slots=True)
class _Step:
    """All visits at one place of the way."""

    visits: _Visits
    place: Ints
    """Of the kind of each step among all kinds."""
    rows: Flags
    """Which steps are at this place of the way."""
    top: Ints
    """Kinds that are told apart here."""
    after: Ints
    """Kinds that are told apart at the next place."""


def _visits(acts: Acts, gap: int) -> _Visits:
    """Cut what people did into visits, and leave out what only repeats the step before."""
    is_first = np.ones(len(acts.at), dtype=bool)
    is_first[1:] = (acts.person[1:] != acts.person[:-1]) | (acts.at[1:] - acts.at[:-1] > gap)
    is_other = np.ones(len(acts.at), dtype=bool)
    is_other[1:] = acts.own[1:] != acts.own[:-1]
    every = _Visits(acts.person, np.cumsum(is_first), acts.own, acts.at, acts.is_demo)
    return every.only(is_first | is_other)


def _from(visits: _Visits, place: Ints, names: Sequence[str], start: str) -> tuple[_Visits, Ints]:
    """Return visits from their first step of the kind *start* on."""
    if start not in names:
        nothing = np.zeros(len(place), dtype=bool)
        return visits.only(nothing), place[nothing]
    begins = np.flatnonzero(place == names.index(start))
    of_visit, first = np.unique(visits.visit[begins], return_index=True)
    which = np.searchsorted(of_visit, visits.visit)
    found = np.minimum(which, max(0, len(of_visit) - 1))
    is_on = (of_visit[found] == visits.visit) & (np.arange(len(place)) >= begins[first][found])
    return visits.only(is_on), place[is_on]


def _top(place: Ints, names: Sequence[str], most: int) -> Ints:
    kinds, counts = np.unique(place, return_counts=True)
    ranked = sorted(zip(kinds.tolist(), counts.tolist(), strict=True), key=lambda item: (-item[1], names[item[0]]))
    return np.array([kind for kind, _ in ranked[:most]], dtype=np.int64)


def _links(depth: int, step: _Step, names: Sequence[str], scale: float) -> list[Link]:
    here = np.flatnonzero(step.rows)
    rest, end = len(names), len(names) + 1
    following = np.minimum(here + 1, max(0, len(step.place) - 1))
    goes_on = (following > here) & (step.visits.visit[following] == step.visits.visit[here])
    source = np.where(np.isin(step.place[here], step.top), step.place[here], rest)
    target = np.where(np.isin(step.place[following], step.after), step.place[following], rest)
    target = np.where(goes_on, target, end)
    pairs = source * (end + 1) + target
    took = (step.visits.at[following] - step.visits.at[here]) / _SECOND
    links = []
    for pair in np.unique(pairs):
        rows = pairs == pair
        begins, ends = divmod(int(pair), end + 1)
        people = len(np.unique(step.visits.person[here[rows]]))
        links.append(
            Link(
                depth,
                OTHER if begins == rest else names[begins],
                None if ends == end else OTHER if ends == rest else names[ends],
                round(int(np.sum(rows)) * scale),
                round(people * scale),
                None if ends == end else float(np.median(took[rows])),
            )
        )
    return sorted(links, key=lambda link: (-link.n, link.source, link.target is None, link.target or ""))


def _names(session: Session, interval: Interval, codes: Ints, share: int) -> list[str]:
    """Return the names of kinds by their hashes; kinds that the rollup does not know yet are looked for in the rows."""
    known = rollup.keys(session, "event.kind", interval)
    rows = session.execute(
        text("SELECT hashtextextended(kind, 0), kind FROM unnest(CAST(:kinds AS text[])) AS kind"), {"kinds": known}
    )
    names: dict[int, str] = {row[0]: row[1] for row in rows}
    missing = [code for code in codes.tolist() if code not in names]
    if missing:
        parameters = {"since": interval.since, "until": interval.until, "codes": missing}
        rows = session.execute(
            text(f"""
                SELECT DISTINCT hashtextextended(kind, 0), kind FROM event
                WHERE at >= :since AND at < :until AND subject IS NOT NULL
                    AND hashtextextended(kind, 0) = ANY(CAST(:codes AS bigint[])) {of_share(share, parameters)}
            """),  # noqa: S608 - values are parameters
            parameters,
        )
        names |= {row[0]: row[1] for row in rows}
    return [names[code] for code in codes.tolist()]
