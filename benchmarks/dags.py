"""Scientific workflows, generated: the shapes that the literature measures with, and runtimes as they are told of.

Six families after the published characterisations (Juve et al., *Characterizing and profiling scientific workflows*,
2013, and the 1000 Genomes workflow of the WfCommons collection): how many tasks of each type, who needs whom, and
how long each type runs in the mean. Sizes and times are drawn from a seeded generator, so every run of the benchmark
has the same ones. Beside them: lower bound, and a simulation of what a scheduler with so many slots makes of one.
"""

import heapq
import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

SIZES = (50, 100, 200, 400, 1000)


@dataclass
class Dag:
    """Tasks with their seconds, types and what each needs; in an order in which needs come first."""

    name: str
    seconds: dict[str, float] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)
    needs: dict[str, list[str]] = field(default_factory=dict)

    def add(self, kind: str, seconds: float, needs: Sequence[str] = ()) -> str:
        """Add a task and return its id."""
        task = f"{kind}-{len(self.seconds)}"
        self.seconds[task] = max(0.01, seconds)
        self.types[task] = kind
        self.needs[task] = list(needs)
        return task

    def lower_bound(self, slots: int) -> float:
        """Return the seconds that no schedule can beat: the critical path, or all the work over all slots."""
        return max(*self.path_weights().values(), sum(self.seconds.values()) / slots)

    def path_weights(self, seconds: Mapping[str, float] | None = None) -> dict[str, float]:
        """Return for each task the seconds of the longest path that begins with it."""
        own = self.seconds if seconds is None else seconds
        after: dict[str, float] = {}
        weights: dict[str, float] = {}
        for task in reversed(self.seconds):
            weights[task] = own[task] + after.get(task, 0.0)
            for need in self.needs[task]:
                after[need] = max(after.get(need, 0.0), weights[task])
        return weights

    def mean_of_type(self) -> dict[str, float]:
        """Return for each task the mean of its type, which is what statistics of earlier runs would know."""
        sums: dict[str, list[float]] = {}
        for task, kind in self.types.items():
            sums.setdefault(kind, []).append(self.seconds[task])
        return {task: sum(sums[kind]) / len(sums[kind]) for task, kind in self.types.items()}


def science(seed: int = 7) -> list[Dag]:
    """Return the whole set: six families in five sizes."""
    chance = random.Random(seed)
    return [make(chance, size) for make in FAMILIES for size in SIZES]


def _time(chance: random.Random, mean: float, spread: float) -> float:
    """Return seconds of a task: log-normal with that mean and coefficient of variation, as runtimes usually are."""
    sigma = math.sqrt(math.log(1 + spread * spread))
    return chance.lognormvariate(math.log(mean) - sigma * sigma / 2, sigma)


def montage(chance: random.Random, size: int) -> Dag:
    """Make a mosaic of the sky: project images, fit the overlaps, correct the background, add up tile by tile."""
    dag = Dag(f"montage-{size}")
    images = max(4, round((size - 6) / 5))
    tiles = math.ceil(images / 124)
    project = [dag.add("project", _time(chance, 1.73, 0.2)) for _ in range(images)]
    overlaps = [(i, j) for i in range(images) for j in (i + 1, i + 2, i + 3) if j < images]
    fits = [
        dag.add("diff", _time(chance, 0.66, 0.5), [project[i], project[j]])
        for i, j in chance.sample(overlaps, min(len(overlaps), round(images * 2.9)))
    ]
    concat = dag.add("concat", _time(chance, 143 * len(fits) / 6172, 0.2), fits)
    model = dag.add("model", _time(chance, 384 * len(fits) / 6172, 0.2), [concat])
    corrected = [dag.add("background", _time(chance, 1.72, 0.4), [task, model]) for task in project]
    shrunk = []
    for tile in range(tiles):
        own = corrected[tile::tiles]
        table = dag.add("table", _time(chance, 2.78, 0.3), own)
        added = dag.add("add", _time(chance, 282 * len(own) / 124, 0.2), [table])
        shrunk.append(dag.add("shrink", _time(chance, 66 * len(own) / 124, 0.3), [added]))
    dag.add("picture", _time(chance, 0.64, 0.3), shrunk)
    return dag


def epigenomics(chance: random.Random, size: int) -> Dag:
    """Map sequences of the genome: lanes, each split into chunks that go through four steps, then merged."""
    dag = Dag(f"epigenomics-{size}")
    lanes = max(1, min(7, size // 50))
    chunks = max(2, round((size - 3 - 2 * lanes) / lanes / 4))
    merged = []
    for _ in range(lanes):
        split = dag.add("split", _time(chance, 34.3, 0.3))
        mapped = []
        for _ in range(chunks):
            task = dag.add("filter", _time(chance, 2.47, 0.5), [split])
            task = dag.add("sanger", _time(chance, 0.48, 0.3), [task])
            task = dag.add("binary", _time(chance, 1.4, 0.3), [task])
            mapped.append(dag.add("map", _time(chance, 202, 0.5), [task]))
        merged.append(dag.add("merge", _time(chance, 11, 0.5), mapped))
    everything = dag.add("merge-all", _time(chance, 11 * lanes, 0.3), merged)
    index = dag.add("index", _time(chance, 43.6, 0.3), [everything])
    dag.add("pileup", _time(chance, 56, 0.3), [index])
    return dag


def cybershake(chance: random.Random, size: int) -> Dag:
    """Estimate how the ground shakes: extract tensors, synthesise seismograms, take the peaks, zip."""
    dag = Dag(f"cybershake-{size}")
    ruptures = max(2, size // 100)
    each = max(2, (size - ruptures - 2) // ruptures // 2)
    seismograms, peaks = [], []
    for _ in range(ruptures):
        extract = dag.add("extract", _time(chance, 110.6, 0.5))
        for _ in range(each):
            seismogram = dag.add("synthesis", _time(chance, 79.5, 0.5), [extract])
            seismograms.append(seismogram)
            peaks.append(dag.add("peak", _time(chance, 0.55, 0.5), [seismogram]))
    dag.add("zip-seismograms", _time(chance, 266 * len(seismograms) / 5190, 0.2), seismograms)
    dag.add("zip-peaks", _time(chance, 196 * len(peaks) / 5190, 0.2), peaks)
    return dag


def inspiral(chance: random.Random, size: int) -> Dag:
    """Look for gravitational waves: groups of banks, inspirals, a coincidence test, and the same once more."""
    dag = Dag(f"inspiral-{size}")
    groups = max(1, size // 50)
    each = max(2, (size // groups - 2) // 4)
    for _ in range(groups):
        banks = [dag.add("bank", _time(chance, 18.1, 0.3)) for _ in range(each)]
        first = [dag.add("inspiral", _time(chance, 460, 0.4), [bank]) for bank in banks]
        thinca = dag.add("coincidence", _time(chance, 5.37, 0.3), first)
        trigs = [dag.add("trigger-bank", _time(chance, 5.11, 0.3), [thinca]) for _ in range(each)]
        second = [dag.add("inspiral-again", _time(chance, 460, 0.4), [trig]) for trig in trigs]
        dag.add("coincidence-again", _time(chance, 5.37, 0.3), second)
    return dag


def sipht(chance: random.Random, size: int) -> Dag:
    """Look for small RNAs: many searches of a pattern, joined with the output of a few long comparisons."""
    dag = Dag(f"sipht-{size}")
    for _ in range(max(1, round(size / 30))):
        patterns = [dag.add("pattern", _time(chance, 0.96, 0.3)) for _ in range(18)]
        concat = dag.add("concat", _time(chance, 0.03, 0.3), patterns)
        searches = [
            dag.add("terminator", _time(chance, 32.4, 0.4)),
            dag.add("find-term", _time(chance, 595, 0.5)),
            dag.add("rna-motif", _time(chance, 25.7, 0.5)),
            dag.add("blast", _time(chance, 3311, 0.4)),
        ]
        srna = dag.add("srna", _time(chance, 12.4, 0.4), searches)
        parse = dag.add("ffn-parse", _time(chance, 0.73, 0.3), [srna])
        blasts = [
            dag.add("blast-synteny", _time(chance, 3.37, 0.5), [parse]),
            dag.add("blast-candidate", _time(chance, 0.6, 0.5), [srna]),
            dag.add("blast-qrna", _time(chance, 441, 0.5), [srna]),
            dag.add("blast-paralogues", _time(chance, 0.68, 0.5), [srna]),
        ]
        dag.add("annotate", _time(chance, 0.14, 0.4), [concat, *blasts])
    return dag


def genome(chance: random.Random, size: int) -> Dag:
    """Find overlaps of mutations: chromosomes cut into individuals, merged; then two analyses for each population."""
    dag = Dag(f"genome-{size}")
    for _ in range(max(1, round(size / 26))):
        parts = [dag.add("individuals", _time(chance, 90, 0.35)) for _ in range(10)]
        merged = dag.add("merge-individuals", _time(chance, 35, 0.3), parts)
        sifting = dag.add("sifting", _time(chance, 20, 0.3))
        for _ in range(7):
            dag.add("overlap", _time(chance, 60, 0.5), [merged, sifting])
            dag.add("frequency", _time(chance, 110, 0.5), [merged, sifting])
    return dag


FAMILIES: tuple[Callable[[random.Random, int], Dag], ...] = (
    montage,
    epigenomics,
    cybershake,
    inspiral,
    sipht,
    genome,
)


def simulated_s(dag: Dag, slots: int, weights: Mapping[str, float]) -> float:
    """Return the seconds that *dag* takes on *slots* when, of what is ready, the heaviest starts first."""
    missing = {task: len(needs) for task, needs in dag.needs.items()}
    followers: dict[str, list[str]] = {}
    for task, needs in dag.needs.items():
        for need in needs:
            followers.setdefault(need, []).append(task)
    order = {task: place for place, task in enumerate(dag.seconds)}
    ready = [(-weights[task], order[task], task) for task, count in missing.items() if count == 0]
    heapq.heapify(ready)
    running: list[tuple[float, str]] = []
    now = 0.0
    while ready or running:
        while ready and len(running) < slots:
            task = heapq.heappop(ready)[-1]
            heapq.heappush(running, (now + dag.seconds[task], task))
        now, ended = heapq.heappop(running)
        for follower in followers.get(ended, ()):
            missing[follower] -= 1
            if missing[follower] == 0:
                heapq.heappush(ready, (-weights[follower], order[follower], follower))
    return now


def batched_s(dag: Dag, slots: int) -> float:
    """Return the seconds when each level is a batch that has to end before the next begins."""
    level: dict[str, int] = {}
    for task, needs in dag.needs.items():
        level[task] = 1 + max((level[need] for need in needs), default=-1)
    total = 0.0
    for number in range(1 + max(level.values())):
        busy = [0.0] * slots
        for task in (task for task, own in level.items() if own == number):
            heapq.heapreplace(busy, busy[0] + dag.seconds[task])
        total += max(busy)
    return total
