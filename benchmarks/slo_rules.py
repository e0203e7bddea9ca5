"""Our exported rules, computed by Prometheus itself, beside the back-test of the same policy on the ledger."""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from analytics.core.clock import Interval
from analytics.slo.backtest import Alarm, backtest
from analytics.slo.history import History
from analytics.slo.model import BUCKET, Objective, Severity
from analytics.slo.rules import rules_for_objectives
from analytics.sources.prometheus import PromClient

FULL_AFTER = timedelta(days=3)
"""Before this much of the history, the longest windows are not full on the ledger."""

_RECORDED = re.compile(r"slo:[a-z_:]+_?\w*\{[^}]*\}")


def compare(prom: PromClient, histories: Sequence[History]) -> dict[str, Any]:
    """Return whether pages and tickets fire at the same ends of buckets in Prometheus and on the ledger."""
    ours, theirs, differ = 0, 0, []
    text = rules_for_objectives([history.objective for history in histories])
    _check(text)
    for history in histories:
        since = history.interval.since + FULL_AFTER
        result = backtest(history, since=since)
        fired = _fired(prom, history.objective, text, Interval(since + BUCKET, history.interval.until + BUCKET))
        for severity, alarms in ((Severity.PAGE, result.pages), (Severity.TICKET, result.tickets)):
            mine, other = _moments(alarms, history.interval.until), fired[severity]
            if severity is Severity.PAGE:
                ours += len(mine)
                theirs += len(other)
            if mine != other:
                differ.append(f"{history.objective.id} {severity}: {len(mine)} {len(other)} {len(mine ^ other)}")
    minutes = BUCKET // timedelta(minutes=1)
    return {
        "pages_agree_with_prometheus": not differ,
        "page_minutes": ours * minutes,
        "page_minutes_prometheus": theirs * minutes,
        "differ": differ,
        "objectives_compared": len(histories),
    }


def _check(text: str) -> None:
    tool = shutil.which("promtool")
    if tool is None:
        raise RuntimeError("the promtool program is not installed")
    with tempfile.NamedTemporaryFile("w", suffix=".yml", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        subprocess.run([tool, "check", "rules", file.name], check=True, capture_output=True, cwd=Path(file.name).parent)


def _fired(prom: PromClient, objective: Objective, text: str, interval: Interval) -> Mapping[Severity, set[datetime]]:
    """Return when each severity fires by the exported rules, the recorded series put in as what they record."""
    rules = [rule for group in yaml.safe_load(text)["groups"] for rule in group["rules"]]
    mine = [rule for rule in rules if rule.get("labels", {}).get("sloth_slo", objective.id) == objective.id]
    records = {(rule["record"], rule["labels"]["sloth_slo"]): rule["expr"] for rule in rules if "record" in rule}

    def spelled(found: re.Match[str]) -> str:
        return f"({records[found[0].partition('{')[0], objective.id].strip()})"

    fired: dict[Severity, set[datetime]] = {Severity.PAGE: set(), Severity.TICKET: set()}
    for rule in mine:
        if "alert" not in rule or objective.id not in rule["expr"]:
            continue
        severity = Severity(rule["labels"]["sloth_severity"])
        for series in prom.range(_RECORDED.sub(spelled, rule["expr"]), interval, BUCKET):
            fired[severity] |= {datetime.fromtimestamp(moment, interval.since.tzinfo) for moment in series.times}
    return fired


def _moments(alarms: Sequence[Alarm], until: datetime) -> set[datetime]:
    """Return the ends of buckets at which one of *alarms* fires."""
    found = set()
    for alarm in alarms:
        moment, end = alarm.started_at, alarm.ended_at or until + BUCKET
        while moment < end:
            found.add(moment)
            moment += BUCKET
    return found
