"""What objectives and key figures ask Prometheus for is what our processes show."""

import re

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.parser import text_string_to_metric_families

from analytics.core import telemetry
from analytics.kpi.model import CounterSource, GaugeSource, QuantileSource
from analytics.kpi.registry import registry
from analytics.slo.defaults import objectives
from analytics.slo.model import CompositeEvents, SqlEvents
from analytics.slo.sources.compile import compiled

_SELECTOR = re.compile(r"(helmsight_\w+)(?:\{([^}]*)\})?")
_MATCHER = re.compile(r'(\w+)(=~|!~|!=|=)"((?:[^"\\]|\\.)*)"')


def expressions() -> list[str]:
    found: list[str] = []
    for item in objectives():
        if not isinstance(item.indicator, SqlEvents | CompositeEvents):
            events = compiled(item.indicator)
            found += [part for part in (events.total, events.present, events.good, events.bad) if part]
    for kpi in registry():
        if isinstance(kpi.measure, CounterSource):
            found += [part for part in (kpi.measure.value, kpi.measure.total) if part]
        elif isinstance(kpi.measure, GaugeSource):
            found.append(f"{kpi.measure.selector}{{{kpi.measure.by}=~'.*'}}".replace("'", '"'))
        elif isinstance(kpi.measure, QuantileSource):
            found.append(f"{kpi.measure.histogram}_bucket{{{kpi.measure.matchers}}}")
    return found


@pytest.fixture(scope="module")
def shown() -> dict[str, dict[str, set[str]]]:
    """Names of our series, with the values of each of their labels, once every metric was touched."""
    page = CollectorRegistry()
    for metric in vars(telemetry).values():
        if isinstance(metric, MetricWrapperBase):
            page.register(metric)
            if metric._labelnames:
                metric.labels(*("x" for _ in metric._labelnames))
    series: dict[str, dict[str, set[str]]] = {}
    for family in text_string_to_metric_families(generate_latest(page).decode()):
        for sample in family.samples:
            labels = series.setdefault(sample.name, {})
            for name, value in sample.labels.items():
                labels.setdefault(name, set()).add(value)
    return series


def test_every_series_asked_for_is_shown_with_its_labels(shown: dict[str, dict[str, set[str]]]) -> None:
    asked = [match for expression in expressions() for match in _SELECTOR.finditer(expression)]
    assert len(asked) > 20
    for match in asked:
        name, matchers = match.group(1), match.group(2) or ""
        assert name in shown, name
        for label, _, _ in _MATCHER.findall(matchers):
            assert label in shown[name], f"{name} has no label {label}"


def test_every_bound_of_a_latency_objective_is_a_bucket_that_is_shown(shown: dict[str, dict[str, set[str]]]) -> None:
    bounds = 0
    for expression in expressions():
        for match in _SELECTOR.finditer(expression):
            for label, operator, value in _MATCHER.findall(match.group(2) or ""):
                if label != "le":
                    continue
                bounds += 1
                wanted = value.replace("\\\\", "\\") if operator == "=~" else re.escape(value)
                assert any(re.fullmatch(wanted, found) for found in shown[match.group(1)]["le"]), value
    assert bounds == 4
