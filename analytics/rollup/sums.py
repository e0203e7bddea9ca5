"""The select that sums facts into cells. It fills the rollup, and it answers where raw rows are read.

One pass over the rows groups them by every cut at once and by bucket of the distribution; a second one, over far fewer
groups, adds them up and packs each distribution.
"""

import functools

from analytics.rollup.cuts import LONGEST_PART, Fact
from analytics.rollup.sketch import AT_MOST_ZERO, BUCKETS_PER_E

MEASURES = (
    "n",
    "ok",
    "failed",
    "demo",
    "newest",
    "duration_n",
    "duration_s",
    "input_tokens",
    "output_tokens",
    "cost_usd",
    "priced",
    "value_n",
    "value_sum",
    "value_min",
    "value_max",
    "sketch",
    "people",
)
"""Columns of a cell besides its cut, key and start, in the order of ``Cell``."""

CELL = ", ".join("cost_usd::float8" if name == "cost_usd" else name for name in MEASURES)
"""The same, as they are read."""
_ADDED = {
    "newest": "max(newest)",
    "cost_usd": "sum(cost_usd)::float8",
    "input_tokens": "sum(input_tokens)::bigint",
    "output_tokens": "sum(output_tokens)::bigint",
    "value_min": "min(value_min)",
    "value_max": "max(value_max)",
    "sketch": "string_agg(sketch, '')",
    "people": "string_agg(people, '')",
}
OF_CELLS = ", ".join(_ADDED.get(name, f"sum({name})") for name in MEASURES)
"""The same, added up over many cells."""

_MOST_NUMBER = "1e290"
"""Numbers beyond are taken for unknown, as NaN is: sums over them would not be numbers any more."""
_MOST_COST = "999999999999"


@functools.cache
def cells_select(fact: Fact, cuts: tuple[str, ...], narrowed: str = "") -> str:
    """Return the select of cells of *cuts*: cut, key, start, then :data:`MEASURES`.

    Its parameters are ``since``, ``until``, ``origin`` and ``step`` (an interval): facts before ``origin`` are one
    step, those from it on are cut into steps.

    Args:
        fact: What to sum.
        cuts: Its cuts that are wanted.
        narrowed: More conditions on raw rows, beginning with AND.
    """
    # Nothing but the texts of this package goes into the statement; every value is bound. OFFSET 0 keeps PostgreSQL
    # from computing an expression again wherever it is used.
    group = f"{_cut_of(fact, cuts)} AS cut, {_key_of(fact, cuts)} AS key, bucket_start"
    text = f"""
        WITH facts AS {"MATERIALIZED" if fact.person else ""} (
            SELECT bucket_start, fact_time, is_demo, {_refined(fact)} FROM (
                SELECT CASE WHEN {fact.time} < :origin THEN :since
                        ELSE date_bin(CAST(:step AS interval), {fact.time}, :origin) END AS bucket_start,
                    {fact.time} AS fact_time, origin = 'demo' AS is_demo, {_columns(fact)}
                FROM {fact.table}
                WHERE {fact.time} >= :since AND {fact.time} < :until AND ({fact.where}) {narrowed}
                OFFSET 0
            ) AS facts
        ), counted AS (
            SELECT {group}, place, {_sums(fact)} FROM facts GROUP BY {_sets(fact, cuts, "place")}
        ), cells AS (
            SELECT cut, key, bucket_start, {_totals(fact)} FROM counted GROUP BY cut, key, bucket_start
        )
    """  # noqa: S608
    columns = ", ".join(["cut", "key", "bucket_start", *MEASURES[:-1]])
    if fact.person is None:
        return f"{text} SELECT {columns}, NULL::bytea AS people FROM cells"  # noqa: S608
    return f"""{text}, registers AS (
            SELECT {group}, register, max(rank) AS rank FROM facts WHERE register IS NOT NULL
            GROUP BY {_sets(fact, cuts, "register")}
        ), crowds AS (
            SELECT cut, key, bucket_start,
                string_agg(substring(int4send(register * 256 + rank) FROM 2), '') AS people
            FROM registers GROUP BY cut, key, bucket_start
        )
        SELECT {columns}, people FROM cells LEFT JOIN crowds USING (cut, key, bucket_start)
    """  # noqa: S608


def dimension(fact: Fact, dim: str) -> str:
    """Return the expression of a part of a key; empty where the fact has none."""
    return _part(fact.dims[dim])


def _part(expression: str) -> str:
    return f"left(coalesce(({expression})::text, ''), {LONGEST_PART}) COLLATE \"C\""


def _used(fact: Fact, cuts: tuple[str, ...]) -> list[str]:
    return [dim for dim in fact.dims if any(dim in fact.cuts[cut] for cut in cuts)]


def _sets(fact: Fact, cuts: tuple[str, ...], finest: str) -> str:
    sets = [", ".join(["bucket_start", finest, *fact.cuts[cut]]) for cut in cuts]
    return f"GROUPING SETS ({', '.join(f'({item})' for item in sets)})"


def _cut_of(fact: Fact, cuts: tuple[str, ...]) -> str:
    """Return the name of the cut, told from which dimensions a group is of."""
    used = _used(fact, cuts)
    if not used:
        return f"'{cuts[0]}'::text"
    cases = []
    for cut in cuts:
        bits = "".join("0" if dim in fact.cuts[cut] else "1" for dim in used)
        cases.append(f"WHEN {int(bits, 2)} THEN '{cut}'")
    return f"CASE grouping({', '.join(used)}) {' '.join(cases)} END"


def _key_of(fact: Fact, cuts: tuple[str, ...]) -> str:
    """Return the key; what is null is left out, and those are the dimensions that a group is not of."""
    used = [f"CASE WHEN grouping({dim}) = 0 THEN {_part(dim)} END" for dim in _used(fact, cuts)]
    return f"concat_ws(chr(31), {', '.join(used)})" if used else "''::text"


def _columns(fact: Fact) -> str:
    """Return what is taken from each raw row."""
    named = {
        **fact.dims,
        "is_ok": fact.ok,
        "is_failed": fact.failed,
        "duration": fact.duration,
        "input_tokens": fact.input_tokens,
        "output_tokens": fact.output_tokens,
        "cost": fact.cost,
        "value": fact.value,
        "person_hash": None if fact.person is None else f"hashtextextended({fact.person}, 0)",
    }
    return ", ".join(f"{expression} AS {name}" for name, expression in named.items() if expression is not None)


def _refined(fact: Fact) -> str:
    """Return what is made of it: numbers that can be summed, buckets of the distribution, registers of the people."""
    found = [*fact.dims]
    found += [f"is_{name}" for name in ("ok", "failed") if getattr(fact, name) is not None]
    found += [name for name in ("input_tokens", "output_tokens") if getattr(fact, name) is not None]
    if fact.duration is not None:
        found.append(f"CASE WHEN duration BETWEEN 0 AND {_MOST_NUMBER} THEN duration END AS duration")
    if fact.cost is not None:
        found.append("nullif(cost, 'NaN') AS cost")
    if fact.value is not None:
        found.append(f"CASE WHEN value BETWEEN -{_MOST_NUMBER} AND {_MOST_NUMBER} THEN value END AS value")
    if fact.person is not None:
        found.append("((person_hash >> 52) & 4095)::int AS register")
        found.append("coalesce(nullif(position(B'1' IN person_hash::bit(52)), 0), 53) AS rank")
    return ", ".join([*found, f"{_place(fact)} AS place"])


def _place(fact: Fact) -> str:
    if fact.sketched is None:
        return "NULL::int"
    least = "0" if fact.sketched == "duration" else f"-{_MOST_NUMBER}"
    return (
        f"CASE WHEN {fact.sketched} > 0 AND {fact.sketched} <= {_MOST_NUMBER}"
        f" THEN ceil(ln({fact.sketched}) * {BUCKETS_PER_E!r})::int - 1"
        f" WHEN {fact.sketched} BETWEEN {least} AND 0 THEN {AT_MOST_ZERO} END"
    )


_PLAIN = {
    "newest": ("max(fact_time)", "max(newest)"),
    "n": ("count(*)::int", "sum(n)::int"),
    "demo": ("(count(*) FILTER (WHERE is_demo))::int", "sum(demo)::int"),
}
_OF = {
    "ok": {"ok": ("(count(*) FILTER (WHERE is_ok))::int", "sum(ok)::int")},
    "failed": {"failed": ("(count(*) FILTER (WHERE is_failed))::int", "sum(failed)::int")},
    "duration": {
        "duration_n": ("count(duration)::int", "sum(duration_n)::int"),
        "duration_s": ("sum(duration)", "sum(duration_s)"),
    },
    "input_tokens": {"input_tokens": ("sum(input_tokens)", "sum(input_tokens)::bigint")},
    "output_tokens": {"output_tokens": ("sum(output_tokens)", "sum(output_tokens)::bigint")},
    "cost": {
        "cost_usd": ("sum(cost)", f"CASE WHEN sum(cost_usd) IS NOT NULL THEN least(sum(cost_usd), {_MOST_COST}) END"),
        "priced": ("count(cost)::int", "sum(priced)::int"),
    },
    "value": {
        "value_n": ("count(value)::int", "sum(value_n)::int"),
        "value_sum": ("sum(value)", "sum(value_sum)"),
        "value_min": ("min(value)", "min(value_min)"),
        "value_max": ("max(value)", "max(value_max)"),
    },
}
"""How a measure is summed over rows, and how those sums are added up; by the part of a fact that they rest on."""

_TYPES = {
    **dict.fromkeys(("ok", "failed", "duration_n", "priced", "value_n"), "int"),
    **dict.fromkeys(("duration_s", "value_sum", "value_min", "value_max"), "float8"),
    **dict.fromkeys(("input_tokens", "output_tokens"), "bigint"),
    "cost_usd": "numeric",
}
"""Types of measures that a fact may lack."""


def _measured(fact: Fact) -> dict[str, tuple[str, str]]:
    found = dict(_PLAIN)
    for part, measures in _OF.items():
        if getattr(fact, part) is not None:
            found |= measures
    return found


def _sums(fact: Fact) -> str:
    return ", ".join(f"{of_rows} AS {name}" for name, (of_rows, _) in _measured(fact).items())


def _totals(fact: Fact) -> str:
    measured = _measured(fact)
    found = [
        f"{measured[name][1] if name in measured else f'NULL::{_TYPES[name]}'} AS {name}" for name in MEASURES[:-2]
    ]
    packed = "string_agg(int2send(place::int2) || int4send(n), '') FILTER (WHERE place IS NOT NULL)"
    return ", ".join([*found, f"{packed if fact.sketched else 'NULL::bytea'} AS sketch"])
