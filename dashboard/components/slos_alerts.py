"""Burn of each pair of windows against its threshold, and the alerts that were."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import streamlit as st

from analytics.core.clock import utc_now
from analytics.slo import SloStatus
from analytics.slo.explain import Burn, BurnExplanation
from analytics.slo.model import BurnPair
from analytics.slo.windows import guard_of, pairs_of
from analytics.store.queries.slo_alerts import SloAlertRow
from dashboard import formats
from dashboard.components import slos, states, tables
from dashboard.components.status import Look
from dashboard.components.tables import Column

_FIRING = Look("Firing", ":material/notifications_active:", "red")
_QUIET = Look("Quiet", ":material/check_circle:", "green")
_SILENT = Look("No data", ":material/help:", "gray")
_FROZEN = Look("Frozen", ":material/ac_unit:", "blue")
_COVERED = Look("Covered", ":material/notifications_paused:", "gray")
_RESOLVED = Look("Resolved", ":material/check_circle:", "gray")
_KINDS = {
    "exhausted": "Budget used up",
    "violated": "Target cannot be met any more",
    "no_data": "Nothing was measured",
}


@dataclass(frozen=True, slots=True)
class PairRow:
    """One pair of windows with what both burn."""

    pair: BurnPair
    long: Burn | None
    """None when nothing is known of it."""
    short: Burn | None
    is_firing: bool

    @property
    def reached(self) -> float | None:
        """Return how much of its threshold the pair has reached, 1 when it fires; None without events."""
        rates = [None if burn is None else burn.rate for burn in (self.long, self.short)]
        if rates[0] is None or rates[1] is None:
            return None
        return min(rates[0], rates[1]) / self.pair.factor


def pair_rows(why: BurnExplanation) -> list[PairRow]:
    """Return the pairs that an objective alerts by, fastest first, with what they burn now."""
    burns = {burn.window: burn for burn in why.windows}
    firing = set(why.firing)
    return [
        PairRow(pair, burns.get(pair.long), burns.get(pair.short), pair in firing) for pair in pairs_of(why.objective)
    ]


def _rate(burn: Burn | None) -> str:
    return slos.rate_words(None if burn is None else burn.rate)


def _pair_look(row: PairRow) -> Look:
    if row.is_firing:
        return _FIRING
    return _SILENT if row.reached is None else _QUIET


PAIR_COLUMNS: list[Column[PairRow]] = [
    Column("Severity", lambda row: slos.SEVERITY_LOOKS[row.pair.severity.value], "state", width="small"),
    Column("State", _pair_look, "state", width="small"),
    Column(
        "Of threshold",
        lambda row: None if row.reached is None else min(row.reached, 9.99),
        "progress",
        width="small",
        help="The slower of both windows, of what makes the pair fire.",
    ),
    Column("Windows", lambda row: f"{formats.duration(row.pair.long)}, {formats.duration(row.pair.short)}"),
    Column("Burn", lambda row: f"{_rate(row.long)}, {_rate(row.short)}", help="Of the long and the short window."),
    Column("Fires above", lambda row: slos.rate_words(row.pair.factor), width="small", help="In both windows."),
    Column(
        "Spent",
        lambda row: None if row.long is None else row.long.spent,
        "ratio",
        width="small",
        help="Share of the whole budget that the long window took.",
    ),
    Column("Bad", lambda row: None if row.long is None else row.long.total - row.long.good, "number", width="small"),
]


def alert_look(row: SloAlertRow) -> Look:
    """Return how an alert stands."""
    if row.ended_at is not None:
        return _RESOLVED
    if row.frozen_at is not None:
        return _FROZEN
    return _COVERED if row.is_inhibited else _FIRING


def alert_words(row: SloAlertRow) -> str:
    """Return what an alert is about."""
    if row.kind != "burn":
        return _KINDS.get(row.kind, row.kind)
    long, short, factor = (row.detail.get(name) for name in ("long_s", "short_s", "factor"))
    if long is None or short is None or factor is None:
        return f"Burn, tier {row.tier}"
    windows = f"{formats.duration(float(long))} and {formats.duration(float(short))}"
    return f"Burns faster than {slos.rate_words(float(factor))} over {windows}"


def _lasted(row: SloAlertRow, now: datetime) -> str:
    return formats.duration((row.ended_at or now) - row.started_at)


def alert_columns(*, has_groups: bool, now: datetime) -> list[Column[SloAlertRow]]:
    """Return the columns of alerts."""
    group: list[Column[SloAlertRow]] = [Column("Group", lambda row: slos.group_words(row.group_key))]
    return [
        Column("Began", lambda row: row.started_at, "moment"),
        Column("State", alert_look, "state", width="small"),
        Column("Severity", lambda row: slos.SEVERITY_LOOKS.get(row.severity), "state", width="small"),
        Column("What", alert_words),
        *(group if has_groups else []),
        Column("Lasted", lambda row: _lasted(row, now), width="small"),
        Column("Burn", lambda row: row.detail.get("burn_long"), "number", width="small", help="When it began."),
        Column("Worst", lambda row: row.detail.get("peak_burn"), "number", width="small", help="Known at its end."),
        Column("Spent before", lambda row: row.detail.get("spent"), "ratio", width="small", help="Of the budget."),
        Column("Spent during", lambda row: row.detail.get("spent_during"), "ratio", width="small"),
        Column("Said", lambda row: row.detail.get("message"), width="large"),
    ]


def draw(status: SloStatus, why: BurnExplanation, alerts: Sequence[SloAlertRow]) -> None:
    """Draw the pairs of windows with what they burn, and the alerts that were, newest first."""
    st.markdown("**Burn by window**")
    rows = pair_rows(why)
    if rows:
        tables.table(
            rows,
            PAIR_COLUMNS,
            alt="Pairs of burn windows with their burn rates against the threshold",
            key="slo.pairs",
            height="content",
        )
        guard = guard_of(status.objective)
        least = f" A pair with fewer than {guard} bad {status.unit} in its long window never fires." if guard else ""
        st.caption(f"A pair fires while both its windows burn faster than its threshold.{least}")
    else:
        st.caption("Its policy has no pairs of windows, so it does not alert on burn.")
    st.markdown("**Alerts**")
    if alerts:
        tables.table(
            alerts,
            alert_columns(has_groups=bool(status.objective.group_by), now=utc_now()),
            alt="Alerts of this objective, newest first",
            key="slo.alerts",
            height="content" if len(alerts) <= _FEW else 420,
        )
    else:
        states.empty("No alert yet", "It has not alerted since it is measured.", icon=":material/notifications_off:")


_FEW = 12
