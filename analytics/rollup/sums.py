"""The select that sums facts into cells. It fills the rollup, and it answers where raw rows are read.

Rows are grouped once for their sums, by the finest cuts only, and once for nothing but how many fall into each bucket
of the distribution. Cells are put together from these pieces, which are far fewer than the rows.
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
    pieces = _pieces(fact, cuts)
    return f"""
        WITH facts AS {"MATERIALIZED" if len(pieces) > 1 else ""} (
            SELECT bucket_start, {_refined(fact)}, fact_time, is_demo FROM (
                SELECT CASE WHEN {fact.time} < :origin THEN :since
                        ELSE date_bin(CAST(:step AS interval), {fact.time}, :origin) END AS bucket_start,
                    {fact.time} AS fact_time, origin = 'demo' AS is_demo, {_columns(fact)}
                FROM {fact.table}
                WHERE {fact.time} >= :since AND {fact.time} < :until AND ({fact.where}) {narrowed}
                OFFSET 0
            ) AS facts
        ), pieces AS ({" UNION ALL ".join(f"({piece})" for piece in pieces)})
        SELECT {_cut_of(fact, cuts)} AS cut, {_key_of(fact, cuts)} AS key, bucket_start, {_totals(fact)}
        FROM pieces GROUP BY 1, 2, 3
    """  # noqa: S608


def _pieces(fact: Fact, cuts: tuple[str, ...]) -> list[str]:
    """Return the selects of what cells are put together from: sums, distributions, people."""
    dims = _used(fact, cuts)
    group = ", ".join([f"grouping({', '.join(dims)}) AS absent" if dims else "0 AS absent", "bucket_start", *dims])
    again = ", ".join(["absent", "bucket_start", *dims])
    nothing = ", ".join(["NULL"] * len(_measured(fact)))
    if len(cuts) == 1 and len(dims) <= 1 and fact.sketched:
        pieces = [_sums_by_place(fact, cuts, group)]
    else:
        pieces = [_sums_from_finest(fact, cuts, group)]
        if fact.sketched:
            pieces.append(f"""
                SELECT {again}, {nothing}, string_agg(pair, ''), NULL FROM (
                    SELECT {group}, {_PLACE_PAIR} AS pair FROM facts WHERE place IS NOT NULL
                    GROUP BY {_sets(fact, cuts, "place")}
                ) AS places GROUP BY {again}
            """)  # noqa: S608
    if fact.person:
        pieces.append(f"""
            SELECT {again}, {nothing}, NULL, string_agg(pair, '') FROM (
                SELECT {group}, {_REGISTER_PAIR} AS pair FROM facts WHERE register IS NOT NULL
                GROUP BY {_sets(fact, cuts, "register")}
            ) AS registers GROUP BY {again}
        """)  # noqa: S608
    return pieces


def _sums_by_place(fact: Fact, cuts: tuple[str, ...], group: str) -> str:
    """Return the select of sums by bucket of the distribution; quicker than two groupings where there are few keys."""
    return f"""
        SELECT {group}, {_sums(fact)}, CASE WHEN place IS NOT NULL THEN {_PLACE_PAIR} END AS sketch,
            NULL::bytea AS people
        FROM facts GROUP BY {_sets(fact, cuts, "place")}
    """  # noqa: S608


def _sums_from_finest(fact: Fact, cuts: tuple[str, ...], group: str) -> str:
    """Return the select of sums of the finest cuts, each once more for every wider cut that is made of it."""
    dims = {cut: set(fact.cuts[cut]) for cut in cuts}
    finest = {
        cut: max((other for other in cuts if dims[other] >= dims[cut]), key=lambda other: len(dims[other]))
        for cut in cuts
    }
    sets = _sets(fact, tuple(dict.fromkeys(finest.values())))
    absent = _absent(fact, cuts)
    wider = ", ".join(f"({absent[finest[cut]]}, {absent[cut]})" for cut in cuts)
    names = ", ".join(["bucket_start", *_used(fact, cuts), *_measured(fact)])
    return f"""
        SELECT wider.absent, {names}, NULL::bytea AS sketch, NULL::bytea AS people
        FROM (SELECT {group}, {_sums(fact)} FROM facts GROUP BY {sets}) AS finest
        JOIN (VALUES {wider}) AS wider (finest, absent) ON wider.finest = finest.absent
    """  # noqa: S608


_PLACE_PAIR = "substring(int8send(place::bigint << 32 | count(*)) FROM 3)"
"""Two bytes of the bucket, four of the count; see ``Sketch``."""
_REGISTER_PAIR = "substring(int4send(register * 256 + max(rank)) FROM 2)"
"""Two bytes of the register, one of the rank; see ``People``."""


def dimension(fact: Fact, dim: str) -> str:
    """Return the expression of a part of a key; empty where the fact has none."""
    return _part(fact.dims[dim])


def _part(expression: str) -> str:
    return f"left(coalesce(({expression})::text, ''), {LONGEST_PART}) COLLATE \"C\""


def _used(fact: Fact, cuts: tuple[str, ...]) -> list[str]:
    return [dim for dim in fact.dims if any(dim in fact.cuts[cut] for cut in cuts)]


def _sets(fact: Fact, cuts: tuple[str, ...], *finest: str) -> str:
    sets = [", ".join(["bucket_start", *finest, *fact.cuts[cut]]) for cut in cuts]
    return f"GROUPING SETS ({', '.join(f'({item})' for item in sets)})"


def _absent(fact: Fact, cuts: tuple[str, ...]) -> dict[str, int]:
    """Return for each cut which dimensions its groups are not of, as PostgreSQL's ``grouping`` tells it."""
    dims = list(reversed(_used(fact, cuts)))
    return {cut: sum(1 << place for place, dim in enumerate(dims) if dim not in fact.cuts[cut]) for cut in cuts}


def _cut_of(fact: Fact, cuts: tuple[str, ...]) -> str:
    """Return the name of the cut of a piece."""
    cases = [f"WHEN {absent} THEN '{cut}'" for cut, absent in _absent(fact, cuts).items()]
    return f"CASE absent {' '.join(cases)} END"


def _key_of(fact: Fact, cuts: tuple[str, ...]) -> str:
    """Return the key of a piece: of dimensions that its cut has; what is null is left out."""
    dims = _used(fact, cuts)
    used = [
        f"CASE WHEN absent & {1 << place} = 0 THEN {_part(dim)} END"
        for dim, place in zip(dims, reversed(range(len(dims))), strict=True)
    ]
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
    return ", ".join([*found, "string_agg(sketch, '') AS sketch", "string_agg(people, '') AS people"])
