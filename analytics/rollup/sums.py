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
_HASH = "hashtextextended(person, 0)"


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
    # Nothing but the texts of this package goes into the statement; every value is bound.
    sets = [", ".join(["bucket_start", "place", *fact.cuts[cut]]) for cut in cuts]
    people_sets = [", ".join(["bucket_start", "register", *fact.cuts[cut]]) for cut in cuts]
    keys = f"{_cut_of(fact, cuts)} AS cut, {_key_of(fact, cuts)} AS key, bucket_start"
    text = f"""
        WITH facts AS {"MATERIALIZED" if fact.person else ""} (
            SELECT facts.*, {_place(fact)} AS place {_register(fact)} FROM (
                SELECT CASE WHEN {fact.time} < :origin THEN :since
                        ELSE date_bin(CAST(:step AS interval), {fact.time}, :origin) END AS bucket_start,
                    {fact.time} AS fact_time, origin = 'demo' AS is_demo, {_columns(fact)}
                FROM {fact.table}
                WHERE {fact.time} >= :since AND {fact.time} < :until AND ({fact.where}) {narrowed}
            ) AS facts
        ), counted AS (
            SELECT {keys}, place, {_sums(fact)}
            FROM facts GROUP BY GROUPING SETS ({", ".join(f"({item})" for item in sets)})
        ), cells AS (
            SELECT cut, key, bucket_start, {_totals(fact)}
            FROM counted GROUP BY cut, key, bucket_start
        )
    """  # noqa: S608
    if fact.person is None:
        return f"{text} SELECT cut, key, bucket_start, {', '.join(MEASURES[:-1])}, NULL::bytea AS people FROM cells"  # noqa: S608
    return f"""{text}, crowds AS (
            SELECT cut, key, bucket_start,
                string_agg(substring(int4send(register * 256 + rank) FROM 2), ''::bytea ORDER BY register) AS people
            FROM (
                SELECT {keys}, register, max(rank) AS rank FROM facts WHERE register IS NOT NULL
                GROUP BY GROUPING SETS ({", ".join(f"({item})" for item in people_sets)})
            ) AS registers GROUP BY cut, key, bucket_start
        )
        SELECT cut, key, bucket_start, {", ".join(MEASURES[:-1])}, people
        FROM cells LEFT JOIN crowds USING (cut, key, bucket_start)
    """  # noqa: S608


def dimension(fact: Fact, dim: str) -> str:
    """Return the expression of a part of a key; empty where the fact has none."""
    return f"left(coalesce({fact.dims[dim]}, ''), {LONGEST_PART}) COLLATE \"C\""


def _used(fact: Fact, cuts: tuple[str, ...]) -> list[str]:
    return [dim for dim in fact.dims if any(dim in fact.cuts[cut] for cut in cuts)]


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
    """Return the key; dimensions that a group is not of are null there, and left out."""
    used = _used(fact, cuts)
    return f"concat_ws(chr(31), {', '.join(used)})" if used else "''::text"


def _columns(fact: Fact) -> str:
    found = [f"{dimension(fact, dim)} AS {dim}" for dim in fact.dims]
    named = {"is_ok": fact.ok, "is_failed": fact.failed}
    named |= {"input_tokens": fact.input_tokens, "output_tokens": fact.output_tokens, "person": fact.person}
    found += [f"{expression} AS {name}" for name, expression in named.items() if expression is not None]
    if fact.duration is not None:
        found.append(f"{_finite(fact.duration, least='0')} AS duration")
    if fact.cost is not None:
        found.append(f"nullif({fact.cost}, 'NaN') AS cost")
    if fact.value is not None:
        found.append(f"{_finite(fact.value, least='-' + _MOST_NUMBER)} AS value")
    return ", ".join(found)


def _finite(expression: str, *, least: str) -> str:
    return f"CASE WHEN ({expression}) BETWEEN {least} AND {_MOST_NUMBER} THEN ({expression}) END"


def _place(fact: Fact) -> str:
    if fact.sketched is None:
        return "NULL::int"
    return (
        f"CASE WHEN {fact.sketched} > 0 THEN ceil(ln({fact.sketched}::float8) * {BUCKETS_PER_E!r})::int - 1"
        f" WHEN {fact.sketched} <= 0 THEN {AT_MOST_ZERO} END"
    )


def _register(fact: Fact) -> str:
    if fact.person is None:
        return ""
    return (
        f", (({_HASH} >> 52) & 4095)::int AS register,"
        f" coalesce(nullif(position(B'1' IN {_HASH}::bit(52)), 0), 53) AS rank"
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
    packed = (
        "string_agg(int2send(place::int2) || int4send(n), ''::bytea ORDER BY place) FILTER (WHERE place IS NOT NULL)"
    )
    return ", ".join([*found, f"{packed if fact.sketched else 'NULL::bytea'} AS sketch"])
