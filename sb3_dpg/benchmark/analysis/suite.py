"""The runs that can be aggregated over environments, and the algorithms against each other."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from sb3_dpg.benchmark.analysis.scores import Reference
from sb3_dpg.benchmark.analysis.selection import Selection
from sb3_dpg.benchmark.analysis.statistics import Estimates, aggregates, interval_estimates, iqm, probabilities_of_improvement

#: Resampling fewer seeds gives intervals that are too narrow, of a single one even points: no conclusion is drawn from them
MIN_SEEDS = 3


@dataclass(frozen=True)
class Suite:
    """
    The algorithms that were run on every environment that has reference scores, with the seeds that all of them have; those
    that the plan gives fewer seeds, with theirs.

    :param environments: Ids of the environments
    :param seeds: The seeds of each algorithm
    :param curves: Normalised scores of each algorithm, (n_seeds, n_environments, n_points)
    :param caveats: What was left out, and why
    """

    environments: list[str]
    seeds: Mapping[str, list[int]]
    curves: Mapping[str, np.ndarray]
    caveats: list[str] = field(default_factory=list)

    @property
    def algorithms(self) -> list[str]:
        """Names of the algorithms."""
        return list(self.curves)

    @property
    def final(self) -> dict[str, np.ndarray]:
        """Normalised scores of the last evaluation, (n_seeds, n_environments)"""
        return {algorithm: curves[..., -1] for algorithm, curves in self.curves.items()}

    @property
    def average(self) -> dict[str, np.ndarray]:
        """Means of the normalised scores over all evaluations, the area under the curve, (n_seeds, n_environments)"""
        return {algorithm: curves.mean(axis=-1) for algorithm, curves in self.curves.items()}


def make_suite(selection: Selection, references: Mapping[str, Reference]) -> Suite:
    """What of the complete runs can be aggregated, perhaps nothing."""
    plan = selection.plan
    caveats: list[str] = []
    environments: list[str] = []
    for environment, runs in selection.runs.items():
        if environment not in references:
            caveats.append(f"{environment} has no reference scores and is left out of all aggregates.")
        elif not runs:
            caveats.append(f"{environment} has no finished runs and is left out of all aggregates.")
        else:
            environments.append(environment)
    algorithms = [name for name in plan.algorithms if all(name in selection.runs[environment] for environment in environments)]
    partial = [name for name in plan.algorithms if name not in algorithms]
    if partial:
        caveats.append(f"Without finished runs on some environment, so in no aggregate: {', '.join(partial)}.")
    seeds = _common_seeds(selection, algorithms, environments, caveats)
    points = sorted({run.evaluation.points for run in plan.configurations if run.environment in environments})
    if len(points) > 1:
        numbers = ", ".join(map(str, points))
        caveats.append(f"No aggregates: the environments have different numbers of evaluations ({numbers}).")
    without = [name for name, own in seeds.items() if not own]
    if 0 < len(without) < len(seeds):
        caveats.append(f"No aggregates: without a seed on all environments that the others have too: {', '.join(without)}.")
    if not environments or without or len(points) > 1:
        return Suite(environments, {}, {}, caveats)
    curves = {
        name: np.stack(
            [
                references[environment].normalise(selection.mean_returns(environment, name).loc[seeds[name]].to_numpy())
                for environment in environments
            ],
            axis=1,
        )
        for name in algorithms
    }
    return Suite(environments, seeds, curves, caveats)


def _common_seeds(
    selection: Selection, algorithms: list[str], environments: list[str], caveats: list[str]
) -> dict[str, list[int]]:
    """The seeds of each algorithm: those that all have finished which were to be run with them."""
    plan = selection.plan
    done = {
        name: set.intersection(*(set(selection.runs[environment][name]) for environment in environments))
        for name in algorithms
        if environments
    }
    some = set().union(*(selection.runs[environment][name] for environment in environments for name in algorithms))
    common = [
        seed for seed in plan.seeds if seed in some and all(seed in done[name] for name in done if seed in plan.seeds_of(name))
    ]
    seeds = {name: [seed for seed in common if seed in plan.seeds_of(name)] for name in done}
    if some != set(common):
        caveats.append(f"Aggregates use the seeds that all have: {', '.join(map(str, common)) or 'there is none'}.")
    caveats += [
        f"{name} has fewer seeds by plan, {', '.join(map(str, own))}, and so have its aggregates."
        for name, own in seeds.items()
        if 0 < len(own) < len(common)
    ]
    fewest = min(map(len, seeds.values()), default=0)
    if 0 < fewest < MIN_SEEDS:
        caveats.append(f"Aggregates of fewer than {MIN_SEEDS} seeds say next to nothing: here they are of {fewest}.")
    return seeds


class Comparison(NamedTuple):
    """
    Each a point estimate for each algorithm, and its interval.

    :param suite: What is compared
    :param final: Aggregates of the last evaluations
    :param average: Interquartile mean of the averages over all evaluations
    :param improvement: Probability that a run of the first algorithm is better than one of each other
    """

    suite: Suite
    final: tuple[Estimates, Estimates]
    average: tuple[Estimates, Estimates]
    improvement: tuple[Estimates, Estimates]


def compare(suite: Suite) -> Comparison | None:
    """The comparison, None if there is nothing to compare."""
    if not suite.algorithms:
        return None
    return Comparison(
        suite,
        final=interval_estimates(suite.final, aggregates),
        average=interval_estimates(suite.average, iqm),
        improvement=probabilities_of_improvement(suite.final, suite.algorithms[0]),
    )
