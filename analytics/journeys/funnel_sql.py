"""The SQL of funnels: chains of steps by window functions, and what became of each person.

``matched`` holds the events that are a step, with a bit for each. Going back in time, each event of step k gets the
chain that begins with it: its own time and the chain of the next event of step k + 1. The chain of a first step, cut
at the window, is a try; ``best`` holds the best of each person.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from analytics.core.clock import Interval
from analytics.journeys.leads import band_sql

PLAIN = ("source", "service")
PROPS = "props."
SHARES = 1024
"""Into so many parts people are divided by a hash."""
WHOLE, BUCKET, GROUP = "whole", "bucket", "group"
REST, NONE = "*", "?"
"""Groups that are not told apart, and those without the property; others are marked by ``=``."""

_QUANTILES = "ARRAY[0.25, 0.5, 0.75, 0.9]"
_LEAD = "lead."
_COLUMN_OF = {"source": "source", "service": "service", "project": "CAST(project_id AS text)"}


@dataclass(slots=True)
class Asked:
    """A question about a funnel, as SQL with its parameters."""

    steps: Sequence[tuple[str, Mapping[str, str]]]
    """Kind and other conditions."""
    interval: Interval
    until: datetime
    """Up to when steps count."""
    window: timedelta
    now: datetime
    by: str | None
    most: int
    share: int
    """Of :data:`SHARES`."""
    bucket: timedelta
    parameters: dict[str, Any] = field(init=False)
    _conditions: list[str] = field(init=False)

    def __post_init__(self) -> None:
        """Name the parameters."""
        self.parameters = {
            "since": self.interval.since,
            "entered_until": self.interval.until,
            "until": self.until,
            "window": self.window,
            "now": self.now,
            "most": self.most,
            "bucket": self.bucket,
        }
        self._conditions = [self._condition(place, kind, where) for place, (kind, where) in enumerate(self.steps)]
        if self.share < SHARES:
            self.parameters["share"] = self.share
        if self.by is not None and self.by.startswith(PROPS):
            self.parameters["by"] = self.by.removeprefix(PROPS)

    def counts(self) -> str:
        """Return the SQL of how far people came: all of them, by time of entry, by group."""
        last = len(self.steps)
        people = ", ".join(f"count(*) FILTER (WHERE level >= {k})" for k in range(1, last + 1))
        took = "".join(
            f", percentile_cont({_QUANTILES}) WITHIN GROUP (ORDER BY extract(epoch FROM c1[{k + 1}] - c1[{k}]))"
            f" FILTER (WHERE level > {k}) AS took_{k}"
            for k in range(1, last)
        )
        return f"""
            {self._best()},
            ranked AS (SELECT grp, row_number() OVER (ORDER BY count(*) DESC, grp) AS place FROM best GROUP BY grp),
            told AS (
                SELECT best.*, date_bin(:bucket, best.at, TIMESTAMPTZ '2001-01-01 00:00:00+00') AS bucket,
                       CASE WHEN place > :most THEN '{REST}' ELSE grp END AS marked
                FROM best JOIN ranked USING (grp)
            )
            SELECT CASE WHEN grouping(bucket) = 0 THEN '{BUCKET}' WHEN grouping(marked) = 0 THEN '{GROUP}'
                        ELSE '{WHOLE}' END AS part,
                   bucket, marked AS grp, count(*) AS n, count(*) FILTER (WHERE is_demo) AS demo,
                   count(*) FILTER (WHERE level < {last} AND at + :window > :now) AS under_way,
                   ARRAY[{people}] AS people,
                   percentile_cont({_QUANTILES}) WITHIN GROUP (ORDER BY extract(epoch FROM c1[{last}] - at))
                       FILTER (WHERE level = {last}) AS took_all{took}
            FROM told GROUP BY GROUPING SETS ((), (bucket), (marked))
        """  # noqa: S608 - values are parameters

    def ends(self) -> str:
        """Return the SQL of what people did and cost on their way, by the step they came to."""
        last = len(self.steps)
        # In the part k of the way: after step k - 1, up to and with step k; the last part comes after all steps.
        parts = ", ".join(f"sum(cost_usd) FILTER (WHERE part = {k}) AS cost_{k}" for k in range(1, last + 2))
        costs = ", ".join(f"sum(cost_{k})" for k in range(1, last + 2))
        return f"""
            {self._best()},
            acts AS (
                SELECT best.subject, best.level, best.c1[best.level] AS last_step, best.at + :window <= :now AS is_over,
                       event.at, event.cost_usd,
                       width_bucket(event.at - INTERVAL '1 microsecond', best.c1[1:best.level]) + 1 AS part
                FROM best JOIN event ON event.subject = best.subject AND event.at >= best.at
                    AND event.at <= best.at + :window
                WHERE event.at >= :since AND event.at < :until AND {self._sampled("event.subject")}
            ),
            people AS (
                SELECT level, is_over, max(at) - last_step AS dwell, {parts}
                FROM acts GROUP BY subject, level, is_over, last_step
            )
            SELECT level, count(*) FILTER (WHERE is_over) AS n_left,
                   percentile_cont({_QUANTILES}) WITHIN GROUP (ORDER BY extract(epoch FROM dwell))
                       FILTER (WHERE is_over) AS dwell,
                   ARRAY[{costs}] AS costs
            FROM people GROUP BY level
        """  # noqa: S608 - values are parameters

    def _best(self) -> str:
        last = len(self.steps)
        bits = " | ".join(
            f"CASE WHEN {condition} THEN {1 << place} ELSE 0 END" for place, condition in enumerate(self._conditions)
        )
        chains = "".join(self._chain(k) for k in range(last - 1, 0, -1))
        levels = " + ".join(["1", *(f"coalesce((c1[{k}] <= at + :window)::int, 0)" for k in range(2, last + 1))])
        group, join = self._group()
        return f"""
            WITH matched AS (
                SELECT subject, at, id, {bits} AS mask, origin = 'demo' AS is_demo, {self._own_group()} AS own
                FROM event
                WHERE at >= :since AND at < :until AND subject IS NOT NULL AND {self._sampled("subject")}
                    AND ({" OR ".join(self._conditions)})
            ),
            chain_{last} AS (
                SELECT *, CASE WHEN mask & {1 << (last - 1)} <> 0 THEN ARRAY[at] END AS c{last} FROM matched
            ){chains},
            tries AS (
                SELECT subject, at, is_demo, own, c1, {levels} AS level
                FROM chain_1 WHERE c1 IS NOT NULL AND at < :entered_until
            ),
            furthest AS (SELECT DISTINCT ON (subject) * FROM tries ORDER BY subject, level DESC, at),
            best AS MATERIALIZED (
                SELECT furthest.*, coalesce('=' || {group}, '{NONE}') AS grp FROM furthest {join}
            )
        """  # noqa: S608 - values are parameters

    def _chain(self, k: int) -> str:
        window = "PARTITION BY subject ORDER BY at DESC, mask DESC, id DESC"
        return f""",
            chain_{k} AS (
                SELECT *, CASE WHEN mask & {1 << (k - 1)} <> 0
                    THEN at || min(c{k + 1}) OVER (
                        {window} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) END AS c{k}
                FROM chain_{k + 1}
            )"""  # noqa: S608 - values are parameters

    def _condition(self, place: int, kind: str, where: Mapping[str, str]) -> str:
        self.parameters[f"kind_{place}"] = kind.removesuffix("*")
        found = [f"kind ^@ :kind_{place}" if kind.endswith("*") else f"kind = :kind_{place}"]
        for number, (name, value) in enumerate(where.items()):
            self.parameters[f"value_{place}_{number}"] = value
            if name in PLAIN:
                found.append(f"{name} = :value_{place}_{number}")
            else:
                self.parameters[f"name_{place}_{number}"] = name.removeprefix(PROPS)
                found.append(f"props ->> CAST(:name_{place}_{number} AS text) = :value_{place}_{number}")
        return f"({' AND '.join(found)})"

    def _sampled(self, subject: str) -> str:
        if self.share >= SHARES:
            return "true"
        return f"abs(hashtextextended({subject}, 11) % {SHARES}) < :share"

    def _own_group(self) -> str:
        if self.by is None or self.by.startswith(_LEAD):
            return "CAST(NULL AS text)"
        return _COLUMN_OF.get(self.by, "props ->> CAST(:by AS text)")

    def _group(self) -> tuple[str, str]:
        """Return the group of a person and what has to be joined for it; a lead is its e-mail or external id."""
        if self.by is None or not self.by.startswith(_LEAD):
            return "own", ""
        told = band_sql("p_score") if self.by == "lead.score" else self.by.removeprefix(_LEAD)
        return (
            "lead.told",
            f"""LEFT JOIN (
                SELECT DISTINCT ON (person) person, told FROM (
                    SELECT email AS person, created_at, {told} AS told FROM lead WHERE email IS NOT NULL
                    UNION ALL
                    SELECT external_id, created_at, {told} FROM lead WHERE external_id IS NOT NULL
                ) AS known ORDER BY person, created_at
            ) AS lead ON lead.person = furthest.subject""",  # noqa: S608 - values are parameters
        )
