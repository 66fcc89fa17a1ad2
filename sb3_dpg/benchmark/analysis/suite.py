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
    The algorithms that were run on every environment that has reference scores, each with all seeds that it has there.

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
    if not environments:
        return Suite([], {}, {}, caveats)
    # Those of an algorithm on all environments; the algorithms are resampled independently, so that each may have its own
    done = {
        name: [seed for seed in plan.seeds if all(seed in selection.runs[place].get(name, {}) for place in environments)]
        for name in plan.algorithms
    }
    seeds = {name: own for name, own in done.items() if own}
    if len(seeds) < len(done):
        without = ", ".join(name for name in done if name not in seeds)
        caveats.append(f"Without a seed that was run on every environment, so in no aggregate: {without}.")
    if len(set(map(tuple, seeds.values()))) > 1:
        numbers = "; ".join(f"{name} {', '.join(map(str, own))}" for name, own in seeds.items())
        caveats.append(f"Aggregates are of the seeds that an algorithm has on every environment: {numbers}.")
    if few := [name for name, own in seeds.items() if len(own) < MIN_SEEDS]:
        caveats.append(f"Aggregates of fewer than {MIN_SEEDS} seeds say next to nothing: those of {', '.join(few)}.")
    points = sorted({run.evaluation.points for run in plan.configurations if run.environment in environments})
    if len(points) > 1:
        numbers = ", ".join(map(str, points))
        caveats.append(f"No aggregates: the environments have different numbers of evaluations ({numbers}).")
        return Suite(environments, {}, {}, caveats)
    curves = {
        name: np.stack(
            [
                references[environment].normalise(selection.mean_returns(environment, name).loc[own].to_numpy())
                for environment in environments
            ],
            axis=1,
        )
        for name, own in seeds.items()
    }
    return Suite(environments, seeds, curves, caveats)


class Comparison(NamedTuple):
    """
    Each a point estimate for each algorithm, and its interval.

    :param suite: What is compared
    :param final: Aggregates of the last evaluations
    :param average: Interquartile mean of the averages over all evaluations
    :param improvement: Probability that a run of the first algorithm is better than one of each other with enough seeds
    """

    suite: Suite
    final: tuple[Estimates, Estimates]
    average: tuple[Estimates, Estimates]
    improvement: tuple[Estimates, Estimates]


def compare(suite: Suite) -> Comparison | None:
    """The comparison, None if there is nothing to compare."""
    if not suite.algorithms:
        return None
    first = suite.algorithms[0]
    enough = {name: scores for name, scores in suite.final.items() if len(scores) >= MIN_SEEDS}
    return Comparison(
        suite,
        final=interval_estimates(suite.final, aggregates),
        average=interval_estimates(suite.average, iqm),
        improvement=probabilities_of_improvement(enough, first) if first in enough else ({}, {}),
    )
